// The product of rows with packed panels, for linear.cc and expert-linear.cc. Every output is one chain of fma over
// ascending k, whichever tile, block or thread computes it: partial sums that pass through memory keep all their bits.
#pragma once

#include "results.h"

namespace slipway::SLIPWAY_TARGET {

struct LinearJob {
  Tensor x;  // after the prologue; bf16 where `multipliesPairs`
  const Tensor& weight;
  Results results;
  int64_t firstOutput = 0;  // row of the weight that gives column 0
  const float *scale = nullptr, *bias = nullptr;
  const Tensor* residual = nullptr;
};

// Whether rows that are rounded to bf16 meet this weight in pairs (vdpbf16ps), so that they have to be bf16 in memory, with
// a multiple of kLanes columns of which those past the end are zeros. Otherwise they are floats that have been rounded.
bool multipliesPairs(const Tensor& weight);

// floats of a widened piece of a panel
constexpr int64_t kWidened = kTileK * kPanel;

// Rows [first, last) by the panels [panel, end) of the weight. `widened` has room for kWidened floats.
template <class T>
void multiplyPanels(const LinearJob& job, int64_t panel, int64_t end, int64_t first, int64_t last, float* widened);

}  // namespace slipway::SLIPWAY_TARGET

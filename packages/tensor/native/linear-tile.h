// The product of rows with packed panels, for linear.cc and expert-linear.cc. Every output is one chain of fma over
// ascending k, whichever tile, block or thread computes it: partial sums that pass through memory keep all their bits.
#pragma once

#include "results.h"

namespace slipway::SLIPWAY_TARGET {

struct LinearJob {
  Tensor x;  // after the prologue
  const Tensor& weight;
  Results results;
  int64_t firstOutput = 0;  // row of the weight that gives column 0
  const float *scale = nullptr, *bias = nullptr;
  const Tensor* residual = nullptr;
};

// floats of a widened piece of a panel
constexpr int64_t kWidened = kTileK * kPanel;

// Rows [first, last) by the panels [panel, end) of the weight. `widened` has room for kWidened floats.
template <class T>
void multiplyPanels(const LinearJob& job, int64_t panel, int64_t end, int64_t first, int64_t last, float* widened);

}  // namespace slipway::SLIPWAY_TARGET

// The kernels of this target, one per op, named as in src/ops.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace slipway::SLIPWAY_TARGET {

void embedding(const Step&, Context&);
void rmsNorm(const Step&, Context&);
void linear(const Step&, Context&);
void ropeTable(const Step&, Context&);
void rope(const Step&, Context&);
void kvWrite(const Step&, Context&);
void attention(const Step&, Context&);
void siluMul(const Step&, Context&);
void add(const Step&, Context&);
void adjustLogits(const Step&, Context&);
void sample(const Step&, Context&);
void argmax(const Step&, Context&);
void logprobs(const Step&, Context&);
void quantizedLinear(const Step&, Context&);

size_t linearWorkspace(const Step&, int threads);
size_t quantizedLinearWorkspace(const Step&, int threads);

void pack(const PackJob&, int64_t firstPanel, int64_t lastPanel);
float readAll(const float* from, int64_t count);
int64_t multiplyAdds(int64_t rounds, float* sink);

// Calls body(row, begin, end) for this thread's part of rows x columns, cut into runs of columns.
template <class F>
SLIPWAY_INLINE void forEachRun(int64_t rows, int64_t cols, const Context& context, F body) {
  constexpr int64_t kRun = 512;
  int64_t runs = (cols + kRun - 1) / kRun;
  Share share = shareOf(rows * runs, context);
  for (int64_t i = share.begin; i < share.end; i++) {
    int64_t row = i / runs, begin = i % runs * kRun;
    body(row, begin, begin + kRun < cols ? begin + kRun : cols);
  }
}

}  // namespace slipway::SLIPWAY_TARGET

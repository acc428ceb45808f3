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
void ropeWrite(const Step&, Context&);
void attention(const Step&, Context&);
void siluMul(const Step&, Context&);
void add(const Step&, Context&);
void adjustLogits(const Step&, Context&);
void sample(const Step&, Context&);
void argmax(const Step&, Context&);
void logprobs(const Step&, Context&);
void quantizedLinear(const Step&, Context&);
void routeExperts(const Step&, Context&);
void expertLinear(const Step&, Context&);
void quantizedExpertLinear(const Step&, Context&);
void combineExperts(const Step&, Context&);
void addLora(const Step&, Context&);
void layerNorm(const Step&, Context&);
void activate(const Step&, Context&);

size_t attentionWorkspace(const Step&, int threads);
size_t linearWorkspace(const Step&, int threads);
size_t quantizedLinearWorkspace(const Step&, int threads);
size_t sampleWorkspace(const Step&, int threads);
size_t argmaxWorkspace(const Step&, int threads);
size_t logprobsWorkspace(const Step&, int threads);
size_t expertLinearWorkspace(const Step&, int threads);
size_t quantizedExpertLinearWorkspace(const Step&, int threads);
size_t addLoraWorkspace(const Step&, int threads);

void pack(const PackJob&, int64_t firstPanel, int64_t lastPanel);
void convert(DType from, const char* x, DType to, char* y, int64_t count);
bool roundRow(const RoundJob&);
float readAll(const float* from, int64_t count);
int64_t multiplyAdds(int64_t rounds, float* sink);
int64_t integerProducts(int bits, int64_t rounds, int32_t* sink);

// Calls body(item) for this thread's part of `total` items of about `width` elements each.
template <class F>
SLIPWAY_INLINE void forEachItem(int64_t total, int64_t width, Context& context, F body) {
  // a few microseconds at a time: what threads tell each other takes a fraction of one
  constexpr int64_t kElements = 16384;
  context.divide(total, width > 0 ? kElements / width : kElements);
  for (Share chunk; context.take(&chunk);)
    for (int64_t i = chunk.begin; i < chunk.end; i++) body(i);
}

// Calls body(part, panel, end) for this thread's share of the panels of all parts of the rows; a panel of a part costs as
// much as `perPanel` elements of 32 columns.
template <class F>
SLIPWAY_INLINE void forEachPanel(int64_t parts, int64_t panels, int64_t perPanel, Context& context, F body) {
  // a few microseconds at a time
  constexpr int64_t kElements = 4096;
  context.divide(parts * panels, kElements / (perPanel > 0 ? perPanel : 1));
  for (Share chunk; context.take(&chunk);)
    for (int64_t i = chunk.begin; i < chunk.end;) {
      int64_t part = i / panels, panel = i % panels, left = chunk.end - i;
      int64_t end = panel + left < panels ? panel + left : panels;
      body(part, panel, end);
      i += end - panel;
    }
}

// Calls body(row, begin, end) for this thread's part of rows x columns, cut into runs of columns.
template <class F>
SLIPWAY_INLINE void forEachRun(int64_t rows, int64_t cols, Context& context, F body) {
  constexpr int64_t kRun = 512;
  int64_t runs = (cols + kRun - 1) / kRun;
  forEachItem(rows * runs, kRun, context, [&](int64_t i) {
    int64_t row = i / runs, begin = i % runs * kRun;
    body(row, begin, begin + kRun < cols ? begin + kRun : cols);
  });
}

}  // namespace slipway::SLIPWAY_TARGET

// Ops that touch each element once: embedding, norms, elementwise.
#include "prologue.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

template <class T>
void gatherRows(const Step& step, Context& context) {
  const Tensor &table = step.tensors[0], &ids = step.tensors[1], &scales = step.tensors[2], &out = step.tensors[3];
  forEachRun(out.rows, out.cols, context, [&](int64_t row, int64_t begin, int64_t end) {
    int32_t id = ((const int32_t*)ids.data)[row];
    if (id < 0 || id >= table.rows) return context.fail(Code::kOutOfRange, id);
    float* to = rowOf<float>(out, row);
    float scale = scales.data ? ((const float*)scales.data)[id] : 1.0f;
    if (table.layout == Layout::kPanel) {
      const T* from = (const T*)table.data + (id / kPanel) * table.cols * kPanel + id % kPanel;
      for (int64_t c = begin; c < end; c++) to[c] = widen(from[c * kPanel]) * scale;
    } else {
      const T* from = rowOf<const T>(table, id);
      V factor = set1(scale);
      for (int64_t c = begin; c < end; c += kLanes)
        storePartial(to + c, mul(loadPartial(from + c, end - c), factor), end - c);
    }
  });
}

}  // namespace

void embedding(const Step& step, Context& context) {
  switch (step.tensors[0].dtype) {
    case DType::kF32: return gatherRows<float>(step, context);
    case DType::kBf16: return gatherRows<Bf16>(step, context);
    case DType::kF16: return gatherRows<F16>(step, context);
    case DType::kI8: return gatherRows<int8_t>(step, context);
    default: return context.fail(Code::kUnsupported);
  }
}

void rmsNorm(const Step& step, Context& context) {
  const Tensor &x = step.tensors[0], &weight = step.tensors[1], &out = step.tensors[2];
  int64_t width = weight.cols;
  if (width == 0) return;
  int64_t runs = x.cols / width;
  forEachItem(x.rows * runs, width, context, [&](int64_t i) {
    const float* from = rowOf<const float>(x, i / runs) + i % runs * width;
    float* to = rowOf<float>(out, i / runs) + i % runs * width;
    const float* w = (const float*)weight.data;
    V factor = set1(normFactor(from, width, step.attributes[0]));
    for (int64_t c = 0; c < width; c += kLanes) {
      int64_t n = width - c;
      storePartial(to + c, normalized(loadPartial(from + c, n), factor, loadPartial(w + c, n)), n);
    }
  });
}

void siluMul(const Step& step, Context& context) {
  const Tensor &gateUp = step.tensors[0], &out = step.tensors[1];
  forEachRun(out.rows, out.cols, context, [&](int64_t row, int64_t begin, int64_t end) {
    const float* gates = rowOf<const float>(gateUp, row);
    const float* ups = gates + out.cols;
    float* to = rowOf<float>(out, row);
    for (int64_t c = begin; c < end; c += kLanes) {
      int64_t n = end - c;
      storePartial(to + c, gated(loadPartial(gates + c, n), loadPartial(ups + c, n)), n);
    }
  });
}

void add(const Step& step, Context& context) {
  const Tensor &a = step.tensors[0], &b = step.tensors[1], &out = step.tensors[2];
  forEachRun(out.rows, out.cols, context, [&](int64_t row, int64_t begin, int64_t end) {
    const float *x = rowOf<const float>(a, row), *y = rowOf<const float>(b, row);
    float* to = rowOf<float>(out, row);
    for (int64_t c = begin; c < end; c += kLanes) {
      int64_t n = end - c;
      storePartial(to + c, add(loadPartial(x + c, n), loadPartial(y + c, n)), n);
    }
  });
}

}  // namespace slipway::SLIPWAY_TARGET

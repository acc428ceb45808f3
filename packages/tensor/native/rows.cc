// Ops that touch each element once: embedding, norms, rotary positions, cache writes, elementwise.
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

template <class T>
void writeCache(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  const int32_t* slots = (const int32_t*)t[4].data;
  forEachItem(t[2].rows, t[2].cols, context, [&](int64_t row) {
    int32_t slot = slots[row];
    if (slot < 0) return;
    if (slot >= t[0].rows || slot >= t[1].rows) return context.fail(Code::kOutOfRange, slot);
    for (int i = 0; i < 2; i++) {
      const float* from = rowOf<const float>(t[2 + i], row);
      T* to = rowOf<T>(t[i], slot);
      int64_t cols = t[2 + i].cols;
      for (int64_t c = 0; c < cols; c += kLanes) storePartial(to + c, loadPartial(from + c, cols - c), cols - c);
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

void kvWrite(const Step& step, Context& context) {
  switch (step.tensors[0].dtype) {
    case DType::kF32: return writeCache<float>(step, context);
    case DType::kBf16: return writeCache<Bf16>(step, context);
    case DType::kF16: return writeCache<F16>(step, context);
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

void ropeTable(const Step& step, Context& context) {
  const Tensor &positions = step.tensors[0], &frequencies = step.tensors[1], &out = step.tensors[2];
  int64_t pairs = frequencies.cols;
  double scale = step.attributes[0];
  // a sine takes about as long as sixteen elements elsewhere
  forEachItem(out.rows * pairs, 16, context, [&](int64_t i) {
    int64_t row = i / pairs, pair = i % pairs;
    float angle = (float)((double)((const int32_t*)positions.data)[row] * (double)((const float*)frequencies.data)[pair]);
    float* to = rowOf<float>(out, row);
    to[pair] = (float)(cos((double)angle) * scale);
    to[pairs + pair] = (float)(sin((double)angle) * scale);
  });
}

void rope(const Step& step, Context& context) {
  const Tensor &x = step.tensors[0], &table = step.tensors[1], &out = step.tensors[2];
  int64_t width = (int64_t)step.attributes[0], pairs = table.cols / 2;
  if (width <= 0 || 2 * pairs > width) return context.fail(Code::kMalformed);
  int64_t heads = x.cols / width;
  forEachItem(x.rows * heads, width, context, [&](int64_t i) {
    int64_t row = i / heads;
    const float* from = rowOf<const float>(x, row) + i % heads * width;
    float* to = rowOf<float>(out, row) + i % heads * width;
    const float* cosines = rowOf<const float>(table, row);
    for (int64_t c = 0; c < pairs; c += kLanes) {
      int64_t n = pairs - c;
      V a = loadPartial(from + c, n), b = loadPartial(from + pairs + c, n);
      V cosine = loadPartial(cosines + c, n), sine = loadPartial(cosines + pairs + c, n);
      storePartial(to + c, sub(mul(a, cosine), mul(b, sine)), n);
      storePartial(to + pairs + c, add(mul(b, cosine), mul(a, sine)), n);
    }
    for (int64_t c = 2 * pairs; c < width; c++) to[c] = from[c];
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

// Rotary positions and what is stored of them: queries, keys and values between their projection and attention.
#include <type_traits>

#include "kv-cache.h"
#include "prologue.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

// One head: column i is paired with i + pairs, columns past 2 * pairs pass through.
void rotate(const float* from, const float* cosines, int64_t pairs, int64_t width, float* to) {
  for (int64_t c = 0; c < pairs; c += kLanes) {
    int64_t n = pairs - c;
    V a = loadPartial(from + c, n), b = loadPartial(from + pairs + c, n);
    V cosine = loadPartial(cosines + c, n), sine = loadPartial(cosines + pairs + c, n);
    storePartial(to + c, sub(mul(a, cosine), mul(b, sine)), n);
    storePartial(to + pairs + c, add(mul(b, cosine), mul(a, sine)), n);
  }
  for (int64_t c = 2 * pairs; c < width; c++) to[c] = from[c];
}

// One head rounded to int8 with the scale that its largest element asks for: a multiple of 1/127 of it.
void writeRounded(const float* from, int64_t count, Strided<int8_t> to, float* scale) {
  float largest = 0, check = 0;
  for (int64_t c = 0; c < count; c++) {
    float size = fabsf(from[c]);
    largest = size > largest ? size : largest;
    check += from[c] * 0.0f;
  }
  float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  // NaN when an element is no finite number, so that it shows
  *scale = largest / 127.0f + check;
  for (int64_t c = 0; c < count; c++) {
    float q = rintf(from[c] * inverse);
    to.at[c * to.step] = (int8_t)(q > 127.0f ? 127.0f : q > -127.0f ? q : -127.0f);
  }
}

// `count` columns of a slot from `column` on, which are whole heads.
template <class T>
void writeSlot(const Tensor& cache, const Tensor& scales, int64_t slot, int64_t column, const float* from, int64_t count) {
  Strided<T> to = columnsOf<T>(cache, slot, column);
  if constexpr (sizeof(T) == 1) {
    int64_t width = cache.cols / scales.cols;
    for (int64_t c = 0; c < count; c += width)
      writeRounded(from + c, width, {to.at + c * to.step, to.step},
                   columnsOf<float>(scales, slot, (column + c) / width).at);
  } else if (to.step == 1) {
    for (int64_t c = 0; c < count; c += kLanes) storePartial(to.at + c, loadPartial(from + c, count - c), count - c);
  } else {
    for (int64_t c = 0; c < count; c++) narrow(from[c], to.at + c * to.step);
  }
}

template <class T>
void writeRows(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  forEachItem(t[4].rows, t[4].cols, context, [&](int64_t row) {
    int32_t slot = ((const int32_t*)t[6].data)[row];
    if (slot < 0) return;
    if (slot >= t[0].rows) return context.fail(Code::kOutOfRange, slot);
    for (int i = 0; i < 2; i++) writeSlot<T>(t[i], t[2 + i], slot, 0, rowOf<const float>(t[4 + i], row), t[4 + i].cols);
  });
}

template <class T>
void rotateAndWrite(const Step& step, Context& context) {
  const Tensor *t = step.tensors, &qkv = t[0], &angles = t[3], &keys = t[4], &values = t[5], &out = t[9];
  int64_t width = (int64_t)step.attributes[0], pairs = angles.cols / 2;
  int64_t heads = out.cols / width, kvHeads = keys.cols / width, items = heads + 2 * kvHeads;
  float* head = (float*)context.scratch((size_t)(2 * width) * sizeof(float));
  forEachItem(qkv.rows * items, width, context, [&](int64_t i) {
    if (!head) return;
    int64_t row = i / items, item = i % items;
    const float* from = rowOf<const float>(qkv, row) + item * width;
    int32_t slot = ((const int32_t*)t[8].data)[row];
    if (slot >= keys.rows) return context.fail(Code::kOutOfRange, slot);
    int64_t column = (item - heads) % kvHeads * width;
    if (item >= heads + kvHeads) {
      if (slot >= 0) writeSlot<T>(values, t[7], slot, column, from, width);
      return;
    }
    if (const float* weight = (const float*)t[item < heads ? 1 : 2].data) {
      V factor = set1(normFactor(from, width, step.attributes[1]));
      for (int64_t c = 0; c < width; c += kLanes)
        storePartial(head + c, normalized(loadPartial(from + c, width - c), factor, loadPartial(weight + c, width - c)), width - c);
      from = head;
    }
    float* to = item < heads ? rowOf<float>(out, row) + item * width : head + width;
    rotate(from, rowOf<const float>(angles, row), pairs, width, to);
    if (item >= heads && slot >= 0) writeSlot<T>(keys, t[6], slot, column, to, width);
  });
}

template <class F>
void forType(DType type, Context& context, F body) {
  switch (type) {
    case DType::kF32: return body((float*)nullptr);
    case DType::kBf16: return body((Bf16*)nullptr);
    case DType::kF16: return body((F16*)nullptr);
    case DType::kI8: return body((int8_t*)nullptr);
    default: return context.fail(Code::kUnsupported);
  }
}

}  // namespace

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
    int64_t row = i / heads, column = i % heads * width;
    rotate(rowOf<const float>(x, row) + column, rowOf<const float>(table, row), pairs, width,
           rowOf<float>(out, row) + column);
  });
}

void kvWrite(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  if (!areCaches(t[0], t[1], t[2], t[3]) || t[4].cols != t[0].cols || t[5].cols != t[0].cols)
    return context.fail(Code::kMalformed);
  forType(t[0].dtype, context, [&](auto* type) { writeRows<std::remove_pointer_t<decltype(type)>>(step, context); });
}

void ropeWrite(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  int64_t width = (int64_t)step.attributes[0];
  bool fits = width > 0 && t[3].cols <= width && t[4].cols % width == 0 && t[9].cols % width == 0 &&
              t[0].cols == t[9].cols + 2 * t[4].cols;
  if (!fits || !areCaches(t[4], t[5], t[6], t[7])) return context.fail(Code::kMalformed);
  forType(t[4].dtype, context, [&](auto* type) { rotateAndWrite<std::remove_pointer_t<decltype(type)>>(step, context); });
}

}  // namespace slipway::SLIPWAY_TARGET

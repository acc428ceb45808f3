// Ops of encoders and of heads over pooled rows: the norm with a mean, and activations.
#include "prologue.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

// In the order of sumOfSquares.
float sumOf(const float* x, int64_t count) {
  V sums[4] = {zero(), zero(), zero(), zero()};
  int64_t c = 0;
  for (; c + 4 * kLanes <= count; c += 4 * kLanes) {
    SLIPWAY_UNROLL
    for (int i = 0; i < 4; i++) sums[i] = add(sums[i], load(x + c + i * kLanes));
  }
  for (; c < count; c += kLanes) sums[0] = add(sums[0], loadPartial(x + c, count - c));
  return sum(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

// The order of `activations` in src/ops/activate.ts.
enum class Kind : int { kGelu, kGeluTanh, kTanh, kRelu };
constexpr int kNumKinds = 4;

SLIPWAY_INLINE V negative(V x) { return sub(zero(), x); }

// x * Phi(x). Half of erfc(|x| / sqrt 2) is a polynomial in 1 / (1 + p |x|) times e^(-x^2 / 2), to within 1e-7
// (Abramowitz and Stegun 1964, 7.1.26).
SLIPWAY_INLINE V gelu(V x) {
  V size = max(negative(x), x), one = set1(1.0f);
  V t = div(one, fma(size, set1(0.3275911f * 0.70710678f), one));
  V p = set1(0.5f * 1.061405429f);
  p = fma(p, t, set1(0.5f * -1.453152027f));
  p = fma(p, t, set1(0.5f * 1.421413741f));
  p = fma(p, t, set1(0.5f * -0.284496736f));
  p = fma(p, t, set1(0.5f * 0.254829592f));
  V tail = mul(mul(p, t), exponential(mul(mul(x, x), set1(-0.5f))));
  return sub(max(zero(), x), mul(size, tail));
}

// x * sigmoid(2u), which is x * (1 + tanh u) / 2.
SLIPWAY_INLINE V geluTanh(V x) {
  V u = mul(mul(x, set1(0.7978845608f)), fma(mul(x, x), set1(0.044715f), set1(1.0f)));
  return div(x, add(set1(1.0f), exponential(mul(u, set1(-2.0f)))));
}

SLIPWAY_INLINE V tanhOf(V x) {
  V grown = exponential(mul(x, set1(2.0f)));
  return sub(set1(1.0f), div(set1(2.0f), add(grown, set1(1.0f))));
}

template <class F>
void mapRows(const Step& step, Context& context, F function) {
  const Tensor &x = step.tensors[0], &out = step.tensors[1];
  forEachRun(out.rows, out.cols, context, [&](int64_t row, int64_t begin, int64_t end) {
    const float* from = rowOf<const float>(x, row);
    float* to = rowOf<float>(out, row);
    for (int64_t c = begin; c < end; c += kLanes) storePartial(to + c, function(loadPartial(from + c, end - c)), end - c);
  });
}

}  // namespace

void layerNorm(const Step& step, Context& context) {
  const Tensor &x = step.tensors[0], &weight = step.tensors[1], &bias = step.tensors[2], &out = step.tensors[3];
  int64_t cols = x.cols;
  forEachItem(x.rows, cols, context, [&](int64_t row) {
    const float *from = rowOf<const float>(x, row), *w = (const float*)weight.data, *b = (const float*)bias.data;
    float* to = rowOf<float>(out, row);
    V mean = set1((float)((double)sumOf(from, cols) / (double)cols));
    for (int64_t c = 0; c < cols; c += kLanes) storePartial(to + c, sub(loadPartial(from + c, cols - c), mean), cols - c);
    V factor = set1(normFactor(to, cols, step.attributes[0]));
    for (int64_t c = 0; c < cols; c += kLanes) {
      int64_t n = cols - c;
      V shift = b ? loadPartial(b + c, n) : zero();
      storePartial(to + c, fma(mul(loadPartial(to + c, n), factor), loadPartial(w + c, n), shift), n);
    }
  });
}

void activate(const Step& step, Context& context) {
  int kind = (int)step.attributes[0];
  if (kind < 0 || kind >= kNumKinds) return context.fail(Code::kMalformed);
  switch ((Kind)kind) {
    case Kind::kGelu: return mapRows(step, context, [](V x) { return gelu(x); });
    case Kind::kGeluTanh: return mapRows(step, context, [](V x) { return geluTanh(x); });
    case Kind::kTanh: return mapRows(step, context, [](V x) { return tanhOf(x); });
    case Kind::kRelu: return mapRows(step, context, [](V x) { return max(zero(), x); });
  }
}

}  // namespace slipway::SLIPWAY_TARGET

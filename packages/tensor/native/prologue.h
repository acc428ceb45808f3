// What a product does to its rows before it multiplies them, and the arithmetic that ops over rows share with it: the
// same functions, so that a fused op gives the bits of the ops that it replaces.
#pragma once

#include <math.h>

#include "ops.h"

namespace slipway::SLIPWAY_TARGET {

// Four sums of sixteen lanes keep the chains short, which is where rounding errors grow.
SLIPWAY_INLINE float sumOfSquares(const float* x, int64_t count) {
  V sums[4] = {zero(), zero(), zero(), zero()};
  int64_t c = 0;
  for (; c + 4 * kLanes <= count; c += 4 * kLanes) {
    SLIPWAY_UNROLL
    for (int i = 0; i < 4; i++) {
      V v = load(x + c + i * kLanes);
      sums[i] = fma(v, v, sums[i]);
    }
  }
  for (; c < count; c += kLanes) {
    V v = loadPartial(x + c, count - c);
    sums[0] = fma(v, v, sums[0]);
  }
  return sum(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

// What rmsNorm multiplies a row by.
SLIPWAY_INLINE float normFactor(const float* x, int64_t count, double eps) {
  double mean = (double)sumOfSquares(x, count) / (double)count;
  return (float)(1.0 / sqrt(mean + eps));
}

SLIPWAY_INLINE V normalized(V x, V factor, V weight) { return mul(mul(x, factor), weight); }

SLIPWAY_INLINE V gated(V gate, V up) {
  V silu = div(gate, add(set1(1.0f), exponential(sub(zero(), gate))));
  return mul(silu, up);
}

// the order of `prologues` in src/ops/prologue.ts
enum class Before : int { kNothing, kRmsNorm, kSiluMul };

struct Prologue {
  Before kind;
  Tensor x;
  const float* norm;
  double eps;

  // Columns that come out.
  int64_t cols() const { return kind == Before::kSiluMul ? x.cols / 2 : x.cols; }
  bool valid() const {
    bool known = kind == Before::kNothing || kind == Before::kRmsNorm || kind == Before::kSiluMul;
    return known && (kind != Before::kRmsNorm || norm);
  }
  // Roughly what an element costs, in elements that are only read.
  int64_t cost() const { return kind == Before::kSiluMul ? 8 : 1; }
};

// Rounds columns to bf16 and leaves them as floats or as they then are; the latter are filled up with zeros.
SLIPWAY_INLINE void roundColumns(const float* from, int64_t count, float* to) {
  Bf16 rounded[kLanes];
  for (int64_t c = 0; c < count; c += kLanes) {
    store(rounded, loadPartial(from + c, count - c));
    storePartial(to + c, load(rounded), count - c);
  }
}
SLIPWAY_INLINE void roundColumns(const float* from, int64_t count, Bf16* to) {
  for (int64_t c = 0; c < count; c += kLanes) store(to + c, loadPartial(from + c, count - c));
}

// One row on its way through a prologue.
class PreparedRow {
 public:
  PreparedRow(const Prologue& prologue, const float* x) : prologue_(prologue), x_(x), cols_(prologue.cols()) {
    if (prologue.kind == Before::kRmsNorm) factor_ = normFactor(x_, cols_, prologue.eps);
  }
  // Columns [begin, end): where they lie already, or written to `room`.
  const float* columns(int64_t begin, int64_t end, float* room) const {
    if (prologue_.kind == Before::kNothing) return x_ + begin;
    V factor = set1(factor_);
    for (int64_t c = begin; c < end; c += kLanes) {
      int64_t count = end - c;
      V x = loadPartial(x_ + c, count);
      V other = loadPartial((prologue_.kind == Before::kRmsNorm ? prologue_.norm : x_ + cols_) + c, count);
      V y = prologue_.kind == Before::kRmsNorm ? normalized(x, factor, other) : gated(x, other);
      storePartial(room + c - begin, y, count);
    }
    return room;
  }

  // All columns, rounded to bf16 when they are to be, as floats or as Bf16.
  template <class T>
  void rounded(T* to) const {
    constexpr int64_t kRun = 16 * kLanes;
    float room[kRun];
    for (int64_t c = 0; c < cols_; c += kRun) {
      int64_t end = c + kRun < cols_ ? c + kRun : cols_;
      roundColumns(columns(c, end, room), end - c, to + c);
    }
  }

 private:
  const Prologue& prologue_;
  const float* x_;
  int64_t cols_;
  float factor_ = 0;
};

// From so many elements on, threads prepare rows together and meet before they multiply; below, each thread prepares
// what it needs, since meeting costs more.
constexpr int64_t kPrepareAlone = 8192;

}  // namespace slipway::SLIPWAY_TARGET

// The products inside attention: queries by keys, where `b` steps over the columns of a head and its lanes are keys, and
// weights by values, where `b` steps over keys and its lanes are columns. Both are one chain of fma per output.
#pragma once

#include "simd.h"

namespace slipway::SLIPWAY_TARGET {

// One or two vectors of lanes at every step, and the memory to ask for meanwhile.
template <class T>
struct Lanes {
  const T* at[2];
  int vectors;
  int64_t step;
  const T* ahead[2];
  int64_t aheadStep;
};

// out[m][c] continues with the chain of a[m][i] * b[i][c] over i ascending, or starts it at zero when `fresh`.
template <int M, int C, class T>
SLIPWAY_INLINE void multiplyLanes(const float* a, int64_t aStride, const T* b, const T* second, int64_t bStep,
                                  int64_t count, float* out, int64_t outStride, bool fresh, const T* const* aheads,
                                  int64_t aheadStep) {
  const T *ahead = aheads[0], *aheadSecond = C == 2 ? aheads[1] : ahead;
  V acc[M][C];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) acc[m][c] = fresh ? zero() : load(out + m * outStride + c * kLanes);
  }
  for (int64_t i = 0; i < count; i++, b += bStep, second += bStep) {
    // widened operands are in the first-level cache
    if constexpr (sizeof(T) < 4) {
      __builtin_prefetch(ahead);
      ahead += aheadStep;
      if constexpr (C == 2) {
        __builtin_prefetch(aheadSecond);
        aheadSecond += aheadStep;
      }
    }
    V lanes[C];
    lanes[0] = load(b);
    if constexpr (C == 2) lanes[1] = load(second);
    SLIPWAY_UNROLL
    for (int m = 0; m < M; m++) {
      V value = set1(a[m * aStride + i]);
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) acc[m][c] = fma(lanes[c], value, acc[m][c]);
    }
  }
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) store(out + m * outStride + c * kLanes, acc[m][c]);
  }
}

// `rows` <= kTileRows rows of a.
template <class T, int M = kTileRows>
void multiplyRows(int64_t rows, const float* a, int64_t aStride, const Lanes<T>& b, int64_t count, float* out,
                  int64_t outStride, bool fresh) {
  if constexpr (M > 1) {
    if (rows < M) return multiplyRows<T, M - 1>(rows, a, aStride, b, count, out, outStride, fresh);
  }
  constexpr int C = M <= 2 ? kVectorsOfTwoRows : kTileVectors;
  if (C == 2 && b.vectors == 2)
    return multiplyLanes<M, C, T>(a, aStride, b.at[0], b.at[1], b.step, count, out, outStride, fresh, b.ahead,
                                  b.aheadStep);
  for (int c = 0; c < b.vectors; c++)
    multiplyLanes<M, 1, T>(a, aStride, b.at[c], b.at[c], b.step, count, out + c * kLanes, outStride, fresh, b.ahead + c,
                           b.aheadStep);
}

// Any number of rows in tiles of about equal height. What is asked for ahead comes with the first.
template <class T>
void multiplyAll(int64_t rows, const float* a, int64_t aStride, Lanes<T> b, int64_t count, float* out,
                 int64_t outStride, bool fresh) {
  int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (int64_t t = 0; t < tiles; t++) {
    int64_t begin = rows * t / tiles, end = rows * (t + 1) / tiles;
    multiplyRows<T>(end - begin, a + begin * aStride, aStride, b, count, out + begin * outStride, outStride, fresh);
    b.ahead[0] = b.at[0], b.ahead[1] = b.at[1], b.aheadStep = b.step;
  }
}

}  // namespace slipway::SLIPWAY_TARGET

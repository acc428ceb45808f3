// The products inside attention: queries by keys, where `b` steps over the columns of a head and its lanes are keys, and
// weights by values, where `b` steps over keys and its lanes are columns. Both are one chain of fma per output.
#pragma once

#include "simd.h"

namespace slipway::SLIPWAY_TARGET {

constexpr int64_t kLine = 64;  // bytes that memory is asked for at once

// Memory that is needed next, asked for some lines at a time between products: up to two stretches of lines that lie
// `step` bytes apart.
struct Ahead {
  const char* at[2] = {};
  int64_t lines[2] = {}, step = kLine;

  int64_t left() const { return lines[0] + lines[1]; }
  void ask(int64_t count) {
    int i = lines[0] > 0 ? 0 : 1;
    int64_t some = count < lines[i] ? count : lines[i], stride = step;
    const char* line = at[i];
    for (const char* end = line + some * stride; line != end; line += stride) __builtin_prefetch(line);
    at[i] = line, lines[i] -= some;
  }
};

// One or two vectors of lanes at every step.
template <class T>
struct Lanes {
  const T* at[2];
  int vectors;
  int64_t step;
};

// How often memory is asked for within a product, and how many lines then.
struct Pace {
  int64_t steps, lines;
};

// out[m][c] continues with the chain of a[m][i] * b[i][c] over i ascending, or starts it at zero when `fresh`.
template <int M, int C, class T>
SLIPWAY_INLINE void multiplyLanes(const float* a, int64_t aStride, const T* b, const T* second, int64_t bStep,
                                  int64_t count, float* out, int64_t outStride, bool fresh, Ahead& ahead,
                                  const Pace& pace) {
  V acc[M][C];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) acc[m][c] = fresh ? zero() : reorder(load(out + m * outStride + c * kLanes), b);
  }
  for (int64_t i = 0, stop; i < count;) {
    ahead.ask(pace.lines);
    stop = i + pace.steps < count ? i + pace.steps : count;
    for (; i < stop; i++, b += bStep, second += bStep) {
      V lanes[C];
      lanes[0] = loadUnordered(b);
      if constexpr (C == 2) lanes[1] = loadUnordered(second);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        V value = set1(a[m * aStride + i]);
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) acc[m][c] = fma(lanes[c], value, acc[m][c]);
      }
    }
  }
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) store(out + m * outStride + c * kLanes, reorder(acc[m][c], b));
  }
}

// `rows` <= kTileRows rows of a.
template <class T, int M = kTileRows>
void multiplyRows(int64_t rows, const float* a, int64_t aStride, const Lanes<T>& b, int64_t count, float* out,
                  int64_t outStride, bool fresh, Ahead& ahead, const Pace& pace) {
  if constexpr (M > 1) {
    if (rows < M) return multiplyRows<T, M - 1>(rows, a, aStride, b, count, out, outStride, fresh, ahead, pace);
  }
  constexpr int C = M <= 2 ? kVectorsOfTwoRows : kTileVectors;
  if (C == 2 && b.vectors == 2)
    return multiplyLanes<M, C, T>(a, aStride, b.at[0], b.at[1], b.step, count, out, outStride, fresh, ahead, pace);
  for (int c = 0; c < b.vectors; c++)
    multiplyLanes<M, 1, T>(a, aStride, b.at[c], b.at[c], b.step, count, out + c * kLanes, outStride, fresh, ahead, pace);
}

// First row of a tile, for rows cut into tiles of about equal height. Seven rows are cut into five and two: two take both
// vectors, which hides the latency of fma as three rows of one vector would not.
static inline int64_t tileBegin(int64_t rows, int64_t tiles, int64_t tile) {
  if (kTileRows == 6 && rows == 7 && tile == 1) return 5;
  return rows * tile / tiles;
}

// Passes over the lanes that the tiles make.
static inline int64_t passesOf(int64_t rows, int64_t tiles, int vectors) {
  bool low = rows - tileBegin(rows, tiles, tiles - 1) <= 2;
  auto passes = [&](int width) { return (vectors + width - 1) / width; };
  return (tiles - low) * passes(kTileVectors) + (low ? passes(kVectorsOfTwoRows) : 0);
}

// Any number of rows, asking for what is ahead meanwhile: a few lines at a time where there are few products, since many
// would wait for one another and the products for them.
template <class T>
void multiplyAll(int64_t rows, const float* a, int64_t aStride, const Lanes<T>& b, int64_t count, float* out,
                 int64_t outStride, bool fresh, Ahead& ahead) {
  constexpr int64_t kSteps = 16;
  int64_t tiles = (rows + kTileRows - 1) / kTileRows, steps = tiles <= 2 && ahead.left() > 0 ? kSteps : count;
  int64_t asks = passesOf(rows, tiles, b.vectors) * ((count + steps - 1) / steps);
  Pace pace = {steps, (ahead.left() + asks - 1) / asks};
  for (int64_t t = 0; t < tiles; t++) {
    int64_t begin = tileBegin(rows, tiles, t), end = tileBegin(rows, tiles, t + 1);
    multiplyRows<T>(end - begin, a + begin * aStride, aStride, b, count, out + begin * outStride, outStride, fresh, ahead, pace);
  }
}

}  // namespace slipway::SLIPWAY_TARGET

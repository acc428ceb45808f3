// Where the results of a product go: row by row, or to the slots of rows that have chosen experts.
#pragma once

#include "ops.h"

namespace slipway::SLIPWAY_TARGET {

constexpr int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t roundUp(int64_t a, int64_t to) { return (a + to - 1) / to * to; }

// Results of rows that are multiplied in an order of their own. `out` is [R, slots * cols]; slot i lies in row i / slots.
struct Results {
  const Tensor& out;
  int64_t cols;
  const int32_t* order = nullptr;  // the slot of each multiplied row; null: row i is row i of `out`
  int32_t slots = 1;

  float* row(int64_t i) const {
    if (!order) return rowOf<float>(out, i);
    int32_t slot = order[i], row = slot / slots;
    return rowOf<float>(out, row) + (slot - row * slots) * cols;
  }
};

// Stores the lanes of a vector at columns [at, at + 16) that lie within [0, cols): where an expert's outputs are no
// multiple of a panel, it begins and ends in the middle of one.
SLIPWAY_INLINE void storeWithin(float* row, int64_t at, int64_t cols, V y) {
  if (at >= 0) return storePartial(row + at, y, cols - at);
  float all[kLanes];
  store(all, y);
  for (int64_t i = -at; i < kLanes && at + i < cols; i++) row[at + i] = all[i];
}

}  // namespace slipway::SLIPWAY_TARGET

// Where keys, values and their scales lie in the paged caches.
#pragma once

#include "ops.h"

namespace slipway::SLIPWAY_TARGET {

// Elements of one slot: `at[i * step]` is column i.
template <class T>
struct Strided {
  T* at;
  int64_t step;
};

// Columns of a slot from `column` on. In key tiles, 16 consecutive slots are the lanes of one vector per column.
template <class T>
SLIPWAY_INLINE Strided<T> columnsOf(const Tensor& cache, int64_t slot, int64_t column) {
  if (cache.layout != Layout::kKeyTiles) return {rowOf<T>(cache, slot) + column, 1};
  return {(T*)cache.data + (slot / kKeyTile * cache.cols + column) * kKeyTile + slot % kKeyTile, kKeyTile};
}

// True for caches [blocks, blockSize, H * D] with, for int8, a scale per slot and head [blocks, blockSize, H] each.
static inline bool areCaches(const Tensor& keys, const Tensor& values, const Tensor& keyScales,
                             const Tensor& valueScales) {
  bool scaled = keys.dtype == DType::kI8;
  for (const Tensor* t : {&keyScales, &valueScales}) {
    if ((t->data != nullptr) != scaled) return false;
    if (scaled && (t->dtype != DType::kF32 || t->rows != keys.rows || t->cols <= 0 || keys.cols % t->cols)) return false;
  }
  for (const Tensor* t : {&keys, &values, &keyScales, &valueScales}) {
    if (t->layout == Layout::kKeyTiles && (t->dims[1] % kKeyTile || t->stride != t->cols)) return false;
    if (t->layout == Layout::kPanel) return false;
  }
  return values.layout == Layout::kRow && keys.dtype == values.dtype && keys.rows == values.rows &&
         keys.cols == values.cols && keyScales.cols == valueScales.cols;
}

}  // namespace slipway::SLIPWAY_TARGET

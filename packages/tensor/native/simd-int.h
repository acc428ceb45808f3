// Integer products on every instruction set: sums of u8 weights times s8 activations in sixteen lanes of 32 bits.
// Integer sums are exact, so targets may add in any order and still agree.
//
// A step of a packed panel is 128 bytes, four for each of 32 columns. Activations of a tile of M rows are stored as
// [k / 4][M] quads, so that one broadcast of a quad meets four weights of every column.
#pragma once

#include "command.h"
#include "simd.h"

namespace slipway::SLIPWAY_TARGET {

constexpr int64_t kStepBytes = 4 * kPanel;

// What a step holds: eight k in half bytes, four k in bytes, or four k in bytes below 16 (half bytes that were spread).
enum class Form { kNibbles, kBytes, kSpread };

template <Form F>
constexpr int kQuadsOfStep = F == Form::kNibbles ? 2 : 1;

SLIPWAY_INLINE int32_t quadAt(const void* from) {
  int32_t quad;
  memcpy(&quad, from, 4);
  return quad;
}

}  // namespace slipway::SLIPWAY_TARGET

// Each of these offers
//   kQuadBytes<F>        bytes of four stored activations
//   kDotRows<F>          rows of the largest tile
//   kDotVectors<M>       vectors of columns that a tile of M rows takes at a time, 1 or 2
//   kByteOffset          what kBytes takes off its weights: 128 where only signed products exist
//   kSpreadForm          the form that half bytes are spread into
//   storeQuads<F>(to, stride, q, count)  stores sixteen activations, or fewer quads
//   dotSteps<F>(sums, w, q, steps)       adds the products of `steps` steps
#if defined(__AVX512F__)
#include "simd-int-avx512.h"
#elif defined(__AVX2__) || defined(__SSSE3__)
#include "simd-int-pairs.h"
#else
#include "simd-int-quad.h"
#endif

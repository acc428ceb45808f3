// Integer products on every instruction set: sums of u8 weights times s8 activations in sixteen lanes of 32 bits.
// Integer sums are exact, so targets may add in any order and still agree.
//
// A step of a packed panel is 128 bytes, four for each of 32 columns. Activations of a tile of M rows are stored as
// [k / 4][M] quads, so that one broadcast of a quad meets four weights of every column.
#pragma once

#include <utility>

#include "command.h"
#include "simd.h"

namespace slipway::SLIPWAY_TARGET {

constexpr int64_t kStepBytes = 4 * kPanel;

// What a step holds: eight k in half bytes, or four k in bytes.
enum class Form { kNibbles, kBytes };

template <Form F>
constexpr int kQuadsOfStep = F == Form::kNibbles ? 2 : 1;

SLIPWAY_INLINE int32_t quadAt(const void* from) {
  int32_t quad;
  memcpy(&quad, from, 4);
  return quad;
}

// Asks for the step that lies kAhead bytes further. The processor's own prefetching falls behind when there is
// arithmetic between the loads.
template <int kAhead>
SLIPWAY_INLINE void askAhead(const uint8_t* w) {
  if constexpr (kAhead > 0)
    for (int64_t i = 0; i < kStepBytes; i += 64) __builtin_prefetch(w + kAhead + i);
}

}  // namespace slipway::SLIPWAY_TARGET

// Each of these offers
//   kQuadBytes<F>        bytes of four stored activations
//   kDotRows<F>          rows of the largest tile
//   kDotVectors<M>       vectors of columns that a tile of M rows takes at a time, 1 or 2
//   kByteOffset          what kBytes takes off its weights: 128 where only signed products exist
//   kSpreadTiles         from so many tiles on, half bytes are spread to bytes once for all of them
//   storeQuads<F>(to, stride, q, count)           stores sixteen activations, or fewer quads
//   dotSteps<F, M, C, kAhead>(sums, w, q, steps)  adds the products of `steps` steps, asking for weights ahead
//   Dots, dotOnce<F>(sum, w, q), kDotProducts<F>  one multiply and add of dotSteps, and how many products it makes
#if defined(__AVX512F__)
#include "simd-int-avx512.h"
#elif defined(__AVX2__) || defined(__SSSE3__)
#include "simd-int-pairs.h"
#else
#include "simd-int-quad.h"
#endif

namespace slipway::SLIPWAY_TARGET {

// Operations of `rounds` rounds of independent multiplies and adds of integers, as dotSteps makes them.
template <Form F>
SLIPWAY_INLINE int64_t integerProductsOf(int64_t rounds, int32_t* sink) {
  // as many chains as the largest tile has: enough to hide the latency, few enough for the registers
  constexpr int kRows = kDotRows<F>, kChains = kRows * kDotVectors<kRows> * int(sizeof(I) / sizeof(Dots));
  // values unknown to the compiler; equal chains would be computed once
  volatile int32_t unknown = 0x01010101;
  int32_t lanes[sizeof(Dots) / 4];
  for (int32_t& lane : lanes) lane = unknown;
  auto next = [&] {
    Dots dots;
    lanes[0]++;
    memcpy(&dots, lanes, sizeof dots);
    return dots;
  };
  // a loop over the chains, even one that is unrolled, would leave them in memory
  return [&]<size_t... C>(std::index_sequence<C...>) {
    Dots weights = next(), quad = next(), sums[] = {((void)C, next())...};
    for (int64_t r = 0; r < rounds; r++) (dotOnce<F>(sums[C], weights, quad), ...);
    *sink = 0;
    auto mix = [&](const Dots& dots) {
      memcpy(lanes, &dots, sizeof dots);
      for (int32_t lane : lanes) *sink ^= lane;
    };
    (mix(sums[C]), ...);
    return rounds * kChains * kDotProducts<F> * 2;
  }(std::make_index_sequence<kChains>());
}

// Steps of half bytes as twice as many steps of bytes: of each the low halves, then the high ones.
SLIPWAY_INLINE void spreadNibbles(const uint8_t* from, uint8_t* to, int64_t steps) {
  for (int64_t s = 0; s < steps; s++, from += kStepBytes, to += 2 * kStepBytes) {
    askAhead<2048>(from);
    for (int64_t i = 0; i < kStepBytes; i++) to[i] = from[i] & 15, to[kStepBytes + i] = from[i] >> 4;
  }
}

}  // namespace slipway::SLIPWAY_TARGET

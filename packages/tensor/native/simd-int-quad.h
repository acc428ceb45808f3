// NEON, and the portable rest, in the compiler's own vector types.
#pragma once

namespace slipway::SLIPWAY_TARGET {

struct I {
  I4 q[4];
};

#define SLIPWAY_EACH_INT(expression)                          \
  I out;                                                      \
  SLIPWAY_UNROLL for (int i = 0; i < 4; i++) out.q[i] = (expression); \
  return out

SLIPWAY_INLINE I spreadInt(int32_t x) { SLIPWAY_EACH_INT((I4{x, x, x, x})); }
SLIPWAY_INLINE I addInt(I a, I b) { SLIPWAY_EACH_INT(a.q[i] + b.q[i]); }
SLIPWAY_INLINE I mulInt(I a, I b) { SLIPWAY_EACH_INT(a.q[i] * b.q[i]); }
SLIPWAY_INLINE I loadInt(const uint8_t* p) {
  SLIPWAY_EACH_INT((I4{p[4 * i], p[4 * i + 1], p[4 * i + 2], p[4 * i + 3]}));
}
SLIPWAY_INLINE V toFloat(I a) { SLIPWAY_EACH(__builtin_convertvector(a.q[i], F4)); }
// adding 1.5 * 2^23 rounds to the nearest even integer and leaves it in the low bits
SLIPWAY_INLINE I roundInt(V x) { SLIPWAY_EACH_INT((I4)(x.q[i] + spread(12582912.0f)) - 0x4b400000); }
// as integers the magnitudes of floats are in order, and NaN is the largest
SLIPWAY_INLINE I maxMagnitude(I a, V x) {
  I magnitude;
  for (int i = 0; i < 4; i++) magnitude.q[i] = (I4)x.q[i] & 0x7fffffff;
  SLIPWAY_EACH_INT((I4)select(a.q[i] > magnitude.q[i], (F4)a.q[i], (F4)magnitude.q[i]));
}
SLIPWAY_INLINE void storeInt(int32_t* p, I a) { memcpy(p, &a, sizeof a); }

template <Form F>
constexpr int kQuadBytes = 4;
constexpr int64_t kSpreadTiles = INT64_MAX;
template <int M>
constexpr int kDotVectors = 1;
// bytes ahead at which tiles of M rows ask for weights that come from memory (lab/README.md)
template <int M>
constexpr int kStreamAhead = 2048;

template <Form F>
SLIPWAY_INLINE void storeQuads(uint8_t* to, int64_t stride, I q, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    for (int j = 0; j < 4; j++) to[i * stride + j] = (uint8_t)q.q[i][j];
}

#if defined(__ARM_FEATURE_DOTPROD)
template <Form F>
constexpr int kDotRows = 4;
// there are only products of signed bytes: 128 off makes the weights signed
constexpr int kByteOffset = 128;

SLIPWAY_INLINE void dotQuad(I& sum, const int8x16_t* weights, const uint8_t* quad) {
  int8x16_t all = vreinterpretq_s8_s32(vdupq_n_s32(quadAt(quad)));
  SLIPWAY_UNROLL
  for (int i = 0; i < 4; i++) sum.q[i] = (I4)vdotq_s32((int32x4_t)sum.q[i], weights[i], all);
}

using Dots = int32x4_t;
template <Form F>
constexpr int kDotProducts = 16;
template <Form F>
SLIPWAY_INLINE void dotOnce(Dots& sum, Dots weights, Dots quad) {
  sum = vdotq_s32(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(quad));
}

template <Form F, int M, int C, int kAhead = 0>
SLIPWAY_INLINE void dotSteps(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
  for (int64_t s = 0; s < steps; s++, w += kStepBytes, q += 4 * kQuadsOfStep<F> * M) {
    askAhead<kAhead>(w);
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) {
      int8x16_t first[4], second[4];
      SLIPWAY_UNROLL
      for (int i = 0; i < 4; i++) {
        uint8x16_t bytes = vld1q_u8(w + 64 * c + 16 * i);
        if constexpr (F == Form::kBytes) bytes = veorq_u8(bytes, vdupq_n_u8(128));
        if constexpr (F == Form::kNibbles) second[i] = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
        if constexpr (F == Form::kNibbles) bytes = vandq_u8(bytes, vdupq_n_u8(15));
        first[i] = vreinterpretq_s8_u8(bytes);
      }
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        dotQuad(sums[m][c], first, q + 4 * m);
        if constexpr (F == Form::kNibbles) dotQuad(sums[m][c], second, q + 4 * (M + m));
      }
    }
  }
}
#else
constexpr int kByteOffset = 0;
template <Form F>
constexpr int kDotRows = 2;

using Dots = I4;
template <Form F>
constexpr int kDotProducts = 4;
template <Form F>
SLIPWAY_INLINE void dotOnce(Dots& sum, Dots weights, Dots quad) {
  // or the compiler would multiply once
  asm volatile("" : "+m"(weights));
  sum += weights * quad;
}

SLIPWAY_INLINE int32_t dotQuad(const uint8_t* weights, int shift, int mask, const uint8_t* quad) {
  int32_t sum = 0;
  for (int j = 0; j < 4; j++) sum += ((weights[j] >> shift) & mask) * (int8_t)quad[j];
  return sum;
}

template <Form F, int M, int C, int kAhead = 0>
SLIPWAY_INLINE void dotSteps(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
  constexpr int kMask = F == Form::kBytes ? 255 : 15;
  for (int64_t s = 0; s < steps; s++, w += kStepBytes, q += 4 * kQuadsOfStep<F> * M)
    for (int m = 0; m < M; m++)
      for (int n = 0; n < C * kLanes; n++) {
        int32_t sum = dotQuad(w + 4 * n, 0, kMask, q + 4 * m);
        if constexpr (F == Form::kNibbles) sum += dotQuad(w + 4 * n, 4, kMask, q + 4 * (M + m));
        sums[m][n / kLanes].q[n % kLanes / 4][n % 4] += sum;
      }
}
#endif

}  // namespace slipway::SLIPWAY_TARGET

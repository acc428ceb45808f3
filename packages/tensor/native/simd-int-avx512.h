// AVX-512 VNNI: `vpdpbusd` multiplies 64 bytes of weights with a broadcast quad and adds fours into 32 bits.
#pragma once

namespace slipway::SLIPWAY_TARGET {

struct I {
  __m512i v;
};

SLIPWAY_INLINE I spreadInt(int32_t x) { return {_mm512_set1_epi32(x)}; }
SLIPWAY_INLINE I addInt(I a, I b) { return {_mm512_add_epi32(a.v, b.v)}; }
SLIPWAY_INLINE I mulInt(I a, I b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
SLIPWAY_INLINE I loadInt(const uint8_t* p) { return {_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p))}; }
SLIPWAY_INLINE V toFloat(I a) { return {_mm512_cvtepi32_ps(a.v)}; }
SLIPWAY_INLINE I roundInt(V x) { return {_mm512_cvtps_epi32(x.v)}; }
// as integers the magnitudes of floats are in order, and NaN is the largest
SLIPWAY_INLINE I maxMagnitude(I a, V x) {
  __m512i magnitude = _mm512_and_si512(_mm512_castps_si512(x.v), _mm512_set1_epi32(0x7fffffff));
  return {_mm512_max_epu32(a.v, magnitude)};
}
SLIPWAY_INLINE void storeInt(int32_t* p, I a) { _mm512_storeu_si512(p, a.v); }

template <Form F>
constexpr int kQuadBytes = 4;
constexpr int kByteOffset = 0;
template <Form F>
constexpr int kDotRows = 6;
// `vpdpbusd` shares a port with the shift that every tile would need
constexpr int64_t kSpreadTiles = 3;
template <int M>
constexpr int kDotVectors = 2;
// bytes ahead at which tiles of M rows ask for weights that come from memory (lab/README.md)
template <int M>
constexpr int kStreamAhead = M == 1 ? 6144 : 8192;

template <Form F>
SLIPWAY_INLINE void storeQuads(uint8_t* to, int64_t stride, I q, int64_t count) {
  int32_t quads[4];
  _mm_storeu_si128((__m128i*)quads, _mm512_cvtepi32_epi8(q.v));
  for (int64_t i = 0; i < count; i++) memcpy(to + i * stride, quads + i, 4);
}

// gcc 12 copies the sums in every step when it is given the intrinsic
SLIPWAY_INLINE void dot(__m512i& sum, __m512i weights, __m512i quad) {
#if defined(__AVX512VNNI__)
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(quad));
#else
  sum = _mm512_dpbusd_epi32(sum, weights, quad);
#endif
}

using Dots = __m512i;
template <Form F>
constexpr int kDotProducts = 64;
template <Form F>
SLIPWAY_INLINE void dotOnce(Dots& sum, Dots weights, Dots quad) {
  dot(sum, weights, quad);
}

SLIPWAY_INLINE __m512i spreadQuad(const uint8_t* p) { return _mm512_set1_epi32(quadAt(p)); }

template <Form F, int M, int C, int kAhead = 0>
SLIPWAY_INLINE void dotSteps(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
  if constexpr (F == Form::kNibbles) {
    // two rows or fewer have too few sums to hide the latency of a product: their high halves get sums of their own
    constexpr bool kApart = M <= 2;
    __m512i mask = _mm512_set1_epi8(15), high[M][C];
    SLIPWAY_UNROLL
    for (int m = 0; m < M; m++) {
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) high[m][c] = _mm512_setzero_si512();
    }
    for (int64_t i = 0; i < steps; i++, w += kStepBytes, q += 8 * M) {
      askAhead<kAhead>(w);
      __m512i weights[C];
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) weights[c] = _mm512_and_si512(_mm512_loadu_si512(w + 64 * c), mask);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        __m512i quad = spreadQuad(q + 4 * m);
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) dot(sums[m][c].v, weights[c], quad);
      }
      // loading again costs less than holding both halves in registers
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++)
        weights[c] = _mm512_and_si512(_mm512_srli_epi16(_mm512_loadu_si512(w + 64 * c), 4), mask);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        __m512i quad = spreadQuad(q + 4 * (M + m));
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) dot(kApart ? high[m][c] : sums[m][c].v, weights[c], quad);
      }
    }
    if constexpr (kApart) {
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) sums[m][c].v = _mm512_add_epi32(sums[m][c].v, high[m][c]);
      }
    }
  } else {
    for (int64_t i = 0; i < steps; i++, w += kStepBytes, q += 4 * M) {
      askAhead<kAhead>(w);
      __m512i weights[C];
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) weights[c] = _mm512_loadu_si512(w + 64 * c);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        __m512i quad = spreadQuad(q + 4 * m);
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) dot(sums[m][c].v, weights[c], quad);
      }
    }
  }
}

}  // namespace slipway::SLIPWAY_TARGET

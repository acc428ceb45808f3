// AVX2 and SSSE3: products of neighbouring bytes or 16-bit numbers, added in pairs.
//
// Half bytes: `maddubs` gives 16-bit sums of two products, at most 2 * 15 * 127 = 3810, so eight of them fit before
// they are widened. Bytes would overflow 16 bits (2 * 255 * 127), so they are taken as even and odd 16-bit numbers.
#pragma once

#include <immintrin.h>

namespace slipway::SLIPWAY_TARGET {

#if defined(__AVX2__)
using Bits = __m256i;
#define SLIPWAY_BITS(name) _mm256_##name
#define SLIPWAY_BITS_SI(name) _mm256_##name##_si256
#else
using Bits = __m128i;
#define SLIPWAY_BITS(name) _mm_##name
#define SLIPWAY_BITS_SI(name) _mm_##name##_si128
#endif
// registers that hold sixteen lanes
constexpr int kParts = 64 / sizeof(Bits);

struct I {
  Bits part[kParts];
};

#define SLIPWAY_EACH_PART(expression)                                         \
  I out;                                                                      \
  SLIPWAY_UNROLL for (int i = 0; i < kParts; i++) out.part[i] = (expression); \
  return out

SLIPWAY_INLINE Bits bitsOf(V x, int i) {
  Bits bits;
  memcpy(&bits, (const char*)&x + i * sizeof(Bits), sizeof bits);
  return bits;
}
SLIPWAY_INLINE I spreadInt(int32_t x) { SLIPWAY_EACH_PART(SLIPWAY_BITS(set1_epi32)(x)); }
SLIPWAY_INLINE I addInt(I a, I b) { SLIPWAY_EACH_PART(SLIPWAY_BITS(add_epi32)(a.part[i], b.part[i])); }
SLIPWAY_INLINE I mulInt(I a, I b) { SLIPWAY_EACH_PART(SLIPWAY_BITS(mullo_epi32)(a.part[i], b.part[i])); }
// as integers the magnitudes of floats are in order, and NaN is the largest
SLIPWAY_INLINE I maxMagnitude(I a, V x) {
  SLIPWAY_EACH_PART(SLIPWAY_BITS(max_epu32)(
      a.part[i], SLIPWAY_BITS_SI(and)(bitsOf(x, i), SLIPWAY_BITS(set1_epi32)(0x7fffffff))));
}
SLIPWAY_INLINE void storeInt(int32_t* p, I a) { memcpy(p, &a, sizeof a); }

#if defined(__AVX2__)
SLIPWAY_INLINE I loadInt(const uint8_t* p) {
  SLIPWAY_EACH_PART(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(p + 8 * i))));
}
SLIPWAY_INLINE V toFloat(I a) { return {_mm256_cvtepi32_ps(a.part[0]), _mm256_cvtepi32_ps(a.part[1])}; }
SLIPWAY_INLINE I roundInt(V x) { return {{_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}}; }
#else
SLIPWAY_INLINE I loadInt(const uint8_t* p) {
  SLIPWAY_EACH_PART(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(quadAt(p + 4 * i))));
}
SLIPWAY_INLINE V toFloat(I a) {
  V out;
  for (int i = 0; i < kParts; i++) out.q[i] = (F4)_mm_cvtepi32_ps(a.part[i]);
  return out;
}
SLIPWAY_INLINE I roundInt(V x) { SLIPWAY_EACH_PART(_mm_cvtps_epi32((__m128)x.q[i])); }
#endif

// Half bytes meet activations as bytes; bytes meet them as 16 bits, in the order k, k+2, k+1, k+3.
template <Form F>
constexpr int kQuadBytes = F == Form::kBytes ? 8 : 4;
constexpr int kByteOffset = 0;
// the multiplies of bytes take twice as long as those of half bytes
constexpr int64_t kSpreadTiles = INT64_MAX;
// bytes ahead at which tiles of M rows ask for weights that come from memory (lab/README.md)
template <int M>
constexpr int kStreamAhead = M == 1 ? 1280 : 2048;
#if defined(__AVX2__)
// five rows just fit the registers and are slower
template <Form F>
constexpr int kDotRows = 4;
template <int M>
constexpr int kDotVectors = M <= 2 ? 2 : 1;
#else
template <Form F>
constexpr int kDotRows = 2;
template <int M>
constexpr int kDotVectors = 1;
#endif

template <Form F>
SLIPWAY_INLINE void storeQuads(uint8_t* to, int64_t stride, I q, int64_t count) {
  int32_t all[kLanes];
  storeInt(all, q);
  for (int64_t i = 0; i < count; i++) {
    const int32_t* quad = all + 4 * i;
    uint32_t low = (uint32_t)quad[0], high = (uint32_t)quad[1];
    if constexpr (F == Form::kBytes) {
      uint32_t pairs[2] = {(low & 0xffff) | (uint32_t)quad[2] << 16, (high & 0xffff) | (uint32_t)quad[3] << 16};
      memcpy(to + i * stride, pairs, 8);
    } else {
      uint32_t bytes = (low & 0xff) | (high & 0xff) << 8 | ((uint32_t)quad[2] & 0xff) << 16 | (uint32_t)quad[3] << 24;
      memcpy(to + i * stride, &bytes, 4);
    }
  }
}

SLIPWAY_INLINE Bits loadBits(const uint8_t* p) {
  Bits bits;
  memcpy(&bits, p, sizeof bits);
  return bits;
}
SLIPWAY_INLINE Bits spreadQuad(const uint8_t* p) { return SLIPWAY_BITS(set1_epi32)(quadAt(p)); }
SLIPWAY_INLINE Bits lowNibbles(Bits x) { return SLIPWAY_BITS_SI(and)(x, SLIPWAY_BITS(set1_epi8)(15)); }
SLIPWAY_INLINE Bits highNibbles(Bits x) { return lowNibbles(SLIPWAY_BITS(srli_epi16)(x, 4)); }

// Adds 16-bit sums of pairs to sums of four.
SLIPWAY_INLINE Bits addPairs(Bits sum, Bits pairs) {
  return SLIPWAY_BITS(add_epi32)(sum, SLIPWAY_BITS(madd_epi16)(pairs, SLIPWAY_BITS(set1_epi16)(1)));
}

// Adds products of pairs. As one piece of assembly it needs a single register for the product; the compiler's own order
// needs several and leaves sums in memory.
SLIPWAY_INLINE void dotPairs(Bits& sum, Bits weights, Bits quad) {
#if defined(__AVX2__)
  Bits product;
  asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(weights), "x"(quad));
#else
  sum = _mm_add_epi16(sum, _mm_maddubs_epi16(weights, quad));
#endif
}
// Two at a time: multiplies that follow one another leave the ports of the additions free.
SLIPWAY_INLINE void dotPairs(Bits (&sums)[2], const Bits* weights, Bits quad) {
#if defined(__AVX2__)
  Bits first, second;
  asm("vpmaddubsw %6, %4, %2\n\tvpmaddubsw %6, %5, %3\n\tvpaddw %2, %0, %0\n\tvpaddw %3, %1, %1"
      : "+x"(sums[0]), "+x"(sums[1]), "=&x"(first), "=&x"(second)
      : "x"(weights[0]), "x"(weights[1]), "x"(quad));
#else
  for (int i = 0; i < 2; i++) dotPairs(sums[i], weights[i], quad);
#endif
}

// The same of 16-bit numbers, whose sums of pairs have 32 bits.
SLIPWAY_INLINE void dotWide(Bits& first, Bits& second, const Bits (&weights)[2], Bits quad) {
#if defined(__AVX2__)
  Bits a, b;
  asm("vpmaddwd %6, %4, %2\n\tvpmaddwd %6, %5, %3\n\tvpaddd %2, %0, %0\n\tvpaddd %3, %1, %1"
      : "+x"(first), "+x"(second), "=&x"(a), "=&x"(b)
      : "x"(weights[0]), "x"(weights[1]), "x"(quad));
#else
  first = _mm_add_epi32(first, _mm_madd_epi16(weights[0], quad));
  second = _mm_add_epi32(second, _mm_madd_epi16(weights[1], quad));
#endif
}

using Dots = Bits;
template <Form F>
constexpr int kDotProducts = F == Form::kNibbles ? sizeof(Bits) : sizeof(Bits) / 2;
template <Form F>
SLIPWAY_INLINE void dotOnce(Dots& sum, Dots weights, Dots quad) {
  // or the compiler would multiply once
  asm volatile("" : "+x"(weights));
  if constexpr (F == Form::kNibbles) dotPairs(sum, weights, quad);
  else sum = SLIPWAY_BITS(add_epi32)(sum, SLIPWAY_BITS(madd_epi16)(weights, quad));
}

// Loads of the next step, made before this one ends, would push sums out of registers.
SLIPWAY_INLINE void keepOrder() { asm volatile("" ::: "memory"); }

// Adds kSteps steps, few enough for 16 bits, then widens.
template <int M, int C, int kAhead, int kSteps>
SLIPWAY_INLINE void dotBlock(I (&sums)[M][C], const uint8_t* w, const uint8_t* q) {
  constexpr int kTwos = C * kParts / 2;
  Bits pairs[M][kTwos][2];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < kTwos; c++) pairs[m][c][0] = pairs[m][c][1] = Bits{};
  }
  SLIPWAY_UNROLL
  for (int i = 0; i < kSteps; i++, w += kStepBytes, q += 8 * M) {
    askAhead<kAhead>(w);
    // loading twice costs less than holding both halves in registers
    SLIPWAY_UNROLL
    for (int h = 0; h < 2; h++) {
      Bits weights[kTwos][2];
      SLIPWAY_UNROLL
      for (int c = 0; c < 2 * kTwos; c++) {
        Bits both = loadBits(w + c * sizeof(Bits));
        weights[c / 2][c % 2] = h ? highNibbles(both) : lowNibbles(both);
      }
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        Bits quad = spreadQuad(q + 4 * (h * M + m));
        SLIPWAY_UNROLL
        for (int c = 0; c < kTwos; c++) dotPairs(pairs[m][c], weights[c], quad);
      }
    }
    keepOrder();
  }
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < 2 * kTwos; c++) {
      Bits& sum = sums[m][c / kParts].part[c % kParts];
      sum = addPairs(sum, pairs[m][c / 2][c % 2]);
    }
  }
}

template <int M, int C, int kAhead>
SLIPWAY_INLINE void dotNibbles(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
  constexpr int kBlock = 4;
  for (; steps >= kBlock; steps -= kBlock, w += kBlock * kStepBytes, q += kBlock * 8 * M)
    dotBlock<M, C, kAhead, kBlock>(sums, w, q);
  for (; steps > 0; steps--, w += kStepBytes, q += 8 * M) dotBlock<M, C, kAhead, 1>(sums, w, q);
}

template <int M, int C, int kAhead>
SLIPWAY_INLINE void dotStep(I (&sums)[M][C], const uint8_t* w, const uint8_t* q) {
  constexpr int kTwos = C * kParts / 2;
  askAhead<kAhead>(w);
  SLIPWAY_UNROLL
  for (int h = 0; h < 2; h++) {
    Bits weights[kTwos][2];
    SLIPWAY_UNROLL
    for (int c = 0; c < 2 * kTwos; c++) {
      Bits bytes = loadBits(w + c * sizeof(Bits)), mask = SLIPWAY_BITS(set1_epi16)(0xff);
      weights[c / 2][c % 2] = h ? SLIPWAY_BITS(srli_epi16)(bytes, 8) : SLIPWAY_BITS_SI(and)(bytes, mask);
    }
    SLIPWAY_UNROLL
    for (int m = 0; m < M; m++) {
      Bits quad = spreadQuad(q + 8 * m + 4 * h);
      SLIPWAY_UNROLL
      for (int c = 0; c < kTwos; c++) {
        Bits* part = &sums[m][2 * c / kParts].part[2 * c % kParts];
        dotWide(part[0], part[1], weights[c], quad);
      }
    }
  }
  keepOrder();
}

template <int M, int C, int kAhead>
SLIPWAY_INLINE void dotBytes(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
  for (; steps >= 2; steps -= 2, w += 2 * kStepBytes, q += 16 * M) {
    dotStep<M, C, kAhead>(sums, w, q);
    dotStep<M, C, kAhead>(sums, w + kStepBytes, q + 8 * M);
  }
  if (steps > 0) dotStep<M, C, kAhead>(sums, w, q);
}

template <Form F, int M, int C, int kAhead = 0>
SLIPWAY_INLINE void dotSteps(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
  if constexpr (F == Form::kBytes) dotBytes<M, C, kAhead>(sums, w, q, steps);
  else dotNibbles<M, C, kAhead>(sums, w, q, steps);
}

}  // namespace slipway::SLIPWAY_TARGET

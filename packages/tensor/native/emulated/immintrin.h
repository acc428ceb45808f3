// Stands in for the compiler's header when the AVX-512 kernels are built for a machine without it: SIMDe
// (apt install libsimde-dev) computes what each instruction would, slowly and independently of our kernels. What its
// release lacks is added here after Intel's description. See SLIPWAY_EMULATE in scripts/build-native.mjs.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef __mmask16
#define __mmask16 simde__mmask16
#endif
#ifndef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC
#endif

// sixteen lanes, each converted as C converts it
template <class Result, class To, class From, class Argument>
static inline Result convertLanes(Argument argument) {
  From from[16];
  To to[16];
  Result result;
  memcpy(from, &argument, sizeof from);
  for (int i = 0; i < 16; i++) to[i] = (To)from[i];
  memcpy(&result, to, sizeof result);
  return result;
}

static inline __m512i _mm512_cvtepu8_epi32(__m128i a) { return convertLanes<__m512i, int32_t, uint8_t>(a); }
static inline __m512i _mm512_cvtepi8_epi32(__m128i a) { return convertLanes<__m512i, int32_t, int8_t>(a); }
static inline __m512i _mm512_cvtepu16_epi32(__m256i a) { return convertLanes<__m512i, int32_t, uint16_t>(a); }
static inline __m512 _mm512_cvtepi32_ps(__m512i a) { return convertLanes<__m512, float, int32_t>(a); }
static inline __m256i _mm512_cvtepi32_epi16(__m512i a) { return convertLanes<__m256i, int16_t, int32_t>(a); }
static inline __m128i _mm512_cvtepi32_epi8(__m512i a) { return convertLanes<__m128i, int8_t, int32_t>(a); }

static inline __m512i _mm512_cvtps_epi32(__m512 a) {
  float lanes[16];
  memcpy(lanes, &a, sizeof lanes);
  for (float& lane : lanes) lane = nearbyintf(lane);
  memcpy(&a, lanes, sizeof lanes);
  return convertLanes<__m512i, int32_t, float>(a);
}

static inline __m256 _mm512_extractf32x8_ps(__m512 a, int half) {
  __m256 result;
  memcpy(&result, (const char*)&a + 32 * half, 32);
  return result;
}

static inline __m512 _mm512_cvtph_ps(__m256i a) {
  __m128i halves[2];
  memcpy(halves, &a, sizeof halves);
  __m256 wide[2] = {_mm256_cvtph_ps(halves[0]), _mm256_cvtph_ps(halves[1])};
  __m512 result;
  memcpy(&result, wide, sizeof result);
  return result;
}

static inline __m256i _mm512_cvtps_ph(__m512 a, int) {
  __m128i halves[2] = {_mm256_cvtps_ph(_mm512_extractf32x8_ps(a, 0), 0), _mm256_cvtps_ph(_mm512_extractf32x8_ps(a, 1), 0)};
  __m256i result;
  memcpy(&result, halves, sizeof result);
  return result;
}

// SIMDe's own rounds twice
#undef _mm512_fmadd_ps
static inline __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) {
  float x[16], y[16], z[16];
  memcpy(x, &a, sizeof x);
  memcpy(y, &b, sizeof y);
  memcpy(z, &c, sizeof z);
  for (int i = 0; i < 16; i++) z[i] = fmaf(x[i], y[i], z[i]);
  memcpy(&c, z, sizeof z);
  return c;
}

// SIMDe's adds the lower product first and keeps subnormals. The instruction adds the upper one first, each with one
// rounding, takes subnormals for zeros, and gives zeros for them.
#undef _mm512_dpbf16_ps
static inline float flushed(float x) { return isless(fabsf(x), 0x1p-126f) ? copysignf(0.0f, x) : x; }
static inline float widened(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return flushed(x);
}
static inline __m512 _mm512_dpbf16_ps(__m512 sums, __m512bh a, __m512bh b) {
  float sum[16];
  uint16_t x[32], y[32];
  memcpy(sum, &sums, sizeof sum);
  memcpy(x, &a, sizeof x);
  memcpy(y, &b, sizeof y);
  for (int i = 0; i < 16; i++) {
    sum[i] = flushed(fmaf(widened(x[2 * i + 1]), widened(y[2 * i + 1]), flushed(sum[i])));
    sum[i] = flushed(fmaf(widened(x[2 * i]), widened(y[2 * i]), sum[i]));
  }
  memcpy(&sums, sum, sizeof sum);
  return sums;
}

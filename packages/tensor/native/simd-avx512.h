// AVX-512 (F, BW, DQ, VL): one register of sixteen lanes.
#pragma once

#include <immintrin.h>

namespace slipway::SLIPWAY_TARGET {

// tile of the matrix product: rows x vectors that fit the 32 registers with weights and one broadcast
constexpr int kTileRows = 8, kTileVectors = 2, kTileK = 128;
constexpr int kVectorsOfTwoRows = 2, kPanelsOfOneRow = 2;

struct V {
  __m512 v;
};

SLIPWAY_INLINE V zero() { return {_mm512_setzero_ps()}; }
SLIPWAY_INLINE V set1(float x) { return {_mm512_set1_ps(x)}; }
SLIPWAY_INLINE V add(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
SLIPWAY_INLINE V sub(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
SLIPWAY_INLINE V mul(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
SLIPWAY_INLINE V div(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
SLIPWAY_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// a > b ? a : b and a < b ? a : b, so the second operand's NaN survives
SLIPWAY_INLINE V max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
SLIPWAY_INLINE V min(V a, V b) { return {_mm512_min_ps(a.v, b.v)}; }

SLIPWAY_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
SLIPWAY_INLINE V load(const Bf16* p) {
  __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
SLIPWAY_INLINE V load(const F16* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
SLIPWAY_INLINE V load(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)))};
}

SLIPWAY_INLINE void store(float* p, V a) { _mm512_storeu_ps(p, a.v); }
SLIPWAY_INLINE void store(Bf16* p, V a) {
  __m512i bits = _mm512_castps_si512(a.v);
  __m512i high = _mm512_srli_epi32(bits, 16);
  __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
  __mmask16 isNan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  __m512i quiet = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, isNan, quiet)));
}
SLIPWAY_INLINE void store(F16* p, V a) {
  __m256i bits = _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __mmask16 isNan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  _mm256_storeu_si256((__m256i*)p, _mm256_mask_mov_epi16(bits, isNan, _mm256_set1_epi16(0x7e00)));
}

// 2^n for the integer n in the low bits of t (see exponential)
SLIPWAY_INLINE V powerOfTwo(V t) {
  __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(t.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(shifted, _mm512_set1_epi32(0x3f800000)))};
}
SLIPWAY_INLINE V zeroWhereLess(V x, V limit, V y) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_NLT_UQ), y.v)};
}

SLIPWAY_INLINE __m256 lowHalf(V a) { return _mm512_castps512_ps256(a.v); }
SLIPWAY_INLINE __m256 highHalf(V a) { return _mm512_extractf32x8_ps(a.v, 1); }
SLIPWAY_INLINE V join(__m256 low, __m256 high) {
  return {_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1)};
}

}  // namespace slipway::SLIPWAY_TARGET

#include "simd-reduce-x86.h"

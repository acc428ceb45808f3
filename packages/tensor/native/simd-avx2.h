// AVX2 + FMA + F16C: two registers of eight lanes.
#pragma once

#include <immintrin.h>

namespace slipway::SLIPWAY_TARGET {

// 6 x 16 is the largest tile that leaves room for weights and a broadcast in 16 registers
constexpr int kTileRows = 6, kTileVectors = 1, kTileK = 256;
constexpr int kVectorsOfTwoRows = 2, kPanelsOfOneRow = 2;

struct V {
  __m256 a, b;
};

SLIPWAY_INLINE V zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
SLIPWAY_INLINE V set1(float x) {
  __m256 all = _mm256_set1_ps(x);
  return {all, all};
}
SLIPWAY_INLINE V add(V x, V y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
SLIPWAY_INLINE V sub(V x, V y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
SLIPWAY_INLINE V mul(V x, V y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
SLIPWAY_INLINE V div(V x, V y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
SLIPWAY_INLINE V fma(V x, V y, V z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
// x > y ? x : y and x < y ? x : y, so the second operand's NaN survives
SLIPWAY_INLINE V max(V x, V y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
SLIPWAY_INLINE V min(V x, V y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }

SLIPWAY_INLINE V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
SLIPWAY_INLINE __m256 loadHalf(const Bf16* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16));
}
SLIPWAY_INLINE __m256 loadHalf(const F16* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
SLIPWAY_INLINE __m256 loadHalf(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
}
template <class T>
SLIPWAY_INLINE V load(const T* p) {
  return {loadHalf(p), loadHalf(p + 8)};
}
// see simd.h; here lanes 0-3 and 8-11, then 4-7 and 12-15, by two instructions in place of four
SLIPWAY_INLINE V loadUnordered(const Bf16* p) {
  __m256i bits = _mm256_loadu_si256((const __m256i*)p), none = _mm256_setzero_si256();
  return {_mm256_castsi256_ps(_mm256_unpacklo_epi16(none, bits)), _mm256_castsi256_ps(_mm256_unpackhi_epi16(none, bits))};
}
SLIPWAY_INLINE V reorder(V x, const Bf16*) {
  return {_mm256_permute2f128_ps(x.a, x.b, 0x20), _mm256_permute2f128_ps(x.a, x.b, 0x31)};
}

SLIPWAY_INLINE void store(float* p, V x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
SLIPWAY_INLINE __m256i bf16Of(__m256 x) {
  __m256i bits = _mm256_castps_si256(x);
  __m256i high = _mm256_srli_epi32(bits, 16);
  __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
  __m256i isNan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_or_si256(high, _mm256_set1_epi32(0x40)), isNan);
}
SLIPWAY_INLINE void store(Bf16* p, V x) {
  __m256i packed = _mm256_packus_epi32(bf16Of(x.a), bf16Of(x.b));
  _mm256_storeu_si256((__m256i*)p, _mm256_permute4x64_epi64(packed, 0xd8));
}
SLIPWAY_INLINE void storeHalf(F16* p, __m256 x) {
  __m128i bits = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256i isNan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  __m128i mask = _mm_packs_epi32(_mm256_castsi256_si128(isNan), _mm256_extracti128_si256(isNan, 1));
  _mm_storeu_si128((__m128i*)p, _mm_blendv_epi8(bits, _mm_set1_epi16(0x7e00), mask));
}
SLIPWAY_INLINE void store(F16* p, V x) {
  storeHalf(p, x.a);
  storeHalf(p + 8, x.b);
}

SLIPWAY_INLINE __m256 powerOfTwo(__m256 t) {
  __m256i shifted = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(shifted, _mm256_set1_epi32(0x3f800000)));
}
// 2^n for the integer n in the low bits of t (see exponential)
SLIPWAY_INLINE V powerOfTwo(V t) { return {powerOfTwo(t.a), powerOfTwo(t.b)}; }
SLIPWAY_INLINE V zeroWhereLess(V x, V limit, V y) {
  return {_mm256_andnot_ps(_mm256_cmp_ps(x.a, limit.a, _CMP_LT_OQ), y.a),
          _mm256_andnot_ps(_mm256_cmp_ps(x.b, limit.b, _CMP_LT_OQ), y.b)};
}

SLIPWAY_INLINE __m256 lowHalf(V x) { return x.a; }
SLIPWAY_INLINE __m256 highHalf(V x) { return x.b; }
SLIPWAY_INLINE V join(__m256 low, __m256 high) { return {low, high}; }

}  // namespace slipway::SLIPWAY_TARGET

#include "simd-reduce-x86.h"

// Reductions over the lanes, shared by AVX2 and AVX-512. simd-quad.h adds in the same order.
#pragma once

namespace slipway::SLIPWAY_TARGET {

// lane i + lane i+8, then i + i+4, then i + i+2, then the last pair
SLIPWAY_INLINE float sum(V x) {
  __m256 eight = _mm256_add_ps(lowHalf(x), highHalf(x));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

SLIPWAY_INLINE float maxLane(V x) {
  __m256 eight = _mm256_max_ps(lowHalf(x), highHalf(x));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

SLIPWAY_INLINE __m256 sumEachOfEight(const V* x) {
  __m256 s[8];
  SLIPWAY_UNROLL
  for (int i = 0; i < 8; i++) s[i] = _mm256_add_ps(lowHalf(x[i]), highHalf(x[i]));
  __m256 first = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
  __m256 last = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
  return _mm256_add_ps(_mm256_permute2f128_ps(first, last, 0x20), _mm256_permute2f128_ps(first, last, 0x31));
}

// Lane i is the sum of x[i]: lanes i and i+8 first, then neighbours, neighbouring pairs, and the two halves.
SLIPWAY_INLINE V sumEach(const V* x) { return join(sumEachOfEight(x), sumEachOfEight(x + 8)); }

}  // namespace slipway::SLIPWAY_TARGET

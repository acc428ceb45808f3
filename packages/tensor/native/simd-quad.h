// Four vectors of four lanes in the compiler's own vector types: NEON, and the baseline of every other processor
// (x86-64-v2 and up), which has no fused multiply-add and no half floats.
#pragma once

#if defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__SSE3__)
#include <pmmintrin.h>
#endif

namespace slipway::SLIPWAY_TARGET {

#if defined(__ARM_NEON)
constexpr int kTileRows = 6, kTileVectors = 1, kTileK = 256;
constexpr int kVectorsOfTwoRows = 2, kPanelsOfOneRow = 2;
#else
constexpr int kTileRows = 2, kTileVectors = 1, kTileK = 256;
constexpr int kVectorsOfTwoRows = 1, kPanelsOfOneRow = 1;
#endif

typedef float F4 __attribute__((vector_size(16)));
typedef int32_t I4 __attribute__((vector_size(16)));
typedef uint32_t U4 __attribute__((vector_size(16)));

struct V {
  F4 q[4];
};

SLIPWAY_INLINE F4 select(I4 mask, F4 a, F4 b) { return (F4)(((I4)a & mask) | ((I4)b & ~mask)); }

#define SLIPWAY_EACH(expression)                              \
  V out;                                                      \
  SLIPWAY_UNROLL for (int i = 0; i < 4; i++) out.q[i] = (expression); \
  return out

SLIPWAY_INLINE F4 spread(float x) { return F4{x, x, x, x}; }
SLIPWAY_INLINE V set1(float x) { SLIPWAY_EACH(spread(x)); }
SLIPWAY_INLINE V zero() { return set1(0.0f); }
SLIPWAY_INLINE V add(V a, V b) { SLIPWAY_EACH(a.q[i] + b.q[i]); }
SLIPWAY_INLINE V sub(V a, V b) { SLIPWAY_EACH(a.q[i] - b.q[i]); }
SLIPWAY_INLINE V mul(V a, V b) { SLIPWAY_EACH(a.q[i] * b.q[i]); }
SLIPWAY_INLINE V div(V a, V b) { SLIPWAY_EACH(a.q[i] / b.q[i]); }
#if defined(__ARM_NEON)
SLIPWAY_INLINE V fma(V a, V b, V c) {
  SLIPWAY_EACH((F4)vfmaq_f32((float32x4_t)c.q[i], (float32x4_t)a.q[i], (float32x4_t)b.q[i]));
}
#else
SLIPWAY_INLINE V fma(V a, V b, V c) { SLIPWAY_EACH(a.q[i] * b.q[i] + c.q[i]); }
#endif
// a > b ? a : b and a < b ? a : b, so the second operand's NaN survives
SLIPWAY_INLINE V max(V a, V b) { SLIPWAY_EACH(select(a.q[i] > b.q[i], a.q[i], b.q[i])); }
SLIPWAY_INLINE V min(V a, V b) { SLIPWAY_EACH(select(a.q[i] < b.q[i], a.q[i], b.q[i])); }

SLIPWAY_INLINE V load(const float* p) {
  V out;
  memcpy(&out, p, sizeof out);
  return out;
}
SLIPWAY_INLINE void store(float* p, V a) { memcpy(p, &a, sizeof a); }

#if defined(__ARM_NEON)
SLIPWAY_INLINE V load(const Bf16* p) {
  SLIPWAY_EACH((F4)vshll_n_u16(vld1_u16((const uint16_t*)p + 4 * i), 16));
}
SLIPWAY_INLINE V load(const F16* p) {
  SLIPWAY_EACH((F4)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t*)p + 4 * i))));
}
SLIPWAY_INLINE V load(const int8_t* p) {
  int8x16_t all = vld1q_s8(p);
  int16x8_t low = vmovl_s8(vget_low_s8(all)), high = vmovl_s8(vget_high_s8(all));
  return {(F4)vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), (F4)vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
          (F4)vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), (F4)vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))};
}
SLIPWAY_INLINE void store(F16* p, V a) {
  for (int i = 0; i < 4; i++) {
    float32x4_t x = (float32x4_t)a.q[i];
    uint16x4_t isNumber = vmovn_u32(vceqq_f32(x, x));
    uint16x4_t bits = vreinterpret_u16_f16(vcvt_f16_f32(x));
    vst1_u16((uint16_t*)p + 4 * i, vbsl_u16(isNumber, bits, vdup_n_u16(0x7e00)));
  }
}
#elif defined(__SSE3__)
SLIPWAY_INLINE V load(const Bf16* p) {
  V out;
  for (int i = 0; i < 2; i++) {
    __m128i eight = _mm_loadu_si128((const __m128i*)(p + 8 * i));
    out.q[2 * i] = (F4)_mm_unpacklo_epi16(_mm_setzero_si128(), eight);
    out.q[2 * i + 1] = (F4)_mm_unpackhi_epi16(_mm_setzero_si128(), eight);
  }
  return out;
}
SLIPWAY_INLINE V load(const int8_t* p) {
  __m128i all = _mm_loadu_si128((const __m128i*)p);
  V out;
  // the byte goes to the top of its lane, an arithmetic shift brings it down with its sign
  __m128i low = _mm_unpacklo_epi8(all, all), high = _mm_unpackhi_epi8(all, all);
  out.q[0] = (F4)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(low, low), 24));
  out.q[1] = (F4)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpackhi_epi16(low, low), 24));
  out.q[2] = (F4)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(high, high), 24));
  out.q[3] = (F4)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpackhi_epi16(high, high), 24));
  return out;
}
#endif

// what has no instruction goes lane by lane
template <class T>
SLIPWAY_INLINE V load(const T* p) {
  float all[kLanes];
  for (int i = 0; i < kLanes; i++) all[i] = widen(p[i]);
  return load(all);
}
template <class T>
SLIPWAY_INLINE void store(T* p, V a) {
  float all[kLanes];
  store(all, a);
  for (int i = 0; i < kLanes; i++) narrow(all[i], p + i);
}

// 2^n for the integer n in the low bits of t (see exponential)
SLIPWAY_INLINE V powerOfTwo(V t) { SLIPWAY_EACH((F4)(((U4)t.q[i] << 23) + 0x3f800000u)); }
SLIPWAY_INLINE V zeroWhereLess(V x, V limit, V y) { SLIPWAY_EACH((F4)((I4)y.q[i] & ~(I4)(x.q[i] < limit.q[i]))); }

// The orders of addition are those of simd-reduce-x86.h.
SLIPWAY_INLINE float sum(V x) {
  F4 four = (x.q[0] + x.q[2]) + (x.q[1] + x.q[3]);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

SLIPWAY_INLINE float maxLane(V x) {
  V folded = max(x, V{x.q[2], x.q[3], x.q[0], x.q[1]});
  F4 four = select(folded.q[0] > folded.q[1], folded.q[0], folded.q[1]);
  float a = four[0] > four[2] ? four[0] : four[2];
  float b = four[1] > four[3] ? four[1] : four[3];
  return a > b ? a : b;
}

// [a0+a1, a2+a3, b0+b1, b2+b3]
SLIPWAY_INLINE F4 addNeighbours(F4 a, F4 b) {
#if defined(__ARM_NEON)
  return (F4)vpaddq_f32((float32x4_t)a, (float32x4_t)b);
#elif defined(__SSE3__)
  return (F4)_mm_hadd_ps((__m128)a, (__m128)b);
#else
  return F4{a[0] + a[1], a[2] + a[3], b[0] + b[1], b[2] + b[3]};
#endif
}

SLIPWAY_INLINE V sumEach(const V* x) {
  V out;
  for (int i = 0; i < 4; i++) {
    F4 low[4], high[4];
    SLIPWAY_UNROLL
    for (int j = 0; j < 4; j++) {
      const V& one = x[4 * i + j];
      low[j] = one.q[0] + one.q[2];
      high[j] = one.q[1] + one.q[3];
    }
    out.q[i] = addNeighbours(addNeighbours(low[0], low[1]), addNeighbours(low[2], low[3])) +
               addNeighbours(addNeighbours(high[0], high[1]), addNeighbours(high[2], high[3]));
  }
  return out;
}

}  // namespace slipway::SLIPWAY_TARGET

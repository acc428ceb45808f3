// Sixteen lanes of f32 on every instruction set. All kernels are written against this type, and every function here
// rounds and reduces in one defined order, so targets with a fused multiply-add (all but `baseline`) give equal bits.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef SLIPWAY_TARGET
#error "SLIPWAY_TARGET names the namespace of this instruction set; scripts/build-native.mjs sets it"
#endif

#define SLIPWAY_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define SLIPWAY_UNROLL _Pragma("unroll")
#else
#define SLIPWAY_UNROLL _Pragma("GCC unroll 16")
#endif

namespace slipway::SLIPWAY_TARGET {

constexpr int kLanes = 16;

// stored 16-bit floats, told apart by type
struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

SLIPWAY_INLINE float floatFromBits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

SLIPWAY_INLINE uint32_t bitsFromFloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

SLIPWAY_INLINE float widen(float x) { return x; }
SLIPWAY_INLINE float widen(int8_t x) { return x; }
SLIPWAY_INLINE float widen(Bf16 x) { return floatFromBits((uint32_t)x.bits << 16); }

SLIPWAY_INLINE float widen(F16 x) {
  uint32_t sign = (uint32_t)(x.bits & 0x8000) << 16;
  uint32_t rest = (uint32_t)(x.bits & 0x7fff) << 13;
  if (rest >= 0x0f800000) return floatFromBits(sign | rest | 0x70000000u);  // infinity and NaN
  // 2^112 moves the exponent's bias from 15 to 127 and makes subnormals normal
  return floatFromBits(sign | bitsFromFloat(floatFromBits(rest) * 0x1p112f));
}

SLIPWAY_INLINE void narrow(float x, float* out) { *out = x; }

SLIPWAY_INLINE void narrow(float x, Bf16* out) {
  uint32_t bits = bitsFromFloat(x);
  bool isNan = (bits & 0x7fffffff) > 0x7f800000;
  out->bits = (uint16_t)(isNan ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

SLIPWAY_INLINE void narrow(float x, F16* out) {
  uint32_t bits = bitsFromFloat(x);
  uint32_t sign = (bits >> 16) & 0x8000;
  uint32_t rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) {
    out->bits = 0x7e00;
  } else if (rest >= 0x477ff000) {  // 65520 and above round to infinity
    out->bits = (uint16_t)(sign | 0x7c00);
  } else if (rest < 0x38800000) {
    // below 2^-14: adding 0.5 lets the adder round to the subnormal step 2^-24
    out->bits = (uint16_t)(sign | (bitsFromFloat(floatFromBits(rest) + 0.5f) - 0x3f000000));
  } else {
    uint32_t odd = (rest >> 13) & 1;
    out->bits = (uint16_t)(sign | ((rest - 0x38000000 + 0xfff + odd) >> 13));
  }
}

}  // namespace slipway::SLIPWAY_TARGET

#if defined(__AVX512F__)
#include "simd-avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "simd-avx2.h"
#else
#include "simd-quad.h"
#endif

namespace slipway::SLIPWAY_TARGET {

// Lanes in whatever order the target widens a type fastest, and between that order and the usual one, both ways. Chains
// that stay within their lanes need no other order.
template <class T>
SLIPWAY_INLINE V loadUnordered(const T* p) {
  return load(p);
}
template <class T>
SLIPWAY_INLINE V reorder(V x, const T*) {
  return x;
}

// The first `count` elements; the other lanes are zero.
template <class T>
SLIPWAY_INLINE V loadPartial(const T* from, int64_t count) {
  if (count >= kLanes) return load(from);
  T all[kLanes] = {};
  for (int i = 0; i < count; i++) all[i] = from[i];
  return load(all);
}

template <class T>
SLIPWAY_INLINE void storePartial(T* to, V value, int64_t count) {
  if (count >= kLanes) return store(to, value);
  T all[kLanes];
  store(all, value);
  for (int i = 0; i < count; i++) to[i] = all[i];
}

// e^x, about 1 ulp (Cephes polynomial), for x <= 0; 0 below -87.3, NaN stays NaN.
SLIPWAY_INLINE V exponentialOfNegative(V x) {
  // adding 1.5 * 2^23 rounds to an integer n and leaves it in the low bits
  V magic = set1(12582912.0f);
  V shifted = fma(x, set1(1.44269504f), magic);
  V n = sub(shifted, magic);
  V r = fma(n, set1(-0.693359375f), x);
  r = fma(n, set1(2.12194440e-4f), r);
  V p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = add(fma(p, mul(r, r), r), set1(1.0f));
  return zeroWhereLess(x, set1(-87.3f), mul(p, powerOfTwo(shifted)));
}

// The same for any x, held at e^88 above.
SLIPWAY_INLINE V exponential(V x) { return exponentialOfNegative(min(set1(88.0f), x)); }

}  // namespace slipway::SLIPWAY_TARGET

// src/ops/exact-math.ts in C++: the same f64 operations in the same order, so that equal logits give equal tokens on
// every device. Compiled without contraction; nothing here may be reordered or replaced by a library function.
#pragma once

#include "simd.h"

namespace slipway::SLIPWAY_TARGET {

// e^x for x <= 0; 0 below -700
SLIPWAY_INLINE double expNegative(double x) {
  double n = __builtin_floor(-x * 1.4426950408889634 + 0.5);
  double r = x + n * 6.9314718036912381649e-1 + n * 1.90821492927058770002e-10;
  // Taylor's series in short chains, since a processor can do many products at once
  double r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
  double a = (1.0 + r) + (1.0 / 2.0 + 1.0 / 6.0 * r) * r2;
  double b = (1.0 / 24.0 + 1.0 / 120.0 * r) + (1.0 / 720.0 + 1.0 / 5040.0 * r) * r2;
  double c = (1.0 / 40320.0 + 1.0 / 362880.0 * r) + (1.0 / 3628800.0 + 1.0 / 39916800.0 * r) * r2;
  double d = 1.0 / 479001600.0 + 1.0 / 6227020800.0 * r;
  double sum = (a + b * r4) + (c + d * r4) * r8;
  // 2^-n without a conversion to integer, which AVX2 lacks: adding 2^52 leaves n in the low bits
  double shifted = n + 4503599627370496.0;
  uint64_t bits;
  memcpy(&bits, &shifted, 8);
  bits = ((uint64_t)1023 << 52) - (bits << 52);
  double power;
  memcpy(&power, &bits, 8);
  return x > -700.0 ? sum * power : 0.0;
}

// Uniform in [0, 1) from Philox4x32-10 with counter (position, 0, 0, 0) and the seed as key.
SLIPWAY_INLINE double uniform(const uint32_t* seed, uint32_t position) {
  uint32_t c0 = position, c1 = 0, c2 = 0, c3 = 0, k0 = seed[0], k1 = seed[1];
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xd2511f53u * c0, b = (uint64_t)0xcd9e8d57u * c2;
    c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)b;
    c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)a;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return ((double)(c0 >> 5) * 67108864.0 + (double)(c1 >> 6)) / 9007199254740992.0;
}

}  // namespace slipway::SLIPWAY_TARGET

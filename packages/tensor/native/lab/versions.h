// The versions that quantized.cc times.
#pragma once

#include <time.h>

#include <vector>

namespace slipway::lab {

enum Weights { kPackedWeights, kSpreadWeights };

// One tile: `rows` of the version by 32 columns.
struct Call {
  const uint8_t* weights;
  const uint8_t* quads;
  const F16* scales;  // [runs][32]
  const float* d;
  const int32_t* sums;  // [runs][rows]
  float* out;           // [rows][32]
  int64_t runs, group;
};

struct Version {
  const char* name;
  int bits;
  Weights weights;
  int rows, quadBytes;
  void (*tile)(const Call&);
};

struct Peak {
  double rate;
};

// What surrounds the integer sums is the same for all: P::add<M, C>(sums, w, q, steps) adds a run.
template <class P, int M, int C, int kBits>
void tileOf(const Call& call) {
  V acc[M][2];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) acc[m][0] = acc[m][1] = zero();
  int64_t steps = call.group / P::kStepK;
  const uint8_t *w = call.weights, *q = call.quads;
  for (int64_t run = 0; run < call.runs; run++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < 2; c += C) {
      I sums[M][C];
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int v = 0; v < C; v++) sums[m][v] = spreadInt((P::kOffset - (1 << (kBits - 1))) * call.sums[run * M + m]);
      }
      P::template add<M, C>(sums, w + c * 64, q, steps);
      SLIPWAY_UNROLL
      for (int v = 0; v < C; v++) {
        V scale = load(call.scales + run * 32 + (c + v) * kLanes);
        SLIPWAY_UNROLL
        for (int m = 0; m < M; m++)
          acc[m][c + v] = fma(toFloat(sums[m][v]), mul(set1(call.d[run * M + m]), scale), acc[m][c + v]);
      }
    }
    w += steps * kStepBytes;
    q += steps * (P::kStepK / 4 * M * P::kQuad);
  }
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) store(call.out + m * 32, acc[m][0]), store(call.out + m * 32 + 16, acc[m][1]);
}

// what the op uses
template <Form F>
struct Shipped {
  static constexpr int kStepK = 4 * kQuadsOfStep<F>, kQuad = kQuadBytes<F>, kOffset = F == Form::kBytes ? kByteOffset : 0;
  template <int M, int C>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    dotSteps<F, M, C>(sums, w, q, steps);
  }
};

#if defined(__AVX512F__)
constexpr const char* kMachine = "AVX-512 VNNI";
#include "versions-avx512.h"
#elif defined(__AVX2__)
constexpr const char* kMachine = "AVX2";
#include "versions-avx2.h"
#endif

// Reads everything in one sequential stream.
static inline float readAll(const uint8_t* from, int64_t bytes) {
  I a = spreadInt(0), b = a;
  for (int64_t i = 0; i + 128 <= bytes; i += 128) {
    I x, y;
    memcpy(&x, from + i, 64);
    memcpy(&y, from + i + 64, 64);
    a = addInt(a, x), b = addInt(b, y);
  }
  int32_t lanes[kLanes];
  storeInt(lanes, addInt(a, b));
  return (float)lanes[0];
}

template <class F>
double bestRate(double operations, F body) {
  double best = 0;
  for (int round = 0; round < 20; round++) {
    timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    body();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    double rate = operations / ((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9) * 1e-9;
    if (rate > best) best = rate;
  }
  return best;
}

}  // namespace slipway::lab

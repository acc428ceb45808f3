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

// What surrounds the integer sums is the same for all: P::add<M, C, kAhead>(sums, w, q, steps) adds a run.
template <class P, int M, int C, int kBits, int kAhead = 0>
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
        for (int v = 0; v < C; v++)
          sums[m][v] = spreadInt((P::kOffset - (1 << (kBits - 1))) * call.sums[run * M + m]);
      }
      if (c == 0) P::template add<M, C, kAhead>(sums, w, q, steps);
      else P::template add<M, C, 0>(sums, w + c * 64, q, steps);
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
  static constexpr int kStepK = 4 * kQuadsOfStep<F>, kQuad = kQuadBytes<F>;
  static constexpr int kOffset = F == Form::kBytes ? kByteOffset : 0;
  template <int M, int C, int kAhead>
  SLIPWAY_INLINE void add(I (&sums)[M][C], const uint8_t* w, const uint8_t* q, int64_t steps) {
    dotSteps<F, M, C, kAhead>(sums, w, q, steps);
  }
};

template <class P, int kBits, Weights kWeights, int M, int C, int kAhead = 0>
Version version(const char* name) {
  return {name, kBits, kWeights, M, P::kQuad, tileOf<P, M, C, kBits, kAhead>};
}

// GOP/s of `body` by this thread, best of several.
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

// The most that this thread can do, in GOP/s.
inline double peak(int bits) {
  constexpr int64_t kRounds = 100000;
  volatile int32_t keep;
  int32_t sink;
  auto body = [&] {
    int64_t operations =
        bits == 4 ? integerProductsOf<Form::kNibbles>(kRounds, &sink) : integerProductsOf<Form::kBytes>(kRounds, &sink);
    keep = sink;
    return (double)operations;
  };
  return bestRate(body(), body);
}

#if defined(__AVX512F__)
constexpr const char* kMachine = "AVX-512 VNNI";
#include "versions-avx512.h"
#elif defined(__AVX2__)
constexpr const char* kMachine = "AVX2";
#include "versions-avx2.h"
#endif

// Reads everything in one sequential stream; asking ahead makes this slower.
inline float readAll(const uint8_t* bytes, int64_t count) {
  const float* from = (const float*)bytes;
  V a = zero(), b = a;
  for (int64_t i = 0; i + 2 * kLanes <= count / 4; i += 2 * kLanes) {
    a = max(a, load(from + i));
    b = max(b, load(from + i + kLanes));
  }
  return maxLane(max(a, b));
}

}  // namespace slipway::lab

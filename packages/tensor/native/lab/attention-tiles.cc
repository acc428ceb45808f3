// Tiles of attention's products, and ways to widen bf16 in them, in the first-level cache on one AVX2 thread. README.md says
// how to build it, and what it gave.
#include <stdio.h>
#include <time.h>

#include "simd.h"

using namespace slipway::lab;

namespace {

constexpr int64_t kCount = 64, kStride = 64;  // columns of a head

double seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// Zero extension and a shift for every eight lanes, in their order.
struct Ordered {
  template <class T>
  SLIPWAY_INLINE V get(const T* p) {
    return load(p);
  }
};
// Shipped: zeros between the halves.
struct Unpacked {
  SLIPWAY_INLINE V get(const Bf16* p) { return loadUnordered(p); }
};
// Even lanes by a shift, odd ones by a mask.
struct Masked {
  SLIPWAY_INLINE V get(const Bf16* p) {
    __m256i bits = _mm256_loadu_si256((const __m256i*)p);
    return {_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)),
            _mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32((int)0xffff0000)))};
  }
};

template <int M, int C, class L, class T>
__attribute__((noinline)) void multiply(const float* a, const T* b, float* out) {
  V acc[M][C];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) acc[m][c] = zero();
  }
  for (int64_t i = 0; i < kCount; i++, b += kLanes) {
    V lanes[C];
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) lanes[c] = L::get(b + c * kCount * kLanes);
    SLIPWAY_UNROLL
    for (int m = 0; m < M; m++) {
      V value = set1(a[m * kStride + i]);
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) acc[m][c] = fma(lanes[c], value, acc[m][c]);
    }
  }
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) store(out + (m * C + c) * kLanes, acc[m][c]);
  }
}

alignas(64) float queries[8 * kStride], keys[4 * kCount * kLanes], sums[32 * kLanes];

template <int M, int C, class L, class T>
void time(const char* name) {
  constexpr int kTimes = 3000;
  double least = 1e9;
  for (int round = 0; round < 40; round++) {
    double start = seconds();
    for (int i = 0; i < kTimes; i++) {
      multiply<M, C, L>(queries, (const T*)keys, sums);
      asm volatile("" ::: "memory");
    }
    double taken = seconds() - start;
    if (taken < least) least = taken;
  }
  printf("%d x %d  %-14s %6.1f GFLOP/s\n", M, C * kLanes, name, 2.0 * kTimes * M * C * kLanes * kCount / least * 1e-9);
}

template <int M, int C>
void timeAll() {
  time<M, C, Ordered, Bf16>("bf16 ordered");
  time<M, C, Unpacked, Bf16>("bf16 unpacked");
  time<M, C, Masked, Bf16>("bf16 masked");
  time<M, C, Ordered, int8_t>("int8");
  time<M, C, Ordered, float>("f32");
}

}  // namespace

int main() {
  timeAll<1, 2>();
  timeAll<1, 4>();
  timeAll<2, 2>();
  timeAll<3, 1>();
  timeAll<3, 2>();
  timeAll<4, 1>();
  timeAll<5, 1>();
  timeAll<6, 1>();
  timeAll<7, 1>();
}

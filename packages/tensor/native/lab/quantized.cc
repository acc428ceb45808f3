// Ways to multiply int8 activations with 4 and 8 bit weights, each checked against plain arithmetic, then timed.
//
//   g++ -std=c++20 -O3 -march=native -ffp-contract=off -Wno-psabi quantized.cc -o quantized -pthread && ./quantized [K]
//
// "shipped" is ../simd-int*.h as the op uses it; the others lost, and stay readable in versions-*.h. Two parts:
//
// - tiles: one panel of 32 columns that stays in the caches, by 120 rows: the arithmetic alone, per core.
// - streams: panels from memory, all threads, and the share of the read bandwidth measured in the same rounds.
//
// Time is what the threads really ran, so that other work on the machine disturbs little. Figures are the best of
// several rounds; README.md has a table of them.
#define SLIPWAY_TARGET lab
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "../simd-int.h"
#include "versions.h"

using namespace slipway::lab;

namespace {

constexpr int64_t kGroup = 128, kRows = 120;

double seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint8_t* hugePages(size_t bytes) {
  constexpr size_t kHuge = 2 << 20;
  char* all = (char*)mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint8_t* start = (uint8_t*)(((size_t)all + kHuge - 1) & ~(kHuge - 1));
  madvise(start, bytes, MADV_HUGEPAGE);
  uint32_t state = 1;
  for (size_t i = 0; i + 4 <= bytes; i += 4) state = state * 1664525 + 1013904223, memcpy(start + i, &state, 4);
  return start;
}

// The activations of `rows` rows as every version wants them, and the sums of weights that follow from them.
struct Data {
  int64_t K;
  std::vector<int8_t> q;  // [rows][K]
  std::vector<float> d;
  std::vector<int32_t> sums;  // both [run][rows of a tile], tile after tile, as in the op
  F16* scales;
};

void run(int threads, void (*body)(void*, int), void* argument) {
  std::vector<std::thread> all;
  for (int i = 0; i < threads; i++) all.emplace_back(body, argument, i);
  for (auto& t : all) t.join();
}

// Activations of tiles of M rows in the layout of a version.
std::vector<uint8_t> tiles(const Data& data, const Version& v) {
  std::vector<uint8_t> out(kRows * data.K / 4 * v.quadBytes + 64);
  uint8_t* to = out.data();
  for (int64_t row = 0; row < kRows; row += v.rows)
    for (int64_t k = 0; k < data.K; k += 4)
      for (int64_t m = 0; m < v.rows; m++, to += v.quadBytes) {
        const int8_t* quad = &data.q[(row + m) * data.K + k];
        int16_t wide[4] = {quad[0], quad[2], quad[1], quad[3]};
        if (v.quadBytes == 8) memcpy(to, wide, 8);
        else memcpy(to, quad, 4);
      }
  return out;
}

// The weights of one panel as the version wants them: packed, or half bytes spread to bytes.
void fillPanel(const Version& v, const uint8_t* packed, int64_t K, uint8_t* out) {
  int64_t bytes = K * 32;
  if (v.weights != kSpreadWeights) memcpy(out, packed, (size_t)(v.bits == 4 ? bytes / 2 : bytes));
  else
    spreadNibbles(packed, out, bytes / 2 / kStepBytes);
}

int weightAt(const uint8_t* packed, int bits, int64_t k, int64_t n) {
  if (bits == 8) return packed[(k / 4 * 32 + n) * 4 + k % 4];
  return packed[(k / 8 * 32 + n) * 4 + k % 4] >> (k % 8 / 4 * 4) & 15;
}

// The largest error of a version, as a share of what rounding may cause.
double worstError(const Data& data, const Version& v, const uint8_t* packed, const Call& call) {
  double worst = 0;
  for (int64_t m = 0; m < v.rows; m++)
    for (int64_t n = 0; n < 32; n++) {
      double sum = 0, size = 0;
      for (int64_t run = 0; run < data.K / kGroup; run++) {
        int64_t dot = 0;
        for (int64_t k = run * kGroup; k < (run + 1) * kGroup; k++)
          dot += (weightAt(packed, v.bits, k, n) - (1 << (v.bits - 1))) * data.q[m * data.K + k];
        double term = (double)dot * (call.d[run * v.rows + m] * widen(call.scales[run * 32 + n]));
        sum += term, size += fabs(term);
      }
      worst = std::max(worst, fabs(call.out[m * 32 + n] - sum) / (size * 1e-6 + 1e-20));
    }
  return worst;
}

struct Hot {
  const Version* version;
  Call call;
  const uint8_t* quads;
  int64_t tileBytes, K;
  double best[16], peaks[16];
};

void timeHot(void* argument, int thread) {
  Hot& hot = *(Hot*)argument;
  alignas(64) float out[32 * 32];
  double best = 1e9, before = peak(hot.version->bits);
  for (int round = 0; round < 60; round++) {
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int repeat = 0; repeat < 8; repeat++)
      for (int64_t row = 0; row < kRows; row += hot.version->rows) {
        Call call = hot.call;
        call.quads = hot.quads + row / hot.version->rows * hot.tileBytes;
        call.out = out;
        hot.version->tile(call);
      }
    best = std::min(best, seconds(CLOCK_THREAD_CPUTIME_ID) - start);
  }
  hot.peaks[thread] = std::max(before, peak(hot.version->bits));
  hot.best[thread] = 8 * 2.0 * kRows * 32 * (double)hot.K / best * 1e-9;
}

struct Cold {
  const Version* version;  // null: only read
  Call call;
  const uint8_t* weights;
  int64_t panels, panelBytes;
  int threads;
  float sink[16];
  double rate[16];
};

void streamShare(void* argument, int thread);

void timeStream(void* argument, int thread) {
  Cold& cold = *(Cold*)argument;
  double start = seconds(CLOCK_THREAD_CPUTIME_ID);
  streamShare(argument, thread);
  double bytes = (double)(cold.panels * cold.panelBytes) / cold.threads;
  cold.rate[thread] = bytes / (seconds(CLOCK_THREAD_CPUTIME_ID) - start) * 1e-9;
}

void streamShare(void* argument, int thread) {
  Cold& cold = *(Cold*)argument;
  alignas(64) float out[32 * 32];
  int64_t first = cold.panels * thread / cold.threads, last = cold.panels * (thread + 1) / cold.threads;
  if (!cold.version) {
    cold.sink[thread] = readAll(cold.weights + first * cold.panelBytes, (last - first) * cold.panelBytes);
    return;
  }
  for (int64_t p = first; p < last; p++) {
    Call call = cold.call;
    call.weights = cold.weights + p * cold.panelBytes;
    call.out = out;
    cold.version->tile(call);
  }
  cold.sink[thread] = out[0];
}

double streamRate(Cold& cold) {
  run(cold.threads, timeStream, &cold);
  double sum = 0;
  for (int i = 0; i < cold.threads; i++) sum += cold.rate[i];
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  int64_t K = argc > 1 ? atoll(argv[1]) / kGroup * kGroup : 2048;
  int threads = (int)std::min(16u, std::thread::hardware_concurrency());
  int64_t runs = K / kGroup;
  constexpr size_t kWeights = 256 << 20;
  uint8_t *weights = hugePages(kWeights), *panel = hugePages((size_t)K * 32 + kStepBytes);

  Data data{K, {}, {}, {}, nullptr};
  std::vector<F16> scales(runs * 32);
  for (size_t i = 0; i < scales.size(); i++) scales[i].bits = (uint16_t)(0x1c00 + i * 37 % 1024);
  uint32_t state = 7;
  for (int64_t i = 0; i < kRows * K; i++) {
    state = state * 1664525 + 1013904223;
    data.q.push_back((int8_t)((int)((state >> 16) % 255) - 127));
  }

  printf("%s, %d threads, K %d, groups of %d\n", kMachine, threads, (int)K, (int)kGroup);
  for (int part = 0; part < 2; part++) {
    printf(part == 0 ? "\ntiles in cache                                 GOP/s per core   %% of peak\n"
                     : "\nstreams from memory                            GB/s   %% of reading   GOP/s\n");
    for (const Version& v : versions()) {
      if (part == 1 && (v.weights == kSpreadWeights || v.rows > 8)) continue;
      std::vector<uint8_t> quads = tiles(data, v);
      fillPanel(v, weights, K, panel);
      std::vector<float> d(runs * v.rows), out(32 * 32);
      std::vector<int32_t> sums(runs * v.rows);
      for (int64_t i = 0; i < runs * v.rows; i++) {
        int64_t run = i / v.rows, m = i % v.rows;
        d[i] = 0.001f * (float)(i + 1);
        for (int64_t k = run * kGroup; k < (run + 1) * kGroup; k++) sums[i] += data.q[m * K + k];
      }
      Call call{panel, quads.data(), scales.data(), d.data(), sums.data(), out.data(), runs, kGroup};
      v.tile(call);
      double error = worstError(data, v, weights, call);
      const char* verdict = error < 1 ? "" : "  WRONG";
      if (part == 0) {
        Hot hot{&v, call, quads.data(), K / 4 * v.quadBytes * v.rows, K, {}, {}};
        run(threads, timeHot, &hot);
        double best = *std::max_element(hot.best, hot.best + threads);
        double peak = *std::max_element(hot.peaks, hot.peaks + threads);
        printf("%-46s %8.1f %12.0f%s\n", v.name, best, 100 * best / peak, verdict);
        continue;
      }
      int64_t panelBytes = K * 32 * v.bits / 8;
      Cold cold{&v, call, weights, (int64_t)kWeights / panelBytes, panelBytes, threads, {}, {}};
      Cold read = cold;
      read.version = nullptr;
      double best = 0, reads = 0;
      for (int round = 0; round < 12; round++) {
        reads = std::max(reads, streamRate(read));
        best = std::max(best, streamRate(cold));
      }
      double products = best * 2 * v.rows * 8 / v.bits;
      printf("%-46s %5.1f %10.0f %13.0f%s\n", v.name, best, 100 * best / reads, products, verdict);
    }
  }
  return 0;
}

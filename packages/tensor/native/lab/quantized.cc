// Ways to multiply int8 activations with 4 and 8 bit weights, each checked against plain arithmetic, then timed.
//
//   g++ -std=c++20 -O3 -march=native -ffp-contract=off -Wno-psabi quantized.cc -o quantized -pthread && ./quantized [K [rounds]]
//
// "shipped" is ../simd-int*.h as the op uses it; the others lost, and stay readable in versions-*.h. Two parts:
//
// - tiles: one panel of 32 columns that stays in the caches, by 120 rows: the arithmetic alone, per core.
// - streams: panels from memory, all threads, and the share of the read bandwidth measured in the same rounds.
//
// Time is what the threads really ran, so that other work on the machine disturbs little. All versions take their turn in
// every round: rates are the best of all rounds, ratios medians over them. "Of shipped": of the first with as many rows
// and bits. README.md has a table of them.
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
  double rate[16];
};

void timeHot(void* argument, int thread) {
  Hot& hot = *(Hot*)argument;
  alignas(64) float out[32 * 32];
  auto pass = [&] {
    for (int64_t row = 0; row < kRows; row += hot.version->rows) {
      Call call = hot.call;
      call.quads = hot.quads + row / hot.version->rows * hot.tileBytes;
      call.out = out;
      hot.version->tile(call);
    }
  };
  pass();
  double start = seconds(CLOCK_THREAD_CPUTIME_ID);
  for (int repeat = 0; repeat < 24; repeat++) pass();
  hot.rate[thread] = 24 * 2.0 * kRows * 32 * (double)hot.K / (seconds(CLOCK_THREAD_CPUTIME_ID) - start) * 1e-9;
}

// The best of both cores.
double hotRate(Hot& hot, int threads) {
  run(threads, timeHot, &hot);
  return *std::max_element(hot.rate, hot.rate + threads);
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

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The median over rounds of a version's rate by that of another.
double ofOther(const std::vector<double>& rates, const std::vector<double>& other) {
  std::vector<double> ratios;
  for (size_t i = 0; i < rates.size(); i++) ratios.push_back(rates[i] / other[i]);
  return median(ratios);
}

}  // namespace

int main(int argc, char** argv) {
  int64_t K = argc > 1 ? atoll(argv[1]) / kGroup * kGroup : 2048;
  int rounds = argc > 2 ? atoi(argv[2]) : 16;
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

  std::vector<Version> all = versions();
  struct Trial {
    std::vector<uint8_t> quads;
    std::vector<float> d, out;
    std::vector<int32_t> sums;
    std::vector<double> hot, cold, ofReading;
    double error;
  };
  std::vector<Trial> trials(all.size());
  auto callOf = [&](const Version& v, Trial& t, const uint8_t* from) {
    return Call{from, t.quads.data(), scales.data(), t.d.data(), t.sums.data(), t.out.data(), runs, kGroup};
  };
  for (size_t i = 0; i < all.size(); i++) {
    const Version& v = all[i];
    Trial& t = trials[i];
    t.quads = tiles(data, v), t.out.resize(32 * 32);
    for (int64_t j = 0; j < runs * v.rows; j++) {
      int64_t run = j / v.rows, m = j % v.rows;
      t.d.push_back(0.001f * (float)(j + 1)), t.sums.push_back(0);
      for (int64_t k = run * kGroup; k < (run + 1) * kGroup; k++) t.sums[j] += data.q[m * K + k];
    }
    fillPanel(v, weights, K, panel);
    Call call = callOf(v, t, panel);
    v.tile(call);
    t.error = worstError(data, v, weights, call);
  }

  double peaks[9] = {}, reads = 0;
  for (int round = 0; round < rounds; round++) {
    for (int bits : {4, 8}) peaks[bits] = std::max(peaks[bits], peak(bits));
    for (size_t at = 0; at < all.size(); at++) {
      size_t i = round % 2 ? all.size() - 1 - at : at;
      const Version& v = all[i];
      Trial& t = trials[i];
      fillPanel(v, weights, K, panel);
      Hot hot{&v, callOf(v, t, panel), t.quads.data(), K / 4 * v.quadBytes * v.rows, K, {}};
      t.hot.push_back(hotRate(hot, threads));
      if (v.weights == kSpreadWeights || v.rows > 8) continue;
      int64_t panelBytes = K * 32 * v.bits / 8;
      Cold cold{&v, callOf(v, t, weights), weights, (int64_t)kWeights / panelBytes, panelBytes, threads, {}, {}};
      Cold read = cold;
      read.version = nullptr;
      double before = streamRate(read);
      t.cold.push_back(streamRate(cold));
      double after = streamRate(read);
      t.ofReading.push_back(t.cold.back() / ((before + after) / 2));
      reads = std::max({reads, before, after});
    }
  }

  printf("%s, %d threads, K %d, groups of %d, %d rounds, reading at most %.1f GB/s\n", kMachine, threads, (int)K,
         (int)kGroup, rounds, reads);
  printf("%-36s in cache: GOP/s per core (%% of peak), of shipped    from memory: GB/s, of shipped, of reading\n", "");
  for (size_t i = 0; i < all.size(); i++) {
    const Version& v = all[i];
    Trial& t = trials[i];
    size_t first = 0;
    while (all[first].bits != v.bits || all[first].rows != v.rows || all[first].weights != v.weights) first++;
    double best = *std::max_element(t.hot.begin(), t.hot.end());
    printf("%-42s %6.1f (%3.0f %%) %6.2f", v.name, best, 100 * best / peaks[v.bits], ofOther(t.hot, trials[first].hot));
    if (!t.cold.empty())
      printf(" %12.1f %6.2f %5.0f %%", *std::max_element(t.cold.begin(), t.cold.end()),
             ofOther(t.cold, trials[first].cold), 100 * median(t.ofReading));
    printf("%s\n", t.error < 1 ? "" : "  WRONG");
  }
  return 0;
}

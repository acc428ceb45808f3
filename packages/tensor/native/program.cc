#include "program.h"

#include <time.h>

#include <algorithm>

#include "memory.h"

namespace slipway {

namespace {

struct Run {
  Pool& pool;
  const Kernels& kernels;
  const double* words;
  const double* end;
  Times times;
  int64_t fault[2];  // see Context::fail
};

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Adds the time that has passed since `*last` to the step that has just ended.
void noteTime(const Times& times, int step, double* last) {
  double time = now();
  if (step >= 0 && step < times.count) times.seconds[step] = time - *last;
  *last = time;
}

void walk(void* argument, int thread) {
  Run& run = *(Run*)argument;
  Context context(run.pool, thread, run.fault);
  Step step;
  double last = 0;
  for (const double* at = run.words; at < run.end; context.step++) {
    if (!decodeStep(&at, run.end, &step)) {
      // every thread stops here, so no barrier is left waiting
      context.fail(Code::kMalformed);
      return;
    }
    // steps that share memory must not overlap, nor may a fault before them be seen by some threads only
    bool together = run.kernels.workspaces[(int)step.op] != nullptr;
    if (step.barrier || run.times.seconds || together) run.pool.barrier();
    if (run.times.seconds && thread == 0) noteTime(run.times, context.step - 1, &last);
    // a kernel with barriers of its own runs on all threads or on none: it counts only what failed before the barrier
    if (!context.hasFailed(together)) run.kernels.ops[(int)step.op](step, context);
  }
  if (!run.times.seconds) return;
  run.pool.barrier();
  if (thread == 0) noteTime(run.times, context.step - 1, &last);
}

// The most that any step wants to share. Malformed steps are reported by the walk.
size_t workspaceOf(const Run& run) {
  size_t most = 0;
  Step step;
  for (const double* at = run.words; at < run.end && decodeStep(&at, run.end, &step);) {
    Workspace workspace = run.kernels.workspaces[(int)step.op];
    size_t bytes = workspace ? workspace(step, run.pool.threads()) : 0;
    if (bytes > most) most = bytes;
  }
  return most;
}

struct Pack {
  const Kernels& kernels;
  const PackJob& job;
  int threads;
};

void packShare(void* argument, int thread) {
  Pack& pack = *(Pack*)argument;
  int64_t panels = (pack.job.numRows + kPanel - 1) / kPanel;
  pack.kernels.pack(pack.job, panels * thread / pack.threads, panels * (thread + 1) / pack.threads);
}

struct Probe {
  const Kernels& kernels;
  const float* memory;
  int64_t count;
  int threads;
  int64_t rounds;
  int bits;
  std::atomic<int64_t> operations;
};

void readShare(void* argument, int thread) {
  Probe& probe = *(Probe*)argument;
  int64_t begin = probe.count * thread / probe.threads, end = probe.count * (thread + 1) / probe.threads;
  volatile float sink = probe.kernels.readAll(probe.memory + begin, end - begin);
  (void)sink;
}

void computeShare(void* argument, int) {
  Probe& probe = *(Probe*)argument;
  float sum;
  int32_t integerSum;
  probe.operations.fetch_add(probe.bits ? probe.kernels.integerProducts(probe.bits, probe.rounds, &integerSum)
                                        : probe.kernels.multiplyAdds(probe.rounds, &sum));
}

}  // namespace

Failure runProgram(Pool& pool, const Kernels& kernels, const double* words, int64_t count, Times times) {
  Run run{pool, kernels, words, words + count, times, {0, 0}};
  size_t bytes = workspaceOf(run);
  if (!pool.reserveShared(bytes)) return {(int64_t)Code::kOutOfMemory, 0, (int64_t)bytes};
  pool.run(walk, &run);
  return {run.fault[0] & 0xff, run.fault[0] >> 8, run.fault[1]};
}

void packPanels(Pool& pool, const Kernels& kernels, const PackJob& job) {
  Pack pack{kernels, job, pool.threads()};
  pool.run(packShare, &pack);
}

double measureBandwidth(Pool& pool, const Kernels& kernels, int64_t bytes, double seconds) {
  void* memory = allocatePages((size_t)bytes);
  if (!memory) return 0;
  // pages of zeros that were never written all show one physical page
  for (int64_t i = 0; i < bytes; i += 4096) ((char*)memory)[i] = 1;
  Probe probe{kernels, (const float*)memory, bytes / 4, pool.threads(), 0, 0, {0}};
  // the median, since what it is compared with are medians: one lucky pass says little of what a program can have
  constexpr int kMaxPasses = 1024;
  double rates[kMaxPasses];
  int passes = 0;
  for (double end = now() + seconds; now() < end && passes < kMaxPasses;) {
    double start = now();
    pool.run(readShare, &probe);
    rates[passes++] = (double)bytes / (now() - start) * 1e-9;
  }
  freePages(memory, (size_t)bytes);
  std::nth_element(rates, rates + passes / 2, rates + passes);
  return passes > 0 ? rates[passes / 2] : 0;
}

double measurePeak(Pool& pool, const Kernels& kernels, double seconds, int bits) {
  double best = 0;
  for (double end = now() + seconds; now() < end;) {
    Probe probe{kernels, nullptr, 0, pool.threads(), 200000, bits, {0}};
    double start = now();
    pool.run(computeShare, &probe);
    double rate = (double)probe.operations.load() / (now() - start) * 1e-9;
    if (rate > best) best = rate;
  }
  return best;
}

}  // namespace slipway

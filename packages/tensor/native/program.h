// Runs a command buffer on a pool.
#pragma once

#include "kernels.h"

namespace slipway {

struct Failure {
  int64_t code, step, value;
};

// Where the seconds of each step go, for a profile; null: nobody asks.
struct Times {
  double* seconds;
  int64_t count;
};

// All threads walk the buffer together; on a fault the remaining steps are skipped, their barriers kept. With `times`
// every step begins when the one before has ended on all threads.
Failure runProgram(Pool& pool, const Kernels& kernels, const double* words, int64_t count, Times times);

// Copies rows into panels on all threads.
void packPanels(Pool& pool, const Kernels& kernels, const PackJob& job);

// GB/s of reading `bytes` of memory with all threads, best of several passes within about `seconds`; 0: no memory.
double measureBandwidth(Pool& pool, const Kernels& kernels, int64_t bytes, double seconds);
// GFLOP/s of f32 multiply-adds in registers with all threads.
double measurePeak(Pool& pool, const Kernels& kernels, double seconds);

}  // namespace slipway

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
// 10^9 operations/s in registers with all threads: multiply-adds of f32 (0 bits), or products of int8 activations and
// weights of 4 or 8 bits.
double measurePeak(Pool& pool, const Kernels& kernels, double seconds, int bits);

}  // namespace slipway

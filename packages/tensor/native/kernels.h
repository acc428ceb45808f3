// What one instruction set offers. Each target fills one table (table.cc); targets.cc chooses among them at run time.
#pragma once

#include <stdint.h>

#include "command.h"
#include "pool.h"

namespace slipway {

struct Share {
  int64_t begin, end;
};

// What a kernel knows besides its step: which share of the work is its own, and where to report a fault.
class Context {
 public:
  Context(Pool& pool, int thread, int64_t* failure)
      : pool_(pool), thread_(thread), failure_(failure), division_(pool.lastDivision()) {}
  ~Context() { pool_.cursor(thread_).last = division_; }

  int thread() const { return thread_; }
  int threads() const { return pool_.threads(); }
  // 64-byte aligned memory of this thread; null (and a reported fault) when there is none.
  void* scratch(size_t bytes);
  // Memory of all threads, as large as the op's `workspace` asked, contents undefined when the step begins.
  void* shared() const { return pool_.shared(); }
  // Between the phases of an op. All threads must come, also one that has met a fault.
  void barrier() { pool_.barrier(); }
  // Divides `total` equal items among the threads, about `grain` or more at a time. All threads call it alike; each then
  // works on what `take` hands out until there is nothing left: its own share first, then the tails of slower threads'
  // shares. Whoever takes a chunk, its bounds depend on these numbers alone. Without enough work for more than a chunk
  // per thread nothing moves, and nothing is spent on it.
  void divide(int64_t total, int64_t grain);
  bool take(Share* chunk);
  // Remembers the first fault of the run; the kernel then returns.
  void fail(Code code, int64_t value = 0);
  // Whether something has failed; with `before`, in an earlier step.
  bool hasFailed(bool before) const;

  int step = 0;

 private:
  Pool& pool_;
  const int thread_;
  int64_t* const failure_;  // code and step, value
  uint32_t division_;       // number of the current division
  int64_t total_ = 0;
  int chunks_ = 0;    // of each thread; 0: nothing moves
  int offset_ = 0;    // whose chunks are taken, counted from this thread
};

using Kernel = void (*)(const Step&, Context&);
// Bytes of shared memory that a step needs on so many threads; it may be 0. Must bear malformed steps.
using Workspace = size_t (*)(const Step&, int threads);

// Rows [first, last) of a weight [N, K] as they lie in memory, to be copied into panels.
struct PackJob {
  const char* const* rows;  // one pointer per row, of any alignment
  int64_t numRows, cols;
  int elementBytes;
  char* panels;
};

// One row of floats to be rounded to words, with an f16 scale for each `group` columns, into its places in a panel: words
// and scales that follow one another lie kPanel apart.
struct RoundJob {
  const char* row;
  DType dtype;
  int64_t cols;
  int bits;
  int64_t group;
  uint32_t* words;
  uint16_t* scales;
};

struct Kernels {
  const char* name;
  Kernel ops[kNumOps];
  Workspace workspaces[kNumOps];  // null: the op shares nothing
  void (*pack)(const PackJob&, int64_t firstPanel, int64_t lastPanel);
  // Float elements as another float type, rounded to the nearest even.
  void (*convert)(DType from, const char* x, DType to, char* y, int64_t count);
  // False when a value is not finite or too large for its scale.
  bool (*roundRow)(const RoundJob&);
  // Reads all of the memory; the value only keeps the loads alive.
  float (*readAll)(const float* from, int64_t count);
  // Floating-point operations of `rounds` rounds of independent multiply-adds.
  int64_t (*multiplyAdds)(int64_t rounds, float* sink);
  // The same of int8 activations and weights of 4 or 8 bits.
  int64_t (*integerProducts)(int bits, int64_t rounds, int32_t* sink);
};

// Compiled targets, best first; `supported` says that this processor can run one.
struct Target {
  const Kernels* kernels;
  bool supported;
};
constexpr int kMaxTargets = 4;
int listTargets(Target* targets);

// This thread's part of `total` equal items.
static inline Share shareOf(int64_t total, const Context& context) {
  int64_t threads = context.threads(), thread = context.thread();
  return {total * thread / threads, total * (thread + 1) / threads};
}

}  // namespace slipway

// Threads of one device. The caller of `run` is thread 0; the others stay awake while a run lasts and a moment longer, and
// then sleep, so an idle device costs nothing. No exceptions: creation can fail, nothing else can.
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <atomic>

namespace slipway {

struct CoreSet;

// Memory of one thread that kernels reuse; it grows and is freed with the pool.
class Scratch {
 public:
  ~Scratch();
  // At least `bytes`, 64-byte aligned, contents undefined; null when there is no memory.
  void* take(size_t bytes);

 private:
  void* memory_ = nullptr;
  size_t size_ = 0;
};

// What is left of one thread's chunks of an op (see Context::divide), on a cache line of its own.
struct alignas(64) Cursor {
  // number of the division, first and end of the chunks that nobody has taken
  std::atomic<uint64_t> left{0};
  // the last division that the thread took part in
  uint32_t last = 0;
};

using Task = void (*)(void* context, int thread);

class Pool {
 public:
  // Null when a thread cannot be started. With `cores` (one per thread) every thread stays on its core, the calling one
  // too until the pool goes; null when the system refuses that.
  static Pool* create(int threads, const int* cores);
  ~Pool();

  int threads() const { return threads_; }
  // Runs the task once on every thread and returns when all are done.
  void run(Task task, void* context);
  // To be called by all threads inside a task: none goes on before all have come.
  void barrier();
  Scratch& scratch(int thread) { return scratch_[thread]; }
  // Memory of all threads; it may grow only between tasks. False when there is none.
  bool reserveShared(size_t bytes) { return (shared_ = bytes ? sharedMemory_.take(bytes) : nullptr) || !bytes; }
  void* shared() const { return shared_; }
  Cursor& cursor(int thread) { return cursors_[thread]; }
  // The last division of all earlier runs.
  uint32_t lastDivision() const { return lastDivision_; }

 private:
  explicit Pool(int threads) : threads_(threads) {}
  static void* enter(void* start);
  void work(int thread);
  unsigned nextTask(unsigned seen);
  bool pin(const int* cores);
  void unpin();

  const int threads_;
  int started_ = 1;
  pthread_t* handles_ = nullptr;
  Scratch* scratch_ = nullptr;
  Cursor* cursors_ = nullptr;
  Scratch sharedMemory_;
  void* shared_ = nullptr;
  uint32_t lastDivision_ = 0;
  CoreSet* before_ = nullptr;  // the calling thread's cores before it was pinned
  int callerCore_ = -1;
  Task task_ = nullptr;
  void* context_ = nullptr;
  bool closing_ = false;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t wake_ = PTHREAD_COND_INITIALIZER;
  // each on its own cache line
  alignas(64) std::atomic<unsigned> generation_{0};
  alignas(64) std::atomic<bool> busy_{false};
  alignas(64) std::atomic<int> sleeping_{0};
  alignas(64) std::atomic<int> running_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
};

}  // namespace slipway

#include "pool.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include <new>

namespace slipway {
namespace {

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int64_t nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

constexpr int kPauses = 100;  // 1 to 4 us
constexpr int64_t kAwakeNanoseconds = 400000;  // longer than the host thinks between steps, also about grammars

// Waits a moment on the spot, then lets other work have the core: on a busy machine the awaited thread may need it.
template <class F>
void spin(F waiting) {
  for (int i = 0; i < kPauses; i++) {
    if (!waiting()) return;
    pause();
  }
  while (waiting()) sched_yield();
}

// The same for a limited time; false when it is up.
template <class F>
bool spinAwhile(F waiting) {
  int64_t end = 0;
  spin([&] {
    if (!waiting()) return false;
    int64_t now = nanoseconds();
    if (end == 0) end = now + kAwakeNanoseconds;
    return now < end;
  });
  return !waiting();
}

struct Start {
  Pool* pool;
  int thread;
};

}  // namespace

#if defined(__linux__)
// Room for 8192 cores: the system refuses a set smaller than its own.
struct CoreSet {
  alignas(cpu_set_t) unsigned long bits[8192 / (8 * sizeof(long))] = {};

  cpu_set_t* set() { return (cpu_set_t*)bits; }
  bool readFrom(pthread_t thread) { return pthread_getaffinity_np(thread, sizeof bits, set()) == 0; }
  bool applyTo(pthread_t thread) { return pthread_setaffinity_np(thread, sizeof bits, set()) == 0; }
  bool add(int core) {
    if (core < 0 || core >= (int)(8 * sizeof bits)) return false;
    CPU_SET_S(core, sizeof bits, set());
    return true;
  }
};

bool Pool::pin(const int* cores) {
  before_ = new (std::nothrow) CoreSet;
  if (!before_ || !before_->readFrom(pthread_self())) return false;
  for (int i = threads_ - 1; i >= 0; i--) {
    CoreSet one;
    if (!one.add(cores[i]) || !one.applyTo(i == 0 ? pthread_self() : handles_[i])) return false;
  }
  callerCore_ = cores[0];
  return true;
}

void Pool::unpin() {
  CoreSet mine, now;
  // whoever has moved the thread since then has the last word
  bool still = callerCore_ >= 0 && mine.add(callerCore_) && now.readFrom(pthread_self()) &&
               CPU_EQUAL_S(sizeof mine.bits, mine.set(), now.set());
  if (still) before_->applyTo(pthread_self());
  delete before_;
}
#else
struct CoreSet {};
bool Pool::pin(const int*) { return false; }
void Pool::unpin() {}
#endif

Scratch::~Scratch() { free(memory_); }

void* Scratch::take(size_t bytes) {
  if (bytes <= size_ && memory_) return memory_;
  free(memory_);
  size_ = (bytes + bytes / 4 + 4096) & ~(size_t)63;
  memory_ = aligned_alloc(64, size_);
  if (!memory_) size_ = 0;
  return memory_;
}

Pool* Pool::create(int threads, const int* cores) {
  Pool* pool = new (std::nothrow) Pool(threads);
  if (!pool) return nullptr;
  pool->handles_ = new (std::nothrow) pthread_t[threads];
  pool->scratch_ = new (std::nothrow) Scratch[threads];
  pool->cursors_ = new (std::nothrow) Cursor[threads];
  bool ok = pool->handles_ && pool->scratch_ && pool->cursors_;
  for (int i = 1; ok && i < threads; i++) {
    Start* start = new (std::nothrow) Start{pool, i};
    ok = start && pthread_create(&pool->handles_[i], nullptr, enter, start) == 0;
    if (ok) pool->started_++;
    else delete start;
  }
  if (ok && (!cores || pool->pin(cores))) return pool;
  delete pool;
  return nullptr;
}

Pool::~Pool() {
  unpin();
  pthread_mutex_lock(&mutex_);
  closing_ = true;
  generation_.fetch_add(1);
  pthread_cond_broadcast(&wake_);
  pthread_mutex_unlock(&mutex_);
  for (int i = 1; i < started_; i++) pthread_join(handles_[i], nullptr);
  delete[] handles_;
  delete[] scratch_;
  delete[] cursors_;
  pthread_cond_destroy(&wake_);
  pthread_mutex_destroy(&mutex_);
}

void* Pool::enter(void* argument) {
  Start start = *(Start*)argument;
  delete (Start*)argument;
  start.pool->work(start.thread);
  return nullptr;
}

void Pool::work(int thread) {
  for (unsigned seen = 0;;) {
    seen = nextTask(seen);
    if (closing_) return;
    task_(context_, thread);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

unsigned Pool::nextTask(unsigned seen) {
  auto waiting = [&] { return generation_.load(std::memory_order_acquire) == seen; };
  // others are still at work, and the next run often follows at once
  spin([&] { return busy_.load(std::memory_order_relaxed) && waiting(); });
  if (!spinAwhile(waiting)) {
    pthread_mutex_lock(&mutex_);
    // sequentially consistent with `run`: either it sees this sleeper or the sleeper sees its task
    sleeping_.fetch_add(1);
    while (generation_.load() == seen) pthread_cond_wait(&wake_, &mutex_);
    sleeping_.fetch_sub(1);
    pthread_mutex_unlock(&mutex_);
  }
  return generation_.load(std::memory_order_acquire);
}

void Pool::run(Task task, void* context) {
  if (threads_ == 1) return task(context, 0);
  for (int i = 0; i < threads_; i++) {
    // only a fault lets threads miss divisions
    if ((int32_t)(cursors_[i].last - lastDivision_) > 0) lastDivision_ = cursors_[i].last;
  }
  task_ = task;
  context_ = context;
  busy_.store(true, std::memory_order_relaxed);
  running_.store(threads_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1);
  if (sleeping_.load() > 0) {
    pthread_mutex_lock(&mutex_);
    pthread_cond_broadcast(&wake_);
    pthread_mutex_unlock(&mutex_);
  }
  task(context, 0);
  spin([&] { return running_.load(std::memory_order_acquire) > 0; });
  busy_.store(false, std::memory_order_relaxed);
}

void Pool::barrier() {
  if (threads_ == 1) return;
  unsigned phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  spin([&] { return phase_.load(std::memory_order_acquire) == phase; });
}

}  // namespace slipway

// What kernels ask of the device while they run.
#include "kernels.h"

namespace slipway {

void* Context::scratch(size_t bytes) {
  void* memory = pool_.scratch(thread_).take(bytes);
  if (!memory) fail(Code::kOutOfMemory, (int64_t)bytes);
  return memory;
}

void Context::fail(Code code, int64_t value) {
  int64_t none = 0;
  // one word says code and step, so that nobody sees a fault without knowing where
  int64_t fault = (int64_t)code | (int64_t)step << 8;
  if (!__atomic_compare_exchange_n(&failure_[0], &none, fault, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return;
  failure_[1] = value;
}

bool Context::hasFailed(bool before) const {
  int64_t fault = __atomic_load_n(&failure_[0], __ATOMIC_RELAXED);
  return fault != 0 && (!before || fault >> 8 < step);
}

namespace {

// A thread's chunks of division `number` of which [begin, end) are left, in one word.
uint64_t pack(uint32_t number, uint32_t begin, uint32_t end) { return (uint64_t)number << 32 | begin << 16 | end; }

// More chunks even out more; each costs an exchange.
constexpr int64_t kChunks = 8;
// others whose chunks a thread looks for
constexpr int kVictims = 8;

}  // namespace

void Context::divide(int64_t total, int64_t grain) {
  int64_t chunks = total / (threads() * (grain > 0 ? grain : 1));
  total_ = total;
  offset_ = 0;
  chunks_ = threads() == 1 || chunks < 2 ? 0 : (int)(chunks < kChunks ? chunks : kChunks);
  if (chunks_) division_++;
}

bool Context::take(Share* chunk) {
  if (!chunks_) {
    *chunk = shareOf(total_, *this);
    return offset_++ == 0 && chunk->begin < chunk->end;
  }
  // A cursor that is behind belongs to a thread that has not come yet: whoever comes first begins its division. Nobody
  // leaves a division before all cursors in sight are empty, so one that is ahead is empty too. Hence nothing is reset.
  for (int others = threads() - 1 < kVictims ? threads() - 1 : kVictims; offset_ <= others; offset_++) {
    int owner = (thread_ + offset_) % threads();
    std::atomic<uint64_t>& left = pool_.cursor(owner).left;
    uint64_t word = left.load(std::memory_order_relaxed);
    for (;;) {
      int32_t ahead = (int32_t)((uint32_t)(word >> 32) - division_);
      uint32_t begin = ahead < 0 ? 0 : word >> 16 & 0xffff, end = ahead < 0 ? (uint32_t)chunks_ : word & 0xffff;
      if (ahead > 0 || begin == end) break;
      bool own = offset_ == 0;
      uint64_t rest = own ? pack(division_, begin + 1, end) : pack(division_, begin, end - 1);
      if (!left.compare_exchange_weak(word, rest, std::memory_order_relaxed)) continue;
      int64_t index = (int64_t)owner * chunks_ + (own ? begin : end - 1), count = (int64_t)threads() * chunks_;
      *chunk = {total_ * index / count, total_ * (index + 1) / count};
      return true;
    }
  }
  return false;
}

}  // namespace slipway

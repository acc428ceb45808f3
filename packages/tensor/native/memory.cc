#include "memory.h"

#include <sys/mman.h>

namespace slipway {
namespace {

constexpr size_t kHuge = kPageAlignment;

size_t roundUp(size_t bytes) { return (bytes + kHuge - 1) & ~(kHuge - 1); }

void adviseHuge(void* start, size_t size) {
#ifdef MADV_HUGEPAGE
  madvise(start, size, MADV_HUGEPAGE);
#else
  (void)start, (void)size;
#endif
}

}  // namespace

void* allocatePages(size_t bytes) {
  if (bytes == 0 || bytes > SIZE_MAX / 2) return nullptr;
  size_t size = roundUp(bytes);
  char* all = (char*)mmap(nullptr, size + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  char* start = (char*)roundUp((size_t)all);
  if (start > all) munmap(all, (size_t)(start - all));
  if (start < all + kHuge) munmap(start + size, (size_t)(all + kHuge - start));
  adviseHuge(start, size);
  return start;
}

void freePages(void* memory, size_t bytes) { munmap(memory, roundUp(bytes)); }

bool resetPages(void* memory, size_t bytes) {
  size_t size = roundUp(bytes);
  // a new mapping in place of the old one: unlike advice, it is zero on every system
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  if (mmap(memory, size, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return false;
  adviseHuge(memory, size);
  return true;
}

}  // namespace slipway

#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace slipway {
namespace {

constexpr size_t kHuge = (size_t)2 << 20;

size_t roundUp(size_t bytes) { return (bytes + kHuge - 1) & ~(kHuge - 1); }

}  // namespace

void* allocatePages(size_t bytes) {
  if (bytes == 0 || bytes > SIZE_MAX / 2) return nullptr;
  size_t size = roundUp(bytes);
  char* all = (char*)mmap(nullptr, size + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  char* start = (char*)roundUp((size_t)all);
  if (start > all) munmap(all, (size_t)(start - all));
  if (start < all + kHuge) munmap(start + size, (size_t)(all + kHuge - start));
#ifdef MADV_HUGEPAGE
  madvise(start, size, MADV_HUGEPAGE);
#endif
  return start;
}

void freePages(void* memory, size_t bytes) { munmap(memory, roundUp(bytes)); }

int mapFile(const char* path, void** memory, size_t* bytes) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  struct stat info;
  int error = fstat(file, &info) == 0 ? 0 : errno;
  if (!error && !S_ISREG(info.st_mode)) error = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
  *memory = nullptr;
  *bytes = error ? 0 : (size_t)info.st_size;
  if (!error && *bytes > 0) {
    // writable and private: a stray write from JavaScript must not end the process
    int flags = MAP_PRIVATE;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    *memory = mmap(nullptr, *bytes, PROT_READ | PROT_WRITE, flags, file, 0);
    if (*memory == MAP_FAILED) error = errno;
  }
  close(file);
  return error;
}

void unmapFile(void* memory, size_t bytes) { munmap(memory, bytes); }

}  // namespace slipway

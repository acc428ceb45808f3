// Memory that the garbage collector's heap does not hold: huge pages for weights and caches, mapped files.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace slipway {

// Zeroed pages, 2 MiB aligned and in huge pages where the system has them; null when there is no memory.
void* allocatePages(size_t bytes);
void freePages(void* memory, size_t bytes);

// Maps a file; the result is 0 or an errno. Writing to the memory changes private copies, never the file.
int mapFile(const char* path, void** memory, size_t* bytes);
void unmapFile(void* memory, size_t bytes);

}  // namespace slipway

// Memory that the garbage collector's heap does not hold: huge pages for weights and caches.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace slipway {

// Zeroed pages, 2 MiB aligned and in huge pages where the system has them; null when there is no memory.
void* allocatePages(size_t bytes);
void freePages(void* memory, size_t bytes);

}  // namespace slipway

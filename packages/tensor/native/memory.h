// Memory that the garbage collector's heap does not hold: huge pages for weights and caches.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace slipway {

constexpr size_t kPageAlignment = (size_t)2 << 20;

// Zeroed pages, 2 MiB aligned and in huge pages where the system has them; null when there is no memory.
void* allocatePages(size_t bytes);
void freePages(void* memory, size_t bytes);
// Gives the memory of allocated pages back to the system and keeps their addresses: they are zero again, and take memory
// when they are next written. False when the system refuses; nothing has changed then.
bool resetPages(void* memory, size_t bytes);

}  // namespace slipway

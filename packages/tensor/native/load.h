// Weights made straight from files: read, converted or rounded, and packed, one panel at a time on all threads. No more
// of a tensor is ever held than the 32 rows at hand.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"
#include "program.h"

namespace slipway {

// Rows of a float matrix as they lie in an open file, one after another.
struct StoredRows {
  int file;
  int64_t offset, rows;
  DType dtype;
};

// A weight [numRows, cols], whose rows are those of the parts one after another.
struct LoadJob {
  const StoredRows* parts;
  int numParts;
  int64_t numRows, cols;
  DType dtype;    // of floats
  int bits;       // 0: floats; else words of 4 or 8 bits with a scale for each `group` columns
  int64_t group;
  char* panels;   // zeroed: floats, or words
  char* scales;   // zeroed; only with `bits`
};

// Bytes of a file with the checksum they must have.
struct Chunk {
  int64_t offset;
  char* to;
  int64_t length;
  uint64_t checksum;
};

// Beyond the codes of a run; src/native.ts has the texts.
enum class LoadCode : int {
  kOk = 0,
  kCutShort = 5,    // `step` is the part or chunk, `value` the byte at which the file ends
  kUnreadable = 6,  // `value` is the errno
  kNotFinite = 7,   // `value` is the row within the part
  kDamaged = 8,     // the checksum of chunk `step` differs
  kNoMemory = 3,
};

Failure loadWeight(Pool& pool, const Kernels& kernels, const LoadJob& job);

Failure readChunks(Pool& pool, int file, const Chunk* chunks, int64_t count);

// 64 bits of every byte and of their order; not against intent.
uint64_t checksum(const char* data, size_t bytes);

// Tells the system that these bytes will be read soon.
void readAhead(int file, int64_t offset, int64_t length);

}  // namespace slipway

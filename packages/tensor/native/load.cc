#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

namespace slipway {
namespace {

int64_t bytesOf(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

// Work that threads take piece by piece; the first failure stops them all.
struct Work {
  std::atomic<int64_t> next{0};
  int64_t count = 0;
  Failure failure{0, 0, 0};

  bool take(int64_t* piece) {
    if (__atomic_load_n(&failure.code, __ATOMIC_RELAXED) != 0) return false;
    *piece = next.fetch_add(1, std::memory_order_relaxed);
    return *piece < count;
  }
  void fail(LoadCode code, int64_t step, int64_t value) {
    int64_t none = 0;
    if (!__atomic_compare_exchange_n(&failure.code, &none, (int64_t)code, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return;
    failure.step = step;
    failure.value = value;
  }
};

// A read instead of a mapping: a file that is cut short meanwhile is an error here and the end of the process there.
bool readFully(int file, char* to, int64_t length, int64_t offset, int64_t step, Work& work) {
  while (length > 0) {
    ssize_t got = pread(file, to, (size_t)length, (off_t)offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return work.fail(LoadCode::kUnreadable, step, errno), false;
    if (got == 0) return work.fail(LoadCode::kCutShort, step, offset), false;
    to += got, offset += got, length -= got;
  }
  return true;
}

struct Load : Work {
  Pool& pool;
  const Kernels& kernels;
  const LoadJob& job;

  Load(Pool& pool, const Kernels& kernels, const LoadJob& job) : pool(pool), kernels(kernels), job(job) {
    count = (job.numRows + kPanel - 1) / kPanel;
  }
};

// The rows of one panel as they were stored.
struct PanelRows {
  const char* rows[kPanel];
  DType dtypes[kPanel];
  int64_t parts[kPanel], places[kPanel];  // where each comes from, for messages
};

bool readPanel(Load& load, int64_t panel, char* to, PanelRows* out) {
  const LoadJob& job = load.job;
  int64_t row = panel * kPanel, end = row + kPanel < job.numRows ? row + kPanel : job.numRows, first = 0, n = 0;
  for (int p = 0; p < job.numParts && row < end; first += job.parts[p++].rows) {
    const StoredRows& part = job.parts[p];
    int64_t place = row - first;
    int64_t rows = first + part.rows < end ? part.rows - place : end - row;
    if (rows <= 0) continue;
    int64_t rowBytes = job.cols * bytesOf(part.dtype);
    if (!readFully(part.file, to, rows * rowBytes, part.offset + place * rowBytes, p, load)) return false;
    for (int64_t i = 0; i < rows; i++, n++, to += rowBytes) {
      out->rows[n] = to;
      out->dtypes[n] = part.dtype;
      out->parts[n] = p;
      out->places[n] = place + i;
    }
    row += rows;
  }
  return true;
}

void storeFloats(Load& load, int64_t panel, int64_t rows, const PanelRows& stored, char* spare) {
  const LoadJob& job = load.job;
  int64_t rowBytes = job.cols * bytesOf(job.dtype);
  const char* from[kPanel];
  for (int64_t n = 0; n < rows; n++) {
    from[n] = stored.rows[n];
    if (stored.dtypes[n] == job.dtype) continue;
    from[n] = spare + n * rowBytes;
    load.kernels.convert(stored.dtypes[n], stored.rows[n], job.dtype, spare + n * rowBytes, job.cols);
  }
  load.kernels.pack({from, rows, job.cols, (int)bytesOf(job.dtype), job.panels + panel * kPanel * rowBytes}, 0, 1);
}

bool storeRounded(Load& load, int64_t panel, int64_t rows, const PanelRows& stored) {
  const LoadJob& job = load.job;
  int64_t words = (job.cols * job.bits + 31) / 32, groups = (job.cols + job.group - 1) / job.group;
  uint32_t* toWords = (uint32_t*)job.panels + panel * kPanel * words;
  uint16_t* toScales = (uint16_t*)job.scales + panel * kPanel * groups;
  for (int64_t n = 0; n < rows; n++) {
    RoundJob row{stored.rows[n], stored.dtypes[n], job.cols, job.bits, job.group, toWords + n, toScales + n};
    if (!load.kernels.roundRow(row)) return load.fail(LoadCode::kNotFinite, stored.parts[n], stored.places[n]), false;
  }
  return true;
}

void loadShare(void* argument, int thread) {
  Load& load = *(Load*)argument;
  const LoadJob& job = load.job;
  size_t raw = (size_t)(kPanel * job.cols * 4);
  char* memory = (char*)load.pool.scratch(thread).take(job.bits ? raw : 2 * raw);
  if (!memory) return load.fail(LoadCode::kNoMemory, 0, (int64_t)(2 * raw));
  PanelRows stored;
  for (int64_t panel; load.take(&panel);) {
    int64_t rows = job.numRows - panel * kPanel < kPanel ? job.numRows - panel * kPanel : kPanel;
    if (!readPanel(load, panel, memory, &stored)) return;
    if (!job.bits) storeFloats(load, panel, rows, stored, memory + raw);
    else if (!storeRounded(load, panel, rows, stored)) return;
  }
}

struct Read : Work {
  int file;
  const Chunk* chunks;
};

void readShare(void* argument, int) {
  Read& read = *(Read*)argument;
  for (int64_t i; read.take(&i);) {
    const Chunk& chunk = read.chunks[i];
    if (!readFully(read.file, chunk.to, chunk.length, chunk.offset, i, read)) return;
    if (checksum(chunk.to, (size_t)chunk.length) != chunk.checksum) return read.fail(LoadCode::kDamaged, i, chunk.offset);
  }
}

}  // namespace

Failure loadWeight(Pool& pool, const Kernels& kernels, const LoadJob& job) {
  Load load(pool, kernels, job);
  pool.run(loadShare, &load);
  return load.failure;
}

Failure readChunks(Pool& pool, int file, const Chunk* chunks, int64_t count) {
  Read read;
  read.count = count;
  read.file = file;
  read.chunks = chunks;
  pool.run(readShare, &read);
  return read.failure;
}

uint64_t checksum(const char* data, size_t bytes) {
  // eight lanes hide the latency of the product; each step of a lane can be undone, so no change is lost
  constexpr int kWords = 8;
  constexpr uint64_t kFactor = 0x9e3779b97f4a7c15u;
  uint64_t lanes[kWords], block[kWords];
  for (int i = 0; i < kWords; i++) lanes[i] = (uint64_t)(i + 1) * kFactor;
  auto mix = [&] {
    for (int i = 0; i < kWords; i++) {
      uint64_t x = (lanes[i] ^ block[i]) * kFactor;
      lanes[i] = x << 29 | x >> 35;
    }
  };
  size_t at = 0;
  for (; at + sizeof block <= bytes; at += sizeof block) {
    memcpy(block, data + at, sizeof block);
    mix();
  }
  memset(block, 0, sizeof block);
  memcpy(block, data + at, bytes - at);
  mix();
  uint64_t sum = bytes;
  for (int i = 0; i < kWords; i++) {
    sum = (sum ^ lanes[i]) * kFactor;
    sum ^= sum >> 32;
  }
  return sum;
}

void readAhead(int file, int64_t offset, int64_t length) {
#if defined(POSIX_FADV_WILLNEED)
  posix_fadvise(file, (off_t)offset, (off_t)length, POSIX_FADV_WILLNEED);
#else
  (void)file, (void)offset, (void)length;
#endif
}

}  // namespace slipway

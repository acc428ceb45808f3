// Times the attention kernel as it ships, on one thread: decode over caches too large for the processor's, and prefill.
// README.md says how to build it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory.h"
#include "ops.h"

using namespace slipway;

namespace {

double seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

Tensor tensor(DType dtype, int size, int64_t a, int64_t b, int64_t c, Layout layout = Layout::kRow) {
  char* data = (char*)allocatePages((size_t)(a * b * c * size) + 4096);
  return {data, dtype, layout, 3, {a, b, c}, a * b, c, c};
}

struct Shape {
  int64_t heads, kvHeads, width;
};

// Best CPU time of a call in seconds; `copies` caches take turns.
double best(const Shape& shape, DType dtype, int size, int64_t rows, int64_t keys, bool prefill, int copies, Pool& pool) {
  constexpr int64_t kBlock = 64;
  int64_t sequences = prefill ? 1 : rows, blocks = keys / kBlock;
  int64_t failure[3] = {};
  Context context(pool, 0, failure);
  Step step{};
  step.op = OpCode::kAttention;
  Tensor* t = step.tensors;
  t[0] = tensor(DType::kF32, 4, 1, rows, shape.heads * shape.width);
  for (int64_t i = 0; i < t[0].rows * t[0].cols; i++) ((float*)t[0].data)[i] = (float)(rand() % 2000 - 1000) * 1e-3f;
  t[5] = tensor(DType::kI32, 4, 1, sequences, blocks);
  for (int64_t i = 0; i < sequences * blocks; i++) ((int32_t*)t[5].data)[i] = (int32_t)i;
  t[6] = tensor(DType::kI32, 4, 1, 1, rows), t[7] = tensor(DType::kI32, 4, 1, 1, rows);
  for (int64_t r = 0; r < rows; r++) {
    ((int32_t*)t[6].data)[r] = prefill ? 0 : (int32_t)r;
    ((int32_t*)t[7].data)[r] = (int32_t)(prefill ? keys - rows + r : keys - 1);
  }
  t[8] = tensor(DType::kF32, 4, 1, rows, shape.heads * shape.width);
  double attributes[] = {(double)shape.heads, (double)shape.kvHeads, 0.125, 0};
  for (int i = 0; i < 4; i++) step.attributes[i] = attributes[i];
  Tensor caches[64][4] = {};
  for (int c = 0; c < copies; c++)
    for (int i = 0; i < 2; i++) {
      caches[c][i] = tensor(dtype, size, blocks * sequences, kBlock, shape.kvHeads * shape.width,
                            i ? Layout::kRow : Layout::kKeyTiles);
      for (int64_t j = 0; j < caches[c][i].rows * caches[c][i].cols * size; j++)
        caches[c][i].data[j] = (char)(size == 1 ? j * 37 % 100 : j % size == size - 1 ? 0x3e : j * 37);
      if (size == 1) {
        caches[c][2 + i] = tensor(DType::kF32, 4, blocks * sequences, kBlock, shape.kvHeads, Layout::kKeyTiles);
        for (int64_t j = 0; j < caches[c][i].rows * shape.kvHeads; j++) ((float*)caches[c][2 + i].data)[j] = 0.01f;
      }
    }
  double least = 1e9;
  // runs of some milliseconds: long enough for the clock, short enough to fall between what else the machine does
  int together = rows * keys > 1 << 17 ? 1 : (int)((1 << 17) / (rows * keys)), next = 0;
  for (double end = seconds() + 0.4; seconds() < end;) {
    double start = seconds();
    for (int n = 0; n < together; n++, next = (next + 1) % copies) {
      for (int i = 0; i < 4; i++) t[1 + i] = caches[next][i];
      lab::attention(step, context);
    }
    double time = (seconds() - start) / together;
    if (time < least) least = time;
  }
  if (failure[0]) printf("fault %d\n", (int)failure[0]);
  for (int c = 0; c < copies; c++)
    for (int i = 0; i < 4; i++)
      if (caches[c][i].data) freePages(caches[c][i].data, (size_t)(caches[c][i].rows * caches[c][i].cols * (i < 2 ? size : 4)) + 4096);
  return least;
}

// The rates that bound it, measured in between since they change with what else the host does.
double peak() {
  double most = 0;
  for (int i = 0; i < 5; i++) {
    float sink;
    double start = seconds();
    double flops = (double)lab::multiplyAdds(200000, &sink);
    double rate = flops / (seconds() - start) * 1e-9;
    most = rate > most ? rate : most;
  }
  return most;
}

double reading() {
  constexpr int64_t kBytes = 1 << 28;
  static float* memory = nullptr;
  if (!memory) {
    memory = (float*)allocatePages(kBytes);
    for (int64_t i = 0; i < kBytes / 4; i++) memory[i] = 1;
  }
  double most = 0;
  for (int i = 0; i < 3; i++) {
    double start = seconds();
    volatile float sink = lab::readAll(memory, kBytes / 4);
    (void)sink;
    double rate = kBytes / (seconds() - start) * 1e-9;
    most = rate > most ? rate : most;
  }
  return most;
}

}  // namespace

int main(int argc, char** argv) {
  Pool* pool = Pool::create(1, nullptr);
  const Shape shapes[] = {{14, 2, 64}, {12, 2, 128}, {2, 2, 64}};
  for (const Shape& s : shapes) {
    struct {
      const char* name;
      DType dtype;
      int size;
      int64_t rows, keys;
      bool prefill;
      int copies;
    } cases[] = {{"decode bf16", DType::kBf16, 2, 1, 4096, false, 32},  {"decode i8", DType::kI8, 1, 1, 4096, false, 48},
                 {"decode bf16 in cache", DType::kBf16, 2, 1, 512, false, 1},
                 {"prefill 512 bf16", DType::kBf16, 2, 512, 512, true, 1},
                 {"prefill 256 of 4096 bf16", DType::kBf16, 2, 256, 4096, true, 1},
                 {"chunk 2 in cache bf16", DType::kBf16, 2, 2, 512, true, 1},
                 {"chunk 2 of 8192 bf16", DType::kBf16, 2, 2, 8192, true, 16},
                 {"chunk 4 of 8192 bf16", DType::kBf16, 2, 4, 8192, true, 16},
                 {"chunk 12 of 8192 bf16", DType::kBf16, 2, 12, 8192, true, 16}};
    for (auto& c : cases) {
      if (argc > 1 && !strstr(c.name, argv[1])) continue;
      if (argc > 2 && atoi(argv[2]) != s.heads) continue;
      double time = best(s, c.dtype, c.size, c.rows, c.keys, c.prefill, c.copies, *pool), bound = peak(), read = reading();
      double seen = (double)c.rows * ((double)c.keys - (c.prefill ? (double)(c.rows - 1) / 2 : 0));
      double flops = 4 * seen * (double)(s.heads * s.width) / time * 1e-9;
      double bytes = 2.0 * (double)(c.prefill ? c.keys : seen) * (double)(s.kvHeads * s.width * c.size) / time * 1e-9;
      printf("%2d/%d of %3d %-26s %9.1f us %6.1f GFLOP/s %3.0f %% of %5.1f  %5.1f GB/s %3.0f %% of %4.1f\n", (int)s.heads,
             (int)s.kvHeads, (int)s.width, c.name, time * 1e6, flops, 100 * flops / bound, bound, bytes, 100 * bytes / read, read);
    }
  }
}

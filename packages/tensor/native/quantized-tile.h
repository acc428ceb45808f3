// Products of rounded activations with packed integer weights, for quantized-linear.cc and quantized-expert-linear.cc.
// Sums of a run are exact integers, so they do not depend on tiles. Each output then is one chain of fma over ascending
// runs, whichever tile, block or thread computes it.
#pragma once

#include "prologue.h"
#include "results.h"
#include "simd-int.h"

namespace slipway::SLIPWAY_TARGET {

// activations of more rows would not stay in the last-level cache from one panel to the next
constexpr int64_t kBlockBytes = 4 << 20;

struct QuantizedJob {
  const Tensor &words, &scales, &zeros;
  Results results;
  int64_t firstOutput;  // row of the weight that gives column 0
  int64_t cols, group, runs;
  int bits;
  const float* bias;
  const Tensor* residual;

  static constexpr int64_t runsOf(int64_t cols, int64_t group) { return group > 0 ? (cols + group - 1) / group : 0; }
  bool isValid() const {
    // larger sums of a run would not fit 32 bits
    constexpr int64_t kMaxGroup = 65536;
    return (bits == 4 || bits == 8) && group > 0 && group % 8 == 0 && group <= kMaxGroup && cols > 0;
  }
};

// Rounded activations of rows from `first` on, in tiles of neighbouring rows. Those of a tile lie together, so a tile
// that begins n rows further starts n * bytesOfRow further.
struct Block {
  uint8_t* quads;
  float* scales;
  int32_t* sums;
  int64_t bytesOfRow, first, rows;
};

// Where one row's rounded activations go: its quads lie `stride` bytes apart, its runs `rows` apart.
struct Place {
  uint8_t* quads;
  int64_t stride;
  float* scales;
  int32_t* sums;
  int64_t rows;
};

// Memory of all rounded activations of an op.
template <Form F>
struct Rounded {
  static constexpr int64_t kStepK = 4 * kQuadsOfStep<F>, kRows = kDotRows<F>;
  int64_t rows, runs, bytesOfRow, rowsOfBlock;

  Rounded(int64_t rows, const QuantizedJob& job)
      : rows(rows), runs(job.runs), bytesOfRow(roundUp(job.cols, kStepK) / 4 * kQuadBytes<F>) {
    int64_t most = kBlockBytes / bytesOfRow / kRows * kRows;
    rowsOfBlock = most > kRows ? most : kRows;
  }
  static int64_t tiles(int64_t rowsOfBlock) { return (rowsOfBlock + kRows - 1) / kRows; }
  int64_t perRun() const { return roundUp(rows * runs * 4, 64); }
  int64_t bytes() const { return roundUp(rows * bytesOfRow, 64) + 2 * perRun(); }
  // The block that holds row `row` of the part [begin, end) of the rows. Blocks begin anew in every part.
  Block blockAt(uint8_t* memory, int64_t begin, int64_t end, int64_t row) const {
    int64_t first = begin + (row - begin) / rowsOfBlock * rowsOfBlock;
    float* scales = (float*)(memory + roundUp(rows * bytesOfRow, 64));
    int32_t* sums = (int32_t*)((char*)scales + perRun());
    return {memory + first * bytesOfRow, scales + first * runs, sums + first * runs, bytesOfRow, first,
            min64(rowsOfBlock, end - first)};
  }
};

// Tile t of `tiles` over `rows` rows begins here; tiles differ by one row at most.
constexpr int64_t tileRow(int64_t rows, int64_t tiles, int64_t t) { return rows * t / tiles; }
// The tile that holds a row.
constexpr int64_t tileOf(int64_t rows, int64_t tiles, int64_t row) { return ((row + 1) * tiles - 1) / rows; }

// The place of row `row` of the op, which lies in the block.
template <Form F>
SLIPWAY_INLINE Place placeOf(const Block& block, int64_t runs, int64_t row) {
  int64_t tiles = Rounded<F>::tiles(block.rows), t = tileOf(block.rows, tiles, row - block.first);
  int64_t tile = tileRow(block.rows, tiles, t), m = row - block.first - tile;
  int64_t rows = tileRow(block.rows, tiles, t + 1) - tile;
  return {block.quads + tile * block.bytesOfRow + m * kQuadBytes<F>, rows * kQuadBytes<F>,
          block.scales + tile * runs + m, block.sums + tile * runs + m, rows};
}

// Memory of one thread, for a job whose weights may not be packed.
struct PanelRooms {
  uint8_t *spread, *words, *scales, *zeros;
};
constexpr int kNumRooms = 4;
// Sizes of the rooms when blocks have at most so many rows.
template <Form F>
void sizesOfRooms(const QuantizedJob& job, int64_t rowsOfBlock, int64_t* sizes);

// Rounds runs [begin, end) of a row to its place. `room` holds one prepared run.
template <Form F>
void quantizeRuns(const QuantizedJob& job, const PreparedRow& row, int64_t begin, int64_t end, const Place& place,
                  float* room);

// The rows of a block by the panels [panel, end) of the weight.
template <Form F>
void multiplyPanels(const QuantizedJob& job, const Block& block, int64_t panel, int64_t end, const PanelRooms& rooms);

}  // namespace slipway::SLIPWAY_TARGET

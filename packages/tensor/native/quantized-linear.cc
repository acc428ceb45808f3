// Product of activations rounded to int8 with 4 or 8 bit weights; the contract is in src/ops/quantized-linear.ts.
//
// Sums of a run are exact integers, so they do not depend on tiles. Each output then is one chain of fma over ascending
// runs, whichever tile, block or thread computes it.
#include "ops.h"
#include "simd-int.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

constexpr int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t roundUp(int64_t a, int64_t to) { return (a + to - 1) / to * to; }

// activations of more rows would not stay in the last-level cache from one panel to the next
constexpr int64_t kBlockBytes = 4 << 20;
constexpr int64_t kLine = 64;
// a tile that streams its weights from memory asks for them so far ahead
constexpr int kStreamAhead = 2048;

struct Job {
  const Tensor &x, &words, &scales, &zeros, &out;
  const float* bias;
  int64_t group, runs;
  int bits;
};

// 32 columns of the weight: packed steps, then what belongs to their runs. A stride of 0 repeats a value for all runs.
struct Panel {
  const uint8_t* steps;
  const F16* scales;
  const uint8_t* zeros;  // null: the middle
  int64_t scaleStride, zeroStride;
};

// Rounded activations of a few rows.
struct Tile {
  const uint8_t* quads;
  const float* scales;  // [runs][rows]
  const int32_t* sums;
  int64_t row;
  // what to ask of the memory meanwhile, so many bytes in every run
  const uint8_t* ahead;
  int64_t aheadOfRun;
};

// Memory of one block of rows. Rows of a tile lie together, so row `first` of a tile starts at first * bytesOfRow.
struct Block {
  uint8_t* quads;
  float* scales;
  int32_t* sums;
  int64_t bytesOfRow, first, rows;
};

// Rounds one row into place m of a tile of M rows.
template <Form F>
void quantizeRow(const Job& job, const float* x, uint8_t* quads, float* scales, int32_t* sums, int64_t M) {
  int64_t stride = M * kQuadBytes<F>;
  for (int64_t run = 0; run < job.runs; run++) {
    int64_t k = run * job.group, end = min64(k + job.group, job.x.cols), full = k + (end - k) / kLanes * kLanes;
    I peaks = spreadInt(0);
    for (int64_t i = k; i < full; i += kLanes) peaks = maxMagnitude(peaks, load(x + i));
    if (full < end) peaks = maxMagnitude(peaks, loadPartial(x + full, end - full));
    uint32_t lanes[kLanes], bits = 0;
    storeInt((int32_t*)lanes, peaks);
    for (uint32_t lane : lanes) bits = lane > bits ? lane : bits;
    float peak = floatFromBits(bits);
    V factor = set1(peak < 0x1p-100f ? 0.0f : 127.0f / peak);
    I total = spreadInt(0);
    uint8_t* to = quads + k / 4 * stride;
    for (int64_t i = k; i < full; i += kLanes, to += 4 * stride) {
      I q = roundInt(mul(load(x + i), factor));
      total = addInt(total, q);
      storeQuads<F>(to, stride, q, 4);
    }
    // the last quads are filled with zeros up to a whole step
    if (full < end) {
      I q = roundInt(mul(loadPartial(x + full, end - full), factor));
      total = addInt(total, q);
      storeQuads<F>(to, stride, q, roundUp(end - full, 4 * kQuadsOfStep<F>) / 4);
    }
    uint32_t sum = 0;
    storeInt((int32_t*)lanes, total);
    for (uint32_t lane : lanes) sum += lane;
    sums[run * M] = (int32_t)sum;
    // an infinity or NaN among the activations makes the whole run NaN
    scales[run * M] = bits < 0x7f800000 ? peak / 127.0f : floatFromBits(0x7fc00000);
  }
}

// Tile t of `tiles` over `rows` rows begins here; tiles differ by one row at most.
constexpr int64_t tileRow(int64_t rows, int64_t tiles, int64_t t) { return rows * t / tiles; }

template <Form F>
void quantizeBlock(const Job& job, const Block& block, int64_t tiles) {
  for (int64_t t = 0; t < tiles; t++) {
    int64_t begin = tileRow(block.rows, tiles, t), M = tileRow(block.rows, tiles, t + 1) - begin;
    for (int64_t m = 0; m < M; m++)
      quantizeRow<F>(job, rowOf<const float>(job.x, block.first + begin + m),
                     block.quads + begin * block.bytesOfRow + m * kQuadBytes<F>, block.scales + begin * job.runs + m,
                     block.sums + begin * job.runs + m, M);
  }
}

// M rows by the 32 columns from n. With kStream the weights come from memory, one panel after another.
template <Form F, bool kStream, int M>
__attribute__((noinline)) void multiplyTile(const Job& job, const Panel& panel, const Tile& tile, int64_t n) {
  constexpr int C = kDotVectors<M>, kQuads = kQuadsOfStep<F>;
  constexpr int kOffset = F == Form::kBytes ? kByteOffset : 0;
  V acc[M][2];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) acc[m][0] = acc[m][1] = zero();
  int64_t stepsOfRun = job.group / (4 * kQuads), left = roundUp(job.x.cols, 4 * kQuads) / (4 * kQuads);
  int32_t middle = kOffset - (1 << (job.bits - 1));
  const uint8_t *w = panel.steps, *q = tile.quads, *zeros = panel.zeros, *ahead = tile.ahead;
  const F16* scales = panel.scales;
  for (int64_t run = 0; run < job.runs; run++) {
    int64_t steps = min64(stepsOfRun, left);
    for (int64_t i = 0; i < tile.aheadOfRun; i += kLine) __builtin_prefetch(ahead + i);
    ahead += tile.aheadOfRun;
    const float* d = tile.scales + run * M;
    const int32_t* total = tile.sums + run * M;
    SLIPWAY_UNROLL
    for (int c = 0; c < 2; c += C) {
      // the sums start at what the zero points take away
      I sums[M][C];
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        SLIPWAY_UNROLL
        for (int v = 0; v < C; v++) sums[m][v] = spreadInt(middle * total[m]);
      }
      if (zeros) {
        SLIPWAY_UNROLL
        for (int v = 0; v < C; v++) {
          I zero = addInt(loadInt(zeros + (c + v) * kLanes), spreadInt(-kOffset));
          SLIPWAY_UNROLL
          for (int m = 0; m < M; m++) sums[m][v] = mulInt(zero, spreadInt(-total[m]));
        }
      }
      if (kStream && c == 0) dotSteps<F, M, C, kStreamAhead>(sums, w, q, steps);
      else dotSteps<F, M, C>(sums, w + c * (kStepBytes / 2), q, steps);
      SLIPWAY_UNROLL
      for (int v = 0; v < C; v++) {
        V scale = load(scales + (c + v) * kLanes);
        SLIPWAY_UNROLL
        for (int m = 0; m < M; m++) acc[m][c + v] = fma(toFloat(sums[m][v]), mul(set1(d[m]), scale), acc[m][c + v]);
      }
    }
    w += steps * kStepBytes;
    q += steps * (kQuads * M * kQuadBytes<F>);
    left -= steps;
    scales += panel.scaleStride;
    if (zeros) zeros += panel.zeroStride;
  }
  SLIPWAY_UNROLL
  for (int c = 0; c < 2; c++) {
    int64_t at = n + c * kLanes, count = job.out.cols - at;
    V bias = job.bias ? loadPartial(job.bias + at, count) : zero();
    SLIPWAY_UNROLL
    for (int m = 0; m < M; m++)
      storePartial(rowOf<float>(job.out, tile.row + m) + at, job.bias ? add(acc[m][c], bias) : acc[m][c], count);
  }
}

template <Form F, bool kStream, int M = kDotRows<F>>
SLIPWAY_INLINE void multiplyRows(const Job& job, const Panel& panel, const Tile& tile, int64_t rows, int64_t n) {
  if constexpr (M > 1) {
    if (rows < M) return multiplyRows<F, kStream, M - 1>(job, panel, tile, rows, n);
  }
  multiplyTile<F, kStream, M>(job, panel, tile, n);
}

// All tiles of a block by one panel. Meanwhile they fetch the `nextBytes` of the panel at `next`.
template <Form F, bool kStream>
void multiplyBlock(const Job& job, const Panel& panel, const Block& block, int64_t tiles, int64_t n,
                   const uint8_t* next, int64_t nextBytes) {
  int64_t ahead = kStream ? 0 : roundUp(nextBytes / (tiles * job.runs), kLine);
  for (int64_t t = 0; t < tiles; t++) {
    int64_t begin = tileRow(block.rows, tiles, t), rows = tileRow(block.rows, tiles, t + 1) - begin;
    Tile tile{block.quads + begin * block.bytesOfRow, block.scales + begin * job.runs, block.sums + begin * job.runs,
              block.first + begin, next + t * job.runs * ahead, ahead};
    multiplyRows<F, kStream>(job, panel, tile, rows, n);
  }
}

// The 32 rows of panel `panel` of a tensor; copied into `room` when the tensor was never packed.
const uint8_t* panelOf(const Tensor& tensor, int64_t panel, int64_t size, uint8_t* room) {
  if (tensor.layout == Layout::kPanel) return (const uint8_t*)tensor.data + panel * tensor.cols * kPanel * size;
  for (int64_t n = 0; n < kPanel; n++) {
    int64_t row = panel * kPanel + n;
    for (int64_t i = 0; i < tensor.cols; i++) {
      uint8_t* to = room + (i * kPanel + n) * size;
      if (row < tensor.rows) memcpy(to, tensor.data + (row * tensor.stride + i) * size, size);
      else memset(to, 0, size);
    }
  }
  return room;
}

int64_t roomOf(const Tensor& tensor, int64_t size) {
  bool absent = !tensor.data || tensor.layout == Layout::kPanel;
  return absent ? 0 : roundUp(tensor.cols * kPanel * size, 64);
}

// How many threads divide the rows; the others divide the panels. The slowest thread decides. Every part of the rows
// reads all its panels anew, every part of the panels rounds all its rows anew.
int64_t rowSplits(int64_t rows, int64_t panels, int64_t threads) {
  constexpr int64_t kPanelCost = 4;  // reading a panel takes as long as multiplying it with so many rows
  int64_t best = 1, bestCost = INT64_MAX;
  for (int64_t r = 1; r <= threads && r <= rows; r++) {
    int64_t columns = threads / r, rowsOfPart = (rows + r - 1) / r, panelsOfPart = (panels + columns - 1) / columns;
    int64_t cost = rowsOfPart * panelsOfPart + rowsOfPart + kPanelCost * panelsOfPart;
    if (cost < bestCost) best = r, bestCost = cost;
  }
  return best;
}

template <Form F>
void multiply(const Job& job, Context& context) {
  constexpr int64_t kStepK = 4 * kQuadsOfStep<F>, kRows = kDotRows<F>;
  int64_t rows = job.x.rows, panels = (job.out.cols + kPanel - 1) / kPanel;
  int64_t splits = rowSplits(rows, panels, context.threads()), columns = context.threads() / splits;
  int64_t part = context.thread() / columns, column = context.thread() % columns;
  if (part >= splits) return;
  int64_t first = rows * part / splits, last = rows * (part + 1) / splits;
  int64_t panel = panels * column / columns, end = panels * (column + 1) / columns;

  int64_t k = roundUp(job.x.cols, kStepK), panelBytes = k / kStepK * kStepBytes;
  Block block{nullptr, nullptr, nullptr, k / 4 * kQuadBytes<F>, first, last - first};
  int64_t most = kBlockBytes / block.bytesOfRow / kRows * kRows;
  most = min64(block.rows, most > kRows ? most : kRows);
  bool spread = F == Form::kNibbles && (most + kRows - 1) / kRows >= kSpreadTiles;
  int64_t perRun = roundUp(most * job.runs * 4, 64);
  int64_t sizes[] = {roundUp(most * block.bytesOfRow, 64), perRun,
                     perRun, spread ? k * kPanel : 0,
                     roomOf(job.words, 4), roomOf(job.scales, 2),
                     roomOf(job.zeros, 1)};
  int64_t total = 0;
  for (int64_t size : sizes) total += size;
  uint8_t* memory = (uint8_t*)context.scratch((size_t)total);
  if (!memory) return;
  uint8_t* room[7];
  for (int i = 0; i < 7; i++) room[i] = memory, memory += sizes[i];
  block.quads = room[0];
  block.scales = (float*)room[1];
  block.sums = (int32_t*)room[2];

  for (; block.first < last; block.first += block.rows) {
    block.rows = min64(most, last - block.first);
    int64_t tiles = (block.rows + kRows - 1) / kRows;
    quantizeBlock<F>(job, block, tiles);
    for (int64_t p = panel; p < end; p++) {
      Panel weights{panelOf(job.words, p, 4, room[4]), (const F16*)panelOf(job.scales, p, 2, room[5]),
                    job.zeros.data ? panelOf(job.zeros, p, 1, room[6]) : nullptr, job.scales.cols > 1 ? kPanel : 0,
                    job.zeros.cols > 1 ? kPanel : 0};
      if (tiles == 1) {
        multiplyBlock<F, true>(job, weights, block, tiles, p * kPanel, nullptr, 0);
        continue;
      }
      const uint8_t* next = weights.steps + panelBytes;
      int64_t nextBytes = job.words.layout == Layout::kPanel ? panelBytes : 0;
      if constexpr (F == Form::kNibbles && kSpreadTiles < INT64_MAX) {
        if (tiles >= kSpreadTiles) {
          spreadNibbles(weights.steps, room[3], k / kStepK);
          weights.steps = room[3];
          multiplyBlock<Form::kBytes, false>(job, weights, block, tiles, p * kPanel, next, nextBytes);
          continue;
        }
      }
      multiplyBlock<F, false>(job, weights, block, tiles, p * kPanel, next, nextBytes);
    }
  }
}

}  // namespace

void quantizedLinear(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  int64_t group = (int64_t)step.attributes[1];
  int bits = (int)step.attributes[0];
  Job job{t[0], t[1], t[2], t[3], t[5], (const float*)t[4].data, group, 0, bits};
  // larger sums of a run would not fit 32 bits
  constexpr int64_t kMaxGroup = 65536;
  if ((bits != 4 && bits != 8) || group <= 0 || group % 8 != 0 || group > kMaxGroup)
    return context.fail(Code::kUnsupported);
  if (job.x.rows == 0 || job.out.cols == 0) return;
  if (job.x.cols == 0) return context.fail(Code::kUnsupported);
  job.runs = (job.x.cols + group - 1) / group;
  return bits == 4 ? multiply<Form::kNibbles>(job, context) : multiply<Form::kBytes>(job, context);
}

}  // namespace slipway::SLIPWAY_TARGET

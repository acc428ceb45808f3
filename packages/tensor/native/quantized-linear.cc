// Product of activations rounded to int8 with 4 or 8 bit weights; the contract is in src/ops/quantized-linear.ts.
//
// Sums of a run are exact integers, so they do not depend on tiles. Each output then is one chain of fma over ascending
// runs, whichever tile, block or thread computes it.
#include "prologue.h"
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
  Prologue prologue;
  const Tensor &words, &scales, &zeros, &residual, &out;
  const float* bias;
  int64_t rows, cols, group, runs;
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

// Rounded activations of rows from `first` on. Those of a tile lie together, so a tile that begins n rows further starts
// n * bytesOfRow further.
struct Block {
  uint8_t* quads;
  float* scales;
  int32_t* sums;
  int64_t bytesOfRow, first, rows;
};

// Tile t of `tiles` over `rows` rows begins here; tiles differ by one row at most.
constexpr int64_t tileRow(int64_t rows, int64_t tiles, int64_t t) { return rows * t / tiles; }
// The tile that holds a row.
constexpr int64_t tileOf(int64_t rows, int64_t tiles, int64_t row) { return ((row + 1) * tiles - 1) / rows; }

// Rounds `count` activations of one run into quads that lie `stride` bytes apart.
template <Form F>
void quantizeRun(const float* x, int64_t count, uint8_t* to, int64_t stride, float* scale, int32_t* runSum) {
  int64_t full = count / kLanes * kLanes;
  I peaks = spreadInt(0);
  for (int64_t i = 0; i < full; i += kLanes) peaks = maxMagnitude(peaks, load(x + i));
  if (full < count) peaks = maxMagnitude(peaks, loadPartial(x + full, count - full));
  uint32_t lanes[kLanes], bits = 0;
  storeInt((int32_t*)lanes, peaks);
  for (uint32_t lane : lanes) bits = lane > bits ? lane : bits;
  float peak = floatFromBits(bits);
  V factor = set1(peak < 0x1p-100f ? 0.0f : 127.0f / peak);
  I total = spreadInt(0);
  for (int64_t i = 0; i < full; i += kLanes, to += 4 * stride) {
    I q = roundInt(mul(load(x + i), factor));
    total = addInt(total, q);
    storeQuads<F>(to, stride, q, 4);
  }
  // the last quads are filled with zeros up to a whole step
  if (full < count) {
    I q = roundInt(mul(loadPartial(x + full, count - full), factor));
    total = addInt(total, q);
    storeQuads<F>(to, stride, q, roundUp(count - full, 4 * kQuadsOfStep<F>) / 4);
  }
  uint32_t sum = 0;
  storeInt((int32_t*)lanes, total);
  for (uint32_t lane : lanes) sum += lane;
  *runSum = (int32_t)sum;
  // an infinity or NaN among the activations makes the whole run NaN
  *scale = bits < 0x7f800000 ? peak / 127.0f : floatFromBits(0x7fc00000);
}

// Runs [begin, end) of row `row` of a block that is cut into `tiles`. `room` holds one prepared run.
template <Form F>
void quantizeRuns(const Job& job, const Block& block, int64_t tiles, int64_t row, int64_t begin, int64_t end,
                  float* room) {
  int64_t t = tileOf(block.rows, tiles, row), tile = tileRow(block.rows, tiles, t), m = row - tile;
  int64_t M = tileRow(block.rows, tiles, t + 1) - tile, stride = M * kQuadBytes<F>;
  uint8_t* quads = block.quads + tile * block.bytesOfRow + m * kQuadBytes<F>;
  PreparedRow prepared(job.prologue, block.first + row);
  for (int64_t run = begin; run < end; run++) {
    int64_t k = run * job.group, last = min64(k + job.group, job.cols), at = tile * job.runs + run * M + m;
    quantizeRun<F>(prepared.columns(k, last, room), last - k, quads + k / 4 * stride, stride, block.scales + at,
                   block.sums + at);
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
  int64_t stepsOfRun = job.group / (4 * kQuads), left = roundUp(job.cols, 4 * kQuads) / (4 * kQuads);
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
    for (int m = 0; m < M; m++) {
      V y = job.bias ? add(acc[m][c], bias) : acc[m][c];
      if (job.residual.data) y = add(y, loadPartial(rowOf<const float>(job.residual, tile.row + m) + at, count));
      storePartial(rowOf<float>(job.out, tile.row + m) + at, y, count);
    }
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

// How the work of one op is laid out: the rows in parts, a part in blocks, a block in tiles, and memory for all of it.
// Every thread computes the same layout.
template <Form F>
struct Split {
  static constexpr int64_t kStepK = 4 * kQuadsOfStep<F>, kRows = kDotRows<F>;
  int64_t rows, panels, parts, columns, bytesOfRow, rowsOfBlock, runs;
  bool alone;

  Split(const Job& job, int64_t threads)
      : rows(job.rows), panels((job.out.cols + kPanel - 1) / kPanel), parts(rowSplits(rows, panels, threads)),
        columns(threads / parts), bytesOfRow(roundUp(job.cols, kStepK) / 4 * kQuadBytes<F>), runs(job.runs),
        alone(threads == 1 || rows * job.cols * job.prologue.cost() <= kPrepareAlone) {
    int64_t most = kBlockBytes / bytesOfRow / kRows * kRows;
    rowsOfBlock = most > kRows ? most : kRows;
  }
  int64_t firstRow(int64_t part) const { return rows * part / parts; }
  int64_t tiles(int64_t rowsHere) const { return (rowsHere + kRows - 1) / kRows; }
  int64_t perRun() const { return roundUp(rows * runs * 4, 64); }
  int64_t bytes() const { return roundUp(rows * bytesOfRow, 64) + 2 * perRun(); }

  // The block of a part that holds its row `row`, in memory that begins with row 0 of the op.
  Block blockAt(uint8_t* memory, int64_t part, int64_t row) const {
    int64_t begin = firstRow(part), end = firstRow(part + 1), first = begin + row / rowsOfBlock * rowsOfBlock;
    float* scales = (float*)(memory + roundUp(rows * bytesOfRow, 64));
    int32_t* sums = (int32_t*)((char*)scales + perRun());
    return {memory + first * bytesOfRow, scales + first * runs, sums + first * runs, bytesOfRow, first,
            min64(rowsOfBlock, end - first)};
  }
};

// Rounds the runs [begin, end) of all runs of all rows.
template <Form F>
void quantizeShare(const Job& job, const Split<F>& split, uint8_t* memory, int64_t begin, int64_t end, float* room) {
  for (int64_t i = begin; i < end;) {
    int64_t row = i / job.runs, run = i % job.runs, count = min64(job.runs - run, end - i);
    int64_t part = tileOf(split.rows, split.parts, row), within = row - split.firstRow(part);
    Block block = split.blockAt(memory, part, within);
    quantizeRuns<F>(job, block, split.tiles(block.rows), row - block.first, run, run + count, room);
    i += count;
  }
}

template <Form F>
void multiply(const Job& job, Context& context) {
  Split<F> split(job, context.threads());
  int64_t part = context.thread() / split.columns, column = context.thread() % split.columns;
  int64_t k = roundUp(job.cols, split.kStepK), panelBytes = k / split.kStepK * kStepBytes;
  bool spread = F == Form::kNibbles && split.tiles(min64(split.rowsOfBlock, job.rows)) >= kSpreadTiles;
  int64_t sizes[] = {split.alone ? split.bytes() : 0, roundUp(job.group * 4, 64), spread ? k * kPanel : 0,
                     roomOf(job.words, 4), roomOf(job.scales, 2), roomOf(job.zeros, 1)};
  int64_t total = 0;
  for (int64_t size : sizes) total += size;
  uint8_t *memory = (uint8_t*)context.scratch((size_t)total), *room[6];
  uint8_t* rounded = split.alone ? memory : (uint8_t*)context.shared();
  for (int i = 0; i < 6; i++) room[i] = i ? room[i - 1] + sizes[i - 1] : memory;
  if (memory && rounded) {
    int64_t runs = job.rows * job.runs;
    Share share = split.alone ? Share{0, runs} : shareOf(runs, context);
    quantizeShare<F>(job, split, rounded, share.begin, share.end, (float*)room[1]);
  }
  if (!split.alone) context.barrier();
  if (!memory || !rounded || part >= split.parts) return;

  int64_t rowsOfPart = split.firstRow(part + 1) - split.firstRow(part);
  int64_t panel = split.panels * column / split.columns, end = split.panels * (column + 1) / split.columns;
  for (int64_t row = 0; row < rowsOfPart; row += split.rowsOfBlock) {
    Block block = split.blockAt(rounded, part, row);
    int64_t tiles = split.tiles(block.rows);
    for (int64_t p = panel; p < end; p++) {
      Panel weights{panelOf(job.words, p, 4, room[3]), (const F16*)panelOf(job.scales, p, 2, room[4]),
                    job.zeros.data ? panelOf(job.zeros, p, 1, room[5]) : nullptr, job.scales.cols > 1 ? kPanel : 0,
                    job.zeros.cols > 1 ? kPanel : 0};
      if (tiles == 1) {
        multiplyBlock<F, true>(job, weights, block, tiles, p * kPanel, nullptr, 0);
        continue;
      }
      const uint8_t* next = weights.steps + panelBytes;
      int64_t nextBytes = job.words.layout == Layout::kPanel ? panelBytes : 0;
      if constexpr (F == Form::kNibbles && kSpreadTiles < INT64_MAX) {
        if (tiles >= kSpreadTiles) {
          spreadNibbles(weights.steps, room[2], k / split.kStepK);
          weights.steps = room[2];
          multiplyBlock<Form::kBytes, false>(job, weights, block, tiles, p * kPanel, next, nextBytes);
          continue;
        }
      }
      multiplyBlock<F, false>(job, weights, block, tiles, p * kPanel, next, nextBytes);
    }
  }
}

Job jobOf(const Step& step) {
  const Tensor* t = step.tensors;
  Prologue prologue{(Before)(int)step.attributes[2], t[0], (const float*)t[5].data, step.attributes[3]};
  int64_t group = (int64_t)step.attributes[1], cols = prologue.cols();
  return {prologue, t[1], t[2], t[3], t[6], t[7], (const float*)t[4].data, t[0].rows, cols, group,
          group > 0 ? (cols + group - 1) / group : 0, (int)step.attributes[0]};
}

bool isValid(const Job& job) {
  // larger sums of a run would not fit 32 bits
  constexpr int64_t kMaxGroup = 65536;
  return job.prologue.valid() && (job.bits == 4 || job.bits == 8) && job.group > 0 && job.group % 8 == 0 &&
         job.group <= kMaxGroup && job.cols > 0;
}

bool isEmpty(const Job& job) { return job.rows == 0 || job.out.cols == 0; }

template <Form F>
size_t sharedBytes(const Job& job, int threads) {
  Split<F> split(job, threads);
  return split.alone ? 0 : (size_t)split.bytes();
}

}  // namespace

size_t quantizedLinearWorkspace(const Step& step, int threads) {
  Job job = jobOf(step);
  if (!isValid(job) || isEmpty(job)) return 0;
  return job.bits == 4 ? sharedBytes<Form::kNibbles>(job, threads) : sharedBytes<Form::kBytes>(job, threads);
}

void quantizedLinear(const Step& step, Context& context) {
  Job job = jobOf(step);
  if (isEmpty(job)) return;
  if (!isValid(job)) return context.fail(Code::kUnsupported);
  return job.bits == 4 ? multiply<Form::kNibbles>(job, context) : multiply<Form::kBytes>(job, context);
}

}  // namespace slipway::SLIPWAY_TARGET

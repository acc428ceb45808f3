// Tiles of integer products; the contract is in src/ops/quantized-linear.ts.
#include "quantized-tile.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

constexpr int64_t kLine = 64;
// So many runs ahead their scales are asked for.
constexpr int64_t kRunsAhead = 4;

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

// M rows by 32 columns, which begin at column n of the result. With kStream the weights come from memory, one panel after another.
template <Form F, bool kStream, int M>
__attribute__((noinline)) void multiplyTile(const QuantizedJob& job, const Panel& panel, const Tile& tile, int64_t n) {
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
    // a line in every run is too slow a stream for the processor to see
    if constexpr (kStream) __builtin_prefetch(scales + kRunsAhead * panel.scaleStride);
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
      if (kStream && c == 0) dotSteps<F, M, C, kStreamAhead<M>>(sums, w, q, steps);
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
  for (int m = 0; m < M; m++) {
    float* to = job.results.row(tile.row + m);
    SLIPWAY_UNROLL
    for (int c = 0; c < 2; c++) {
      int64_t at = n + c * kLanes, count = job.results.cols - at;
      V y = acc[m][c];
      if (job.bias) y = add(y, loadPartial(job.bias + at, count));
      if (job.residual) y = add(y, loadPartial(rowOf<const float>(*job.residual, tile.row + m) + at, count));
      storeWithin(to, at, job.results.cols, y);
    }
  }
}

template <Form F, bool kStream, int M = kDotRows<F>>
SLIPWAY_INLINE void multiplyRows(const QuantizedJob& job, const Panel& panel, const Tile& tile, int64_t rows, int64_t n) {
  if constexpr (M > 1) {
    if (rows < M) return multiplyRows<F, kStream, M - 1>(job, panel, tile, rows, n);
  }
  multiplyTile<F, kStream, M>(job, panel, tile, n);
}

// All tiles of a block by one panel. Meanwhile they fetch the `nextBytes` of the panel at `next`.
template <Form F, bool kStream>
void multiplyBlock(const QuantizedJob& job, const Panel& panel, const Block& block, int64_t tiles, int64_t n,
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

}  // namespace

template <Form F>
void quantizeRuns(const QuantizedJob& job, const PreparedRow& row, int64_t begin, int64_t end, const Place& place,
                  float* room) {
  for (int64_t run = begin; run < end; run++) {
    int64_t k = run * job.group, last = min64(k + job.group, job.cols), at = run * place.rows;
    quantizeRun<F>(row.columns(k, last, room), last - k, place.quads + k / 4 * place.stride, place.stride,
                   place.scales + at, place.sums + at);
  }
}

template <Form F>
void sizesOfRooms(const QuantizedJob& job, int64_t rowsOfBlock, int64_t* sizes) {
  bool spread = F == Form::kNibbles && Rounded<F>::tiles(rowsOfBlock) >= kSpreadTiles;
  sizes[0] = spread ? roundUp(job.cols, Rounded<F>::kStepK) * kPanel : 0;
  sizes[1] = roomOf(job.words, 4);
  sizes[2] = roomOf(job.scales, 2);
  sizes[3] = roomOf(job.zeros, 1);
}

template <Form F>
void multiplyPanels(const QuantizedJob& job, const Block& block, int64_t panel, int64_t end, const PanelRooms& rooms) {
  int64_t tiles = Rounded<F>::tiles(block.rows), steps = roundUp(job.cols, Rounded<F>::kStepK) / Rounded<F>::kStepK;
  for (int64_t p = panel; p < end; p++) {
    int64_t n = p * kPanel - job.firstOutput;
    Panel weights{panelOf(job.words, p, 4, rooms.words), (const F16*)panelOf(job.scales, p, 2, rooms.scales),
                  job.zeros.data ? panelOf(job.zeros, p, 1, rooms.zeros) : nullptr, job.scales.cols > 1 ? kPanel : 0,
                  job.zeros.cols > 1 ? kPanel : 0};
    if (tiles == 1) {
      multiplyBlock<F, true>(job, weights, block, tiles, n, nullptr, 0);
      continue;
    }
    const uint8_t* next = weights.steps + steps * kStepBytes;
    int64_t nextBytes = job.words.layout == Layout::kPanel ? steps * kStepBytes : 0;
    if constexpr (F == Form::kNibbles && kSpreadTiles < INT64_MAX) {
      if (tiles >= kSpreadTiles) {
        spreadNibbles(weights.steps, rooms.spread, steps);
        weights.steps = rooms.spread;
        multiplyBlock<Form::kBytes, false>(job, weights, block, tiles, n, next, nextBytes);
        continue;
      }
    }
    multiplyBlock<F, false>(job, weights, block, tiles, n, next, nextBytes);
  }
}

#define SLIPWAY_INSTANTIATE(F)                                                                                      \
  template void quantizeRuns<F>(const QuantizedJob&, const PreparedRow&, int64_t, int64_t, const Place&, float*); \
  template void sizesOfRooms<F>(const QuantizedJob&, int64_t, int64_t*);                                          \
  template void multiplyPanels<F>(const QuantizedJob&, const Block&, int64_t, int64_t, const PanelRooms&);
SLIPWAY_INSTANTIATE(Form::kNibbles)
SLIPWAY_INSTANTIATE(Form::kBytes)

}  // namespace slipway::SLIPWAY_TARGET

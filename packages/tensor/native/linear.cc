// Matrix product over packed weights. A panel holds 32 output columns as [K][32], so one vector of lanes is sixteen
// columns at one k. Every output is one chain of fma over ascending k, whichever tile, block or thread computes it:
// partial sums that pass through memory keep all their bits.
#include "prologue.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

constexpr int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

// Rows whose partial sums are held at a time in the blocked path.
constexpr int kBlockRows = kTileRows * 16;

// sums[m][c] = fma chain over `count` steps of k. Vector c holds columns (c % 2) * 16 of panel c / 2.
// With `fresh` the chain starts at zero, otherwise at the stored sums.
template <int M, int C, class T>
SLIPWAY_INLINE void multiplyTile(const T* w, int64_t panelStride, const float* x, int64_t xStride, int64_t count,
                                 float* sums, int64_t sumStride, bool fresh) {
  V acc[M][C];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) acc[m][c] = fresh ? zero() : load(sums + m * sumStride + c * kLanes);
  }
  for (int64_t k = 0; k < count; k++, w += kPanel) {
    // the order of these loops decides which operands stay in registers; the other one spills accumulators
    if constexpr (M == 1) {
      V value = set1(x[k]);
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++)
        acc[0][c] = fma(load(w + (c / 2) * panelStride + (c % 2) * kLanes), value, acc[0][c]);
    } else {
      V weights[C];
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) weights[c] = load(w + c * kLanes);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        V value = set1(x[m * xStride + k]);
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) acc[m][c] = fma(weights[c], value, acc[m][c]);
      }
    }
  }
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) store(sums + m * sumStride + c * kLanes, acc[m][c]);
  }
}

// One tile of `rows` <= kTileRows rows over the 32 columns of a panel.
template <int C, class T, int M = kTileRows>
SLIPWAY_INLINE void multiplyRows(int64_t rows, const T* w, const float* x, int64_t xStride, int64_t count, float* sums,
                                 bool fresh) {
  if constexpr (M > 1) {
    if (rows < M) return multiplyRows<C, T, M - 1>(rows, w, x, xStride, count, sums, fresh);
  }
  // one or two rows have too few chains to hide the latency of fma unless they take the whole panel
  constexpr int kVectors = M <= 2 ? kVectorsOfTwoRows : C;
  for (int c = 0; c < 2; c += kVectors)
    multiplyTile<M, kVectors>(w + c * kLanes, 0, x, xStride, count, sums + c * kLanes, kPanel, fresh);
}

struct Job {
  Tensor x;  // after the prologue
  const Tensor &weight, &residual, &out;
  const float *scale, *bias;
};

// y = sum * scale + bias + residual, rounded after each, for `count` columns from n.
SLIPWAY_INLINE void finish(const Job& job, int64_t row, int64_t n, const float* sums, int64_t count) {
  float* to = rowOf<float>(job.out, row) + n;
  for (int64_t c = 0; c < count; c += kLanes) {
    V y = load(sums + c);
    if (job.scale) y = mul(y, loadPartial(job.scale + n + c, count - c));
    if (job.bias) y = add(y, loadPartial(job.bias + n + c, count - c));
    if (job.residual.data) y = add(y, loadPartial(rowOf<const float>(job.residual, row) + n + c, count - c));
    storePartial(to + c, y, count - c);
  }
}

// One row, P panels at a time: weights stream from memory once.
template <int P, class T>
void multiplyVector(const Job& job, int64_t row, int64_t panel) {
  int64_t K = job.x.cols, N = job.out.cols;
  alignas(64) float sums[P * kPanel];
  multiplyTile<1, 2 * P>((const T*)job.weight.data + panel * K * kPanel, K * kPanel, rowOf<const float>(job.x, row), 0, K,
                         sums, 0, true);
  for (int p = 0; p < P; p++) {
    int64_t n = (panel + p) * kPanel;
    finish(job, row, n, sums + p * kPanel, min64(kPanel, N - n));
  }
}

// kTileK steps of k of one panel as f32 [k][32].
template <class T>
void widenPanel(const Tensor& weight, int64_t panel, int64_t k, int64_t count, float* to) {
  if (weight.layout == Layout::kPanel) {
    const T* from = (const T*)weight.data + (panel * weight.cols + k) * kPanel;
    for (int64_t i = 0; i < count * kPanel; i += kLanes) store(to + i, load(from + i));
    return;
  }
  // a weight that was never packed: correct, not fast
  for (int64_t n = 0; n < kPanel; n++) {
    int64_t row = panel * kPanel + n;
    for (int64_t i = 0; i < count; i++) to[i * kPanel + n] = row < weight.rows ? widen(rowOf<const T>(weight, row)[k + i]) : 0.0f;
  }
}

// Rows [first, last) of one panel, a block of k at a time so that weights stay in the first-level cache.
template <class T>
void multiplyPanel(const Job& job, int64_t panel, int64_t first, int64_t last, float* widened) {
  int64_t K = job.x.cols, n = panel * kPanel;
  bool packed = job.weight.layout == Layout::kPanel;
  alignas(64) float sums[kBlockRows * kPanel];
  for (int64_t block = first; block < last; block += kBlockRows) {
    int64_t rows = min64(kBlockRows, last - block);
    int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    for (int64_t k = 0; k < K; k += kTileK) {
      int64_t count = min64(kTileK, K - k);
      const T* direct = (const T*)job.weight.data + (panel * K + k) * kPanel;
      // converting pays when the block is used again; f32 is used where it lies
      bool convert = !packed || (sizeof(T) < 4 && tiles > 1);
      if (convert) widenPanel<T>(job.weight, panel, k, count, widened);
      for (int64_t t = 0; t < tiles; t++) {
        int64_t begin = rows * t / tiles, end = rows * (t + 1) / tiles;
        const float* x = rowOf<const float>(job.x, block + begin) + k;
        float* to = sums + begin * kPanel;
        if (convert) multiplyRows<kTileVectors>(end - begin, (const float*)widened, x, job.x.stride, count, to, k == 0);
        else multiplyRows<kTileVectors>(end - begin, direct, x, job.x.stride, count, to, k == 0);
      }
    }
    for (int64_t r = 0; r < rows; r++) finish(job, block + r, n, sums + r * kPanel, min64(kPanel, job.out.cols - n));
  }
}

// How many threads divide the rows; the others divide the panels. The slowest thread decides.
int64_t rowSplits(int64_t rows, int64_t panels, int64_t threads) {
  int64_t best = 1, bestCost = INT64_MAX, tiles = (rows + kTileRows - 1) / kTileRows;
  for (int64_t r = 1; r <= threads && r <= tiles; r++) {
    int64_t columns = threads / r;
    int64_t cost = ((tiles + r - 1) / r) * ((panels + columns - 1) / columns);
    if (cost < bestCost) best = r, bestCost = cost;
  }
  return best;
}

template <class T>
void multiply(const Job& job, Context& context) {
  int64_t rows = job.x.rows, panels = (job.out.cols + kPanel - 1) / kPanel;
  int64_t splits = rowSplits(rows, panels, context.threads()), columns = context.threads() / splits;
  int64_t row = context.thread() / columns, column = context.thread() % columns;
  if (row >= splits) return;
  int64_t first = rows * row / splits, last = rows * (row + 1) / splits;
  int64_t panel = panels * column / columns, end = panels * (column + 1) / columns;

  if (last - first == 1 && job.weight.layout == Layout::kPanel) {
    // narrow types need two panels at once to hide the latency of fma
    constexpr int kWide = sizeof(T) < 4 ? kPanelsOfOneRow : 1;
    for (; panel + kWide <= end; panel += kWide) multiplyVector<kWide, T>(job, first, panel);
    for (; panel < end; panel++) multiplyVector<1, T>(job, first, panel);
    return;
  }
  float* widened = (float*)context.scratch(kTileK * kPanel * sizeof(float));
  if (!widened) return;
  for (; panel < end; panel++) multiplyPanel<T>(job, panel, first, last, widened);
}

Prologue prologueOf(const Step& step) {
  return {(Before)(int)step.attributes[0], step.tensors[0], (const float*)step.tensors[4].data, step.attributes[1]};
}

bool isSmall(const Prologue& prologue) {
  return prologue.x.rows * prologue.cols() * prologue.cost() <= kPrepareAlone;
}

// The rows after the prologue, in the memory of this thread or of all. Data is null when there is no memory.
Tensor prepare(const Prologue& prologue, Context& context) {
  Tensor x = prologue.x;
  if (prologue.kind == Before::kNothing) return x;
  x.cols = x.stride = prologue.cols();
  bool alone = isSmall(prologue);
  // of the thread's scratch, the first part is for widened panels
  x.data = alone ? (char*)context.scratch((size_t)(kTileK * kPanel + x.rows * x.cols) * sizeof(float)) : (char*)context.shared();
  if (!x.data) return x;
  if (alone) x.data += kTileK * kPanel * sizeof(float);
  Share share = alone ? Share{0, x.rows} : shareOf(x.rows, context);
  for (int64_t row = share.begin; row < share.end; row++)
    PreparedRow(prologue, row).columns(0, x.cols, rowOf<float>(x, row));
  if (!alone) context.barrier();
  return x;
}

}  // namespace

size_t linearWorkspace(const Step& step, int) {
  Prologue prologue = prologueOf(step);
  if (prologue.kind == Before::kNothing || isSmall(prologue)) return 0;
  return (size_t)(prologue.x.rows * prologue.cols()) * sizeof(float);
}

void linear(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  Prologue prologue = prologueOf(step);
  if (!prologue.valid()) return context.fail(Code::kMalformed);
  Job job{prepare(prologue, context), t[1], t[5], t[6], (const float*)t[2].data, (const float*)t[3].data};
  if (job.x.rows == 0 || !job.x.data) return;
  switch (job.weight.dtype) {
    case DType::kF32: return multiply<float>(job, context);
    case DType::kBf16: return multiply<Bf16>(job, context);
    case DType::kF16: return multiply<F16>(job, context);
    case DType::kI8: return multiply<int8_t>(job, context);
    default: return context.fail(Code::kUnsupported);
  }
}

void pack(const PackJob& job, int64_t firstPanel, int64_t lastPanel) {
  int64_t size = job.elementBytes;
  // a strip of 64 columns of 32 rows is small enough to be transposed in the first-level cache
  constexpr int64_t kStrip = 64;
  for (int64_t panel = firstPanel; panel < lastPanel; panel++) {
    char* to = job.panels + panel * job.cols * kPanel * size;
    int64_t rows = min64(kPanel, job.numRows - panel * kPanel);
    for (int64_t k = 0; k < job.cols; k += kStrip) {
      int64_t end = min64(k + kStrip, job.cols);
      for (int64_t n = 0; n < rows; n++) {
        const char* from = job.rows[panel * kPanel + n];
        // constant sizes become plain moves
        if (size == 2) for (int64_t i = k; i < end; i++) memcpy(to + (i * kPanel + n) * 2, from + i * 2, 2);
        else if (size == 4) for (int64_t i = k; i < end; i++) memcpy(to + (i * kPanel + n) * 4, from + i * 4, 4);
        else for (int64_t i = k; i < end; i++) to[i * kPanel + n] = from[i];
      }
    }
  }
}

}  // namespace slipway::SLIPWAY_TARGET

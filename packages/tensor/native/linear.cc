// Matrix product over packed weights: how rows are prepared and how the work is divided. The tiles are in linear-tile.cc.
#include "linear-tile.h"
#include "prologue.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

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
void multiply(const LinearJob& job, Context& context) {
  int64_t rows = job.x.rows, panels = (job.results.cols + kPanel - 1) / kPanel;
  int64_t parts = rowSplits(rows, panels, context.threads());
  float* widened = (float*)context.scratch(kWidened * sizeof(float));
  forEachPanel(parts, panels, job.x.cols * ((rows + parts - 1) / parts), context, [&](int64_t part, int64_t panel, int64_t end) {
    if (widened) multiplyPanels<T>(job, panel, end, rows * part / parts, rows * (part + 1) / parts, widened);
  });
}

Prologue prologueOf(const Step& step) {
  return {(Before)(int)step.attributes[0], step.tensors[0], (const float*)step.tensors[4].data, step.attributes[1]};
}

// Whether rows are rounded to bf16.
bool isRounded(const Step& step) { return step.attributes[2] != 0; }

bool isSmall(const Prologue& prologue) {
  return prologue.x.rows * prologue.cols() * prologue.cost() <= kPrepareAlone;
}

// Columns of a prepared row with room for whole vectors.
int64_t strideOf(const Prologue& prologue) { return roundUp(prologue.cols(), kLanes); }

// The rows after the prologue, in the memory of this thread or of all. Data is null when there is no memory.
Tensor prepare(const Prologue& prologue, bool isRounded, const Tensor& weight, Context& context) {
  Tensor x = prologue.x;
  if (prologue.kind == Before::kNothing && !isRounded) return x;
  x.cols = prologue.cols();
  x.stride = strideOf(prologue);
  bool inPairs = isRounded && multipliesPairs(weight);
  if (inPairs) x.dtype = DType::kBf16;
  bool alone = isSmall(prologue);
  // of the thread's scratch, the first part is for widened panels
  x.data = alone ? (char*)context.scratch((size_t)(kWidened + x.rows * x.stride) * sizeof(float)) : (char*)context.shared();
  if (!x.data) return x;
  if (alone) x.data += kWidened * sizeof(float);
  Share share = alone ? Share{0, x.rows} : shareOf(x.rows, context);
  for (int64_t row = share.begin; row < share.end; row++) {
    PreparedRow prepared(prologue, rowOf<const float>(prologue.x, row));
    if (inPairs) prepared.rounded(rowOf<Bf16>(x, row));
    else if (isRounded) prepared.rounded(rowOf<float>(x, row));
    else prepared.columns(0, x.cols, rowOf<float>(x, row));
  }
  if (!alone) context.barrier();
  return x;
}

}  // namespace

size_t linearWorkspace(const Step& step, int) {
  Prologue prologue = prologueOf(step);
  if ((prologue.kind == Before::kNothing && !isRounded(step)) || isSmall(prologue)) return 0;
  return (size_t)(prologue.x.rows * strideOf(prologue)) * sizeof(float);
}

void linear(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  Prologue prologue = prologueOf(step);
  if (!prologue.valid()) return context.fail(Code::kMalformed);
  LinearJob job{prepare(prologue, isRounded(step), t[1], context), t[1], {t[6], t[6].cols}, 0, (const float*)t[2].data, (const float*)t[3].data,
                t[5].data ? &t[5] : nullptr};
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

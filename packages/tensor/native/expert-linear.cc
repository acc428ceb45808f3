// Products with float weights of chosen experts. Rows are prepared once, in the order of their experts; then the panels
// of all experts are one list of work.
#include "experts.h"
#include "linear-tile.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

// reading a panel takes as long as multiplying it with so many rows
constexpr int64_t kPanelCost = 2;

ExpertWork workOf(const Step& step) {
  const Tensor* t = step.tensors;
  const double* a = step.attributes;
  int64_t experts = (int64_t)a[0];
  return {(Before)(int)a[2], t[0], t[2], t[3], a[1] != 0, experts, experts > 0 ? t[1].rows / experts : 0, a[3]};
}

int64_t bytesOfRows(const ExpertWork& work) {
  return work.numSlots() * roundUp(work.prologue.cols(), kLanes) * (int64_t)sizeof(float);
}

// Writes this thread's share of the prepared rows to the places of their slots.
void prepare(const ExpertWork& work, bool isRounded, const Tensor& x, Share share) {
  bool inPairs = x.dtype == DType::kBf16;
  size_t bytes = (size_t)x.stride * (inPairs ? sizeof(Bf16) : sizeof(float));
  for (int64_t i = share.begin; i < share.end; i++) {
    ExpertWork::Source source = work.sourceAt(i);
    char* first = x.data + work.places[source.slot] * (int64_t)bytes;
    PreparedRow row(work.prologue, source.x);
    if (inPairs) {
      row.rounded((Bf16*)first);
    } else if (isRounded) {
      row.rounded((float*)first);
    } else {
      const float* prepared = row.columns(0, x.cols, (float*)first);
      if ((const char*)prepared != first) memcpy(first, prepared, (size_t)x.cols * sizeof(float));
    }
    for (int64_t slot = 1; slot < source.count; slot++)
      memcpy(x.data + work.places[source.slot + slot] * (int64_t)bytes, first, bytes);
  }
}

template <class T>
void multiply(ExpertWork& work, bool isRounded, const Tensor& weight, const Tensor& out, Context& context) {
  bool alone = work.isSmall(context.threads());
  int64_t sizes[] = {kWidened * (int64_t)sizeof(float), work.bytesOfGroups(), alone ? bytesOfRows(work) : 0};
  char* memory = (char*)context.scratch((size_t)(sizes[0] + sizes[1] + sizes[2]));
  Tensor x = work.prologue.x;
  x.data = alone ? memory + sizes[0] + sizes[1] : (char*)context.shared();
  x.rows = work.numSlots();
  x.cols = work.prologue.cols();
  x.stride = roundUp(x.cols, kLanes);
  if (isRounded && multipliesPairs(weight)) x.dtype = DType::kBf16;
  bool hasRoom = memory && x.data, ok = hasRoom && work.group(memory + sizes[0]);
  if (ok) prepare(work, isRounded, x, alone ? Share{0, work.numSources()} : shareOf(work.numSources(), context));
  if (!alone) context.barrier();
  if (hasRoom && !ok) context.fail(Code::kOutOfRange, work.unknown);
  if (!ok) return;
  LinearJob job{x, weight, {out, work.outputs, work.order, (int32_t)work.ids.cols}};
  work.forEachPart(kPanelCost, weight.cols * kPanel, context, [&](int64_t expert, int64_t panel, int64_t end) {
    job.firstOutput = expert * work.outputs;
    multiplyPanels<T>(job, panel, end, work.starts[expert], work.starts[expert + 1], (float*)memory);
  });
}

}  // namespace

size_t expertLinearWorkspace(const Step& step, int threads) {
  ExpertWork work = workOf(step);
  return work.isEmpty() || work.isSmall(threads) ? 0 : (size_t)bytesOfRows(work);
}

void expertLinear(const Step& step, Context& context) {
  ExpertWork work = workOf(step);
  if (work.isEmpty()) return;
  if (!work.prologue.valid() || work.prologue.cols() != step.tensors[1].cols) return context.fail(Code::kMalformed);
  const Tensor &weight = step.tensors[1], &out = step.tensors[4];
  bool isRounded = step.attributes[4] != 0;
  switch (weight.dtype) {
    case DType::kF32: return multiply<float>(work, isRounded, weight, out, context);
    case DType::kBf16: return multiply<Bf16>(work, isRounded, weight, out, context);
    case DType::kF16: return multiply<F16>(work, isRounded, weight, out, context);
    default: return context.fail(Code::kUnsupported);
  }
}

}  // namespace slipway::SLIPWAY_TARGET

// Products of rounded activations with the integer weights of chosen experts. Every row is rounded once, into the tiles
// of its experts; then the panels of all experts are one list of work.
#include "experts.h"
#include "quantized-tile.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

// reading a panel takes as long as multiplying it with so many rows
constexpr int64_t kPanelCost = 4;

struct Task {
  ExpertWork work;
  QuantizedJob job;

  bool isValid() const { return work.prologue.valid() && job.isValid(); }
};

Task taskOf(const Step& step) {
  const Tensor* t = step.tensors;
  const double* a = step.attributes;
  int64_t experts = (int64_t)a[2], group = (int64_t)a[1];
  ExpertWork work((Before)(int)a[4], t[0], t[4], t[5], a[3] != 0, experts, experts > 0 ? t[1].rows / experts : 0, a[5]);
  int64_t cols = work.prologue.cols();
  QuantizedJob job{t[1], t[2], t[3], {t[6], work.outputs}, 0, cols, group, QuantizedJob::runsOf(cols, group), (int)a[0],
                   nullptr, nullptr};
  return {work, job};
}

template <Form F>
class Experts {
 public:
  explicit Experts(const Task& task) : work_(task.work), job_(task.job), rounded_(work_.numSlots(), job_) {}

  size_t sharedBytes(int threads) const { return work_.isSmall(threads) ? 0 : (size_t)rounded_.bytes(); }

  void multiply(Context& context) {
    bool alone = work_.isSmall(context.threads());
    int64_t sizes[3 + kNumRooms] = {alone ? rounded_.bytes() : 0, roundUp(job_.group * 4, 64), work_.bytesOfGroups()};
    sizesOfRooms<F>(job_, min64(rounded_.rowsOfBlock, work_.rows()), sizes + 3);
    int64_t total = 0;
    for (int64_t size : sizes) total += size;
    uint8_t *memory = (uint8_t*)context.scratch((size_t)total), *room[3 + kNumRooms];
    for (int i = 0; i < 3 + kNumRooms; i++) room[i] = i ? room[i - 1] + sizes[i - 1] : memory;
    memory_ = alone ? memory : (uint8_t*)context.shared();
    bool hasRoom = memory && memory_, ok = hasRoom && work_.group(room[2]);
    int64_t runs = work_.numSources() * job_.runs;
    if (ok) quantize(alone ? Share{0, runs} : shareOf(runs, context), (float*)room[1]);
    if (!alone) context.barrier();
    if (hasRoom && !ok) context.fail(Code::kOutOfRange, work_.unknown);
    if (!ok) return;
    job_.results.order = work_.order;
    job_.results.slots = (int32_t)work_.ids.cols;
    work_.forEachPart(kPanelCost, work_.prologue.cols() * kPanel, context, [&](int64_t expert, int64_t panel, int64_t end) {
      job_.firstOutput = expert * work_.outputs;
      for (int64_t row = work_.starts[expert]; row < work_.starts[expert + 1]; row += rounded_.rowsOfBlock)
        multiplyPanels<F>(job_, blockAt(expert, row), panel, end, {room[3], room[4], room[5], room[6]});
    });
  }

 private:
  Block blockAt(int64_t expert, int64_t row) const {
    return rounded_.blockAt(memory_, work_.starts[expert], work_.starts[expert + 1], row);
  }
  Place placeAt(int64_t slot) const {
    int64_t row = work_.places[slot];
    return placeOf<F>(blockAt(work_.idOf(slot), row), job_.runs, row);
  }

  // Rounds this share of all runs of all sources to the first of their slots, and copies them to the others.
  void quantize(Share share, float* room) {
    for (int64_t i = share.begin; i < share.end;) {
      int64_t run = i % job_.runs, end = min64(job_.runs, run + share.end - i);
      ExpertWork::Source source = work_.sourceAt(i / job_.runs);
      Place first = placeAt(source.slot);
      quantizeRuns<F>(job_, PreparedRow(work_.prologue, source.x), run, end, first, room);
      for (int64_t slot = 1; slot < source.count; slot++) copyRuns(first, placeAt(source.slot + slot), run, end);
      i += end - run;
    }
  }

  void copyRuns(const Place& from, const Place& to, int64_t run, int64_t end) {
    int64_t last = end == job_.runs ? rounded_.bytesOfRow / kQuadBytes<F> : end * job_.group / 4;
    for (int64_t quad = run * job_.group / 4; quad < last; quad++)
      memcpy(to.quads + quad * to.stride, from.quads + quad * from.stride, kQuadBytes<F>);
    for (; run < end; run++) {
      to.scales[run * to.rows] = from.scales[run * from.rows];
      to.sums[run * to.rows] = from.sums[run * from.rows];
    }
  }

  ExpertWork work_;
  QuantizedJob job_;
  Rounded<F> rounded_;
  uint8_t* memory_ = nullptr;
};

}  // namespace

size_t quantizedExpertLinearWorkspace(const Step& step, int threads) {
  Task task = taskOf(step);
  if (!task.isValid() || task.work.isEmpty()) return 0;
  return task.job.bits == 4 ? Experts<Form::kNibbles>(task).sharedBytes(threads)
                            : Experts<Form::kBytes>(task).sharedBytes(threads);
}

void quantizedExpertLinear(const Step& step, Context& context) {
  Task task = taskOf(step);
  if (task.work.isEmpty()) return;
  if (!task.isValid()) return context.fail(Code::kUnsupported);
  if (task.job.bits == 4) Experts<Form::kNibbles>(task).multiply(context);
  else Experts<Form::kBytes>(task).multiply(context);
}

}  // namespace slipway::SLIPWAY_TARGET

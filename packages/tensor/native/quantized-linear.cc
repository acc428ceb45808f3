// Product of activations rounded to int8 with 4 or 8 bit weights: how the work is divided. The tiles are in
// quantized-tile.cc.
#include "quantized-tile.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

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

struct Task {
  Prologue prologue;
  QuantizedJob job;
};

// How the work of one op is laid out: the rows in parts, each rounded and multiplied by itself. Every thread computes the
// same layout.
template <Form F>
struct Split {
  Rounded<F> rounded;
  int64_t panels, parts;
  bool alone;

  Split(const Task& task, int64_t threads)
      : rounded(task.prologue.x.rows, task.job), panels((task.job.results.cols + kPanel - 1) / kPanel),
        parts(rowSplits(rounded.rows, panels, threads)),
        alone(threads == 1 || rounded.rows * task.job.cols * task.prologue.cost() <= kPrepareAlone) {}
  int64_t firstRow(int64_t part) const { return rounded.rows * part / parts; }
  // The block of a part that holds a row.
  Block blockAt(uint8_t* memory, int64_t part, int64_t row) const {
    return rounded.blockAt(memory, firstRow(part), firstRow(part + 1), row);
  }
};

// Rounds the runs [begin, end) of all runs of all rows.
template <Form F>
void quantizeShare(const Task& task, const Split<F>& split, uint8_t* memory, int64_t begin, int64_t end, float* room) {
  int64_t runs = task.job.runs;
  for (int64_t i = begin; i < end;) {
    int64_t row = i / runs, run = i % runs, count = min64(runs - run, end - i);
    Block block = split.blockAt(memory, tileOf(split.rounded.rows, split.parts, row), row);
    PreparedRow prepared(task.prologue, rowOf<const float>(task.prologue.x, row));
    quantizeRuns<F>(task.job, prepared, run, run + count, placeOf<F>(block, runs, row), room);
    i += count;
  }
}

template <Form F>
void multiply(const Task& task, Context& context) {
  const QuantizedJob& job = task.job;
  Split<F> split(task, context.threads());
  int64_t sizes[2 + kNumRooms] = {split.alone ? split.rounded.bytes() : 0, roundUp(job.group * 4, 64)};
  sizesOfRooms<F>(job, min64(split.rounded.rowsOfBlock, split.rounded.rows), sizes + 2);
  int64_t total = 0;
  for (int64_t size : sizes) total += size;
  uint8_t *memory = (uint8_t*)context.scratch((size_t)total), *room[2 + kNumRooms];
  uint8_t* rounded = split.alone ? memory : (uint8_t*)context.shared();
  for (int i = 0; i < 2 + kNumRooms; i++) room[i] = i ? room[i - 1] + sizes[i - 1] : memory;
  if (memory && rounded) {
    int64_t runs = split.rounded.rows * job.runs;
    Share share = split.alone ? Share{0, runs} : shareOf(runs, context);
    quantizeShare<F>(task, split, rounded, share.begin, share.end, (float*)room[1]);
  }
  if (!split.alone) context.barrier();
  int64_t perPanel = job.cols * ((split.rounded.rows + split.parts - 1) / split.parts);
  forEachPanel(split.parts, split.panels, perPanel, context, [&](int64_t part, int64_t panel, int64_t end) {
    if (!memory || !rounded) return;
    for (int64_t row = split.firstRow(part); row < split.firstRow(part + 1); row += split.rounded.rowsOfBlock)
      multiplyPanels<F>(job, split.blockAt(rounded, part, row), panel, end, {room[2], room[3], room[4], room[5]});
  });
}

Task taskOf(const Step& step) {
  const Tensor* t = step.tensors;
  Prologue prologue{(Before)(int)step.attributes[2], t[0], (const float*)t[5].data, step.attributes[3]};
  int64_t group = (int64_t)step.attributes[1], cols = prologue.cols();
  return {prologue,
          {t[1], t[2], t[3], {t[7], t[7].cols}, 0, cols, group, QuantizedJob::runsOf(cols, group),
           (int)step.attributes[0], (const float*)t[4].data, t[6].data ? &t[6] : nullptr}};
}

bool isValid(const Task& task) { return task.prologue.valid() && task.job.isValid(); }

bool isEmpty(const Task& task) { return task.prologue.x.rows == 0 || task.job.results.cols == 0; }

template <Form F>
size_t sharedBytes(const Task& task, int threads) {
  Split<F> split(task, threads);
  return split.alone ? 0 : (size_t)split.rounded.bytes();
}

}  // namespace

size_t quantizedLinearWorkspace(const Step& step, int threads) {
  Task task = taskOf(step);
  if (!isValid(task) || isEmpty(task)) return 0;
  return task.job.bits == 4 ? sharedBytes<Form::kNibbles>(task, threads) : sharedBytes<Form::kBytes>(task, threads);
}

void quantizedLinear(const Step& step, Context& context) {
  Task task = taskOf(step);
  if (isEmpty(task)) return;
  if (!isValid(task)) return context.fail(Code::kUnsupported);
  return task.job.bits == 4 ? multiply<Form::kNibbles>(task, context) : multiply<Form::kBytes>(task, context);
}

}  // namespace slipway::SLIPWAY_TARGET

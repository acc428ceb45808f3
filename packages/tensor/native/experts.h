// Products of rows with the experts that they chose: which rows meet at which expert, and how the work is divided.
#pragma once

#include "prologue.h"
#include "results.h"

namespace slipway::SLIPWAY_TARGET {

// A slot is a row and one of its experts: slot i is choice i % slots of row i / slots. The weights of all experts lie one
// after another, `outputs` rows each.
struct ExpertWork {
  Prologue prologue;  // of the columns of one slot
  const Tensor& ids;
  int64_t sources;  // slots of a row with columns of their own; 1: all share them
  int64_t experts, outputs;
  // made by `group`
  int32_t* starts = nullptr;  // [experts + 1] place of an expert's first slot
  int32_t* order = nullptr;   // the slot at a place: slots by expert, and by row within an expert
  int32_t* places = nullptr;  // the place of a slot
  int64_t unknown = 0;

  ExpertWork(Before kind, const Tensor& x, const Tensor& ids, const Tensor& norm, bool perSlot, int64_t experts,
             int64_t outputs, double eps)
      : prologue{kind, x, (const float*)norm.data, eps}, ids(ids), sources(perSlot ? ids.cols : 1), experts(experts),
        outputs(outputs) {
    prologue.x.cols /= sources > 0 ? sources : 1;
  }

  int64_t rows() const { return prologue.x.rows; }
  int64_t numSlots() const { return rows() * ids.cols; }
  bool isEmpty() const { return numSlots() == 0 || outputs == 0 || experts == 0; }
  int64_t numSources() const { return rows() * sources; }
  // Whether every thread prepares all rows for itself.
  bool isSmall(int threads) const {
    return threads == 1 || numSources() * prologue.cols() * prologue.cost() <= kPrepareAlone;
  }

  int64_t bytesOfGroups() const { return roundUp((experts + 1 + 2 * numSlots()) * (int64_t)sizeof(int32_t), 64); }
  // Sorts the slots by expert; false when there is none of an id, which is then `unknown`. It is for the caller to report
  // that after its barrier: threads that see a fault of this step stay away from it.
  bool group(void* memory) {
    starts = (int32_t*)memory;
    order = starts + experts + 1;
    places = order + numSlots();
    for (int64_t e = 0; e <= experts; e++) starts[e] = 0;
    for (int64_t i = 0; i < numSlots(); i++) {
      int32_t id = idOf(i);
      if (id < 0 || id >= experts) return unknown = id, false;
      starts[id]++;
    }
    // counts become ends, which move down to the starts
    for (int64_t e = 0; e < experts; e++) starts[e + 1] += starts[e];
    for (int64_t i = numSlots() - 1; i >= 0; i--) {
      places[i] = --starts[idOf(i)];
      order[places[i]] = (int32_t)i;
    }
    return true;
  }
  int32_t idOf(int64_t slot) const { return rowOf<const int32_t>(ids, slot / ids.cols)[slot % ids.cols]; }

  // The columns of source i, and the slots that multiply them: `count` from `slot` on.
  struct Source {
    const float* x;
    int64_t slot, count;
  };
  Source sourceAt(int64_t i) const {
    int64_t row = i / sources, source = i % sources;
    const float* x = rowOf<const float>(prologue.x, row) + source * prologue.x.cols;
    return {x, row * ids.cols + source, sources == 1 ? ids.cols : 1};
  }

  // Calls body(expert, panel, end) for this thread's part of the panels of all experts that were chosen. A panel costs
  // its rows, and reading it as much as `reading` of them; `perRow` is what one row of a panel costs in multiply-adds.
  template <class F>
  void forEachPart(int64_t reading, int64_t perRow, Context& context, F body) const {
    // some ten microseconds at a time
    constexpr int64_t kElements = 1 << 18;
    int64_t total = 0;
    for (int64_t e = 0; e < experts; e++) total += panelsOf(e) * costOf(e, reading);
    context.divide(total, kElements / (perRow > 0 ? perRow : 1));
    for (Share chunk; context.take(&chunk);) {
      int64_t at = 0;
      for (int64_t e = 0; e < experts && at < chunk.end; e++) {
        int64_t panels = panelsOf(e), cost = costOf(e, reading);
        if (cost == 0) continue;
        // a panel belongs to the chunk in which its cost begins
        int64_t begin = clamp(chunk.begin - at, cost, panels), end = clamp(chunk.end - at, cost, panels);
        if (begin < end) body(e, e * outputs / kPanel + begin, e * outputs / kPanel + end);
        at += panels * cost;
      }
    }
  }

 private:
  int64_t panelsOf(int64_t e) const { return ((e + 1) * outputs + kPanel - 1) / kPanel - e * outputs / kPanel; }
  int64_t costOf(int64_t e, int64_t reading) const {
    int64_t rows = starts[e + 1] - starts[e];
    return rows ? rows + reading : 0;
  }
  static int64_t clamp(int64_t distance, int64_t cost, int64_t panels) {
    return distance <= 0 ? 0 : min64((distance + cost - 1) / cost, panels);
  }
};

}  // namespace slipway::SLIPWAY_TARGET

// Sampling, the twin of src/ops/sample.ts: exact, so every sum below runs in the order that the reference defines.
#include "vocabulary.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

// A token by falling rank. Weights are not negative, so their bits order them, and integers compare without surprises.
struct Candidate {
  uint64_t weight;
  int64_t id;
};
struct BetterCandidate {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  }
};

double weightOf(const Candidate& c) {
  double weight;
  memcpy(&weight, &c.weight, 8);
  return weight;
}

// A sum of weights in the order in which they come; neighbours of one block are added up first.
class BlockSum {
 public:
  double add(const Candidate& c) { return add(c.id, weightOf(c)); }
  double add(int64_t id, double weight) {
    if (id / kBlock != block_) {
      before_ += part_;
      part_ = 0;
      block_ = id / kBlock;
    }
    part_ += weight;
    return total();
  }
  double total() const { return before_ + part_; }

 private:
  double before_ = 0, part_ = 0;
  int64_t block_ = -1;
};

// Yields the tokens of a row best first, none below `floor`. It looks at a band of weights at a time and sorts a band in
// growing chunks, so it does little more than asked. The first band reaches down to `low`.
class BestFirst {
 public:
  BestFirst(const Row& row, double low, double floor, Candidate* list)
      : row_(row), low_(low), floor_(floor), list_(list) {}

  // The next token, which then stays in the list; null at the end.
  const Candidate* next() {
    while (taken_ == filled_)
      if (!fillNextBand()) return nullptr;
    if (taken_ == sorted_) sortNextChunk();
    return &list_[taken_++];
  }
  int64_t taken() const { return taken_; }
  Candidate* list() const { return list_; }

 private:
  bool fillNextBand() {
    if (upper_ <= floor_) return false;
    double low = low_ > floor_ ? low_ : floor_, high = upper_;
    forEachAbove(row_, lowestLogit(row_, low), [&](int64_t id) {
      double weight = row_.weightOf(row_.logits[id]);
      if (!(weight >= low && weight < high)) return;
      list_[filled_].id = id;
      memcpy(&list_[filled_++].weight, &weight, 8);
    });
    upper_ = low;
    low_ = low > 0x1p-6 ? 0x1p-6 : low > 0x1p-12 ? 0x1p-12 : low > 0x1p-20 ? 0x1p-20 : 0;
    return true;
  }

  void sortNextChunk() {
    int64_t end = std::min(filled_, sorted_ + chunk_);
    chunk_ *= 4;
    if (end < filled_) std::nth_element(list_ + sorted_, list_ + end, list_ + filled_, BetterCandidate());
    std::sort(list_ + sorted_, list_ + end, BetterCandidate());
    sorted_ = end;
  }

  const Row& row_;
  double low_, floor_;
  Candidate* list_;
  double upper_ = INFINITY;
  int64_t chunk_ = 64, taken_ = 0, sorted_ = 0, filled_ = 0;
};

int64_t drawFromList(const Candidate* list, int64_t count, double draw) {
  BlockSum total, share;
  for (int64_t i = 0; i < count; i++) total.add(list[i]);
  for (int64_t i = 0; i < count; i++)
    if (share.add(list[i]) > draw * total.total()) return list[i].id;
  return list[count - 1].id;
}

// Draws among all tokens of minP and more.
int64_t drawFromRow(const Row& row, double total, double draw) {
  double before = 0, minP = row.limits.minP;
  int64_t lastKept = 0;
  for (int64_t b = 0; b < row.blocks; before += row.sumOfBlock[b++]) {
    if (row.keptOfBlock[b] > 0) lastKept = b;
    if (!(before + row.sumOfBlock[b] > draw * total)) continue;
    double part = 0;
    for (int64_t i = b * kBlock;; i++) {
      double weight = row.weightOf(row.logits[i]);
      if (weight >= minP && before + (part += weight) > draw * total) return i;
    }
  }
  // rounding may leave the draw just short of the total
  int64_t last = lastKept * kBlock + row.sizeOf(lastKept) - 1;
  while (!(row.weightOf(row.logits[last]) >= minP)) last--;
  return last;
}

// Takes tokens nearest first until their share of weights reaches `target`; returns how many. The first `filled` of the
// list have distances where weights belong, which come back as tokens are taken; `fill` brings those behind them, and tells
// how many are there then. A list is sorted in growing chunks, as far as needed.
template <class F>
int64_t takeNearest(const Row& row, Candidate* list, int64_t filled, double target, F fill) {
  auto nearer = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight < b.weight : a.id < b.id;
  };
  BlockSum share;
  for (int64_t i = 0, sorted = 0, chunk = 64;; i++) {
    if (i == filled && (filled = fill(filled)) == i) return i;
    if (i == sorted) {
      sorted = std::min(filled, sorted + chunk);
      chunk *= 4;
      if (sorted < filled) std::nth_element(list + i, list + sorted, list + filled, nearer);
      std::sort(list + i, list + sorted, nearer);
    }
    double weight = row.weightOf(row.logits[list[i].id]);
    memcpy(&list[i].weight, &weight, 8);
    if (share.add(list[i]) >= target) return i + 1;
  }
}

// Distances are not negative either, so they can stand for weights.
void setDistance(Candidate* candidate, int64_t id, double distance) {
  candidate->id = id;
  memcpy(&candidate->weight, &distance, 8);
}

// Cuts a list of candidates to those nearest to the mean exponent, nearest first, until their share reaches typicalP;
// returns how many are left.
int64_t keepTypical(const Row& row, Candidate* list, int64_t count) {
  int64_t possible = 0;
  for (int64_t i = 0; i < count; i++)
    if (weightOf(list[i]) > 0) list[possible++] = list[i];
  if (possible == 0) return count;
  BlockSum total, exponents;
  for (int64_t i = 0; i < possible; i++) {
    total.add(list[i]);
    exponents.add(list[i].id, weightOf(list[i]) * row.exponentOf(row.logits[list[i].id]));
  }
  double mean = exponents.total() / total.total();
  for (int64_t i = 0; i < possible; i++)
    setDistance(&list[i], list[i].id, fabs(row.exponentOf(row.logits[list[i].id]) - mean));
  return takeNearest(row, list, possible, row.limits.typicalP * total.total(), [](int64_t filled) { return filled; });
}

// The same for all tokens of minP and more, whose weights add up to `total` > 0. Looks at a band of distances at a time.
int64_t listTypical(const Row& row, double total, Candidate* list) {
  double exponents = 0, minP = row.limits.minP, near = 0, far = 0.5;
  for (int64_t b = 0; b < row.blocks; b++) exponents += row.exponentOfBlock[b];
  double mean = exponents / total;
  return takeNearest(row, list, 0, row.limits.typicalP * total, [&](int64_t filled) {
    // no weight that is not zero has an exponent of -700 or less
    for (int64_t before = filled; filled == before && near <= 700;) {
      near = far == 0.5 ? 0 : far / 2;
      forEachAbove(row, lowestOfExponent(row, mean - far), [&](int64_t id) {
        double exponent = row.exponentOf(row.logits[id]), distance = fabs(exponent - mean);
        bool fits = distance >= near && distance < far && exponent > -700.0;
        if (fits && (minP <= 0 || row.weightOf(row.logits[id]) >= minP)) setDistance(&list[filled++], id, distance);
      });
      far *= 2;
    }
    return filled;
  });
}

// Draws among the first `count` of a list.
int64_t drawLimited(const Row& row, Candidate* list, int64_t count, double draw) {
  return drawFromList(list, row.limits.typicalP < 1 ? keepTypical(row, list, count) : count, draw);
}

// Every token of minP and more, in the order of ids.
int64_t listRow(const Row& row, double floor, Candidate* list) {
  int64_t count = 0;
  forEachAbove(row, lowestLogit(row, floor), [&](int64_t id) {
    double weight = row.weightOf(row.logits[id]);
    if (!(weight >= floor)) return;
    list[count].id = id;
    memcpy(&list[count++].weight, &weight, 8);
  });
  return count;
}

// `list` holds one element per token.
int64_t sampleRow(const Row& row, double draw, Candidate* list) {
  const Limits& limits = row.limits;
  double total = 0;
  bool summed = limits.needsSums(row.count);
  int64_t kept = summed ? 0 : row.count;
  for (int64_t b = 0; summed && b < row.blocks; b++) {
    total += row.sumOfBlock[b];
    kept += row.keptOfBlock[b];
  }
  if (kept == 0) return argmaxOf(row);

  double floor = limits.minP > 0 ? limits.minP : 0;
  if (!(limits.topK > 0 && limits.topK < (double)kept)) {
    if (limits.needsExponents(row.count) && total > 0) return drawFromList(list, listTypical(row, total, list), draw);
    if (!(limits.topP < 1) && limits.typicalP < 1) return drawLimited(row, list, listRow(row, floor, list), draw);
    if (!(limits.topP < 1)) return drawFromRow(row, total, draw);
    BestFirst best(row, 0x1p-6, floor, list);
    double target = limits.topP * total;
    BlockSum share;
    while (const Candidate* c = best.next())
      if (share.add(*c) >= target) break;
    return drawLimited(row, best.list(), best.taken(), draw);
  }
  int64_t size = limits.topK < 1 ? 1 : (int64_t)limits.topK;
  float bound = boundOfBest(row, size, (float*)list);
  // a little lower than the weight of that logit, which rounding may have put above its betters
  double low = bound > -INFINITY ? row.weightOf(bound) * (1 - 1e-12) : size <= row.blocks ? 0 : 0x1p-6;
  BestFirst best(row, low, floor, list);
  BlockSum sum;
  for (const Candidate* c; best.taken() < size && (c = best.next());) sum.add(*c);
  size = best.taken();
  double target = limits.topP * sum.total();
  BlockSum share;
  for (int64_t i = 0; limits.topP < 1 && i < size; i++)
    if (share.add(best.list()[i]) >= target) size = i + 1;
  return drawLimited(row, best.list(), size, draw);
}

}  // namespace

size_t sampleWorkspace(const Step& step, int) { return vocabularyWorkspace(step.tensors[0]); }

void sample(const Step& step, Context& context) {
  const Tensor *t = step.tensors, &logits = t[0];
  const Tensor* mask = t[4].data ? &t[4] : nullptr;
  if (logits.cols < 1 || (mask && (mask->rows != logits.rows || mask->cols != (logits.cols + 31) / 32)))
    return context.fail(Code::kMalformed);
  auto limitsOf = [&](int64_t row) {
    const float* params = rowOf<const float>(t[1], row);
    return Limits{params[0], params[1], params[2], params[3], params[4]};
  };
  forEachRow(logits, mask, context, limitsOf, [&](int64_t index, const Row& row) {
    int64_t token = 0;
    if (row.limits.isGreedy()) {
      token = argmaxOf(row);
    } else {
      // room for the worst case; what is not touched takes no memory
      Candidate* list = (Candidate*)context.scratch((size_t)row.count * sizeof(Candidate));
      if (!list) return;
      double draw = uniform(rowOf<const uint32_t>(t[2], index), ((const uint32_t*)t[3].data)[index]);
      token = sampleRow(row, draw, list);
    }
    ((int32_t*)t[5].data)[index] = (int32_t)token;
  });
}

}  // namespace slipway::SLIPWAY_TARGET

// Sampling, the twin of src/ops/sample.ts: exact, so every sum below runs in the order that the reference defines.
#include <math.h>

#include <algorithm>

#include "exact-math.h"
#include "ops.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

// The highest value that is a number; -infinity when there is none.
float highestNumber(const float* x, int64_t count) {
  float highest = -INFINITY;
  if (count >= kLanes) {
    V best = set1(-INFINITY);
    // the last step overlaps the one before, which a maximum does not mind
    for (int64_t i = 0; i < count; i += kLanes) best = max(load(x + std::min(i, count - kLanes)), best);
    return maxLane(best);
  }
  for (int64_t i = 0; i < count; i++) highest = x[i] > highest ? x[i] : highest;
  return highest;
}

// Math.max over a row: NaN when any value is NaN.
float highestOf(const float* x, int64_t count) {
  int64_t numNan = 0;
  for (int64_t i = 0; i < count; i++) numNan += x[i] != x[i];
  return numNan > 0 ? NAN : highestNumber(x, count);
}

int64_t argmaxOf(const float* x, int64_t count) {
  // the reference compares with x[0] first, and nothing is greater than NaN
  if (x[0] != x[0]) return 0;
  float highest = highestNumber(x, count);
  int64_t i = 0;
  while (x[i] != highest) i++;
  return i;
}

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

// Yields tokens best first and sorts only as far as asked: weights are taken in bands, a band in growing chunks.
class BestFirst {
 public:
  BestFirst(const double* weights, int64_t count, double floor, Candidate* list)
      : weights_(weights), count_(count), floor_(floor), list_(list) {}

  // The next token, which then stays in the list; null at the end.
  const Candidate* next() {
    while (taken_ == filled_)
      if (!fillNextBand()) return nullptr;
    if (taken_ == sorted_) sortNextChunk();
    return &list_[taken_++];
  }
  int64_t taken() const { return taken_; }
  const Candidate* list() const { return list_; }

 private:
  bool fillNextBand() {
    constexpr double kBands[] = {0x1p-6, 0x1p-12, 0x1p-20, 0};
    if (band_ == 4) return false;
    double low = kBands[band_] > floor_ ? kBands[band_] : floor_, high = upper_;
    for (int64_t id = 0; id < count_; id++) {
      double weight = weights_[id];
      if (!(weight >= low && weight < high)) continue;
      list_[filled_].id = id;
      memcpy(&list_[filled_++].weight, &weight, 8);
    }
    upper_ = low;
    band_++;
    return true;
  }

  void sortNextChunk() {
    int64_t end = std::min(filled_, sorted_ + chunk_);
    chunk_ *= 4;
    if (end < filled_) std::nth_element(list_ + sorted_, list_ + end, list_ + filled_, BetterCandidate());
    std::sort(list_ + sorted_, list_ + end, BetterCandidate());
    sorted_ = end;
  }

  const double* weights_;
  int64_t count_;
  double floor_;
  Candidate* list_;
  double upper_ = INFINITY;
  int band_ = 0;
  int64_t chunk_ = 64, taken_ = 0, sorted_ = 0, filled_ = 0;
};

int64_t drawFromList(const Candidate* list, int64_t count, double draw) {
  double total = 0, share = 0;
  for (int64_t i = 0; i < count; i++) total += weightOf(list[i]);
  for (int64_t i = 0; i < count; i++)
    if ((share += weightOf(list[i])) > draw * total) return list[i].id;
  return list[count - 1].id;
}

struct Limits {
  double temperature, topK, topP, minP;
};

// `weights` and `list` hold one element per token.
int64_t sampleRow(const float* logits, int64_t count, const Limits& limits, double draw, double* weights,
                  Candidate* list) {
  double highest = highestOf(logits, count), temperature = limits.temperature, minP = limits.minP;
  for (int64_t i = 0; i < count; i++) weights[i] = expNegative(((double)logits[i] - highest) / temperature);
  int64_t kept = 0, lastKept = 0;
  double total = 0;
  for (int64_t i = 0; i < count; i++) {
    bool keep = weights[i] >= minP;
    kept += keep;
    lastKept = keep ? i : lastKept;
    total += keep ? weights[i] : 0.0;
  }
  if (kept == 0) return argmaxOf(logits, count);

  bool cut = limits.topK > 0 && limits.topK < (double)kept;
  if (!cut && !(limits.topP < 1)) {
    double share = 0;
    for (int64_t i = 0; i < count; i++)
      if (weights[i] >= minP && (share += weights[i]) > draw * total) return i;
    return lastKept;
  }
  BestFirst best(weights, count, minP, list);
  if (!cut) {
    double target = limits.topP * total, share = 0;
    while (const Candidate* c = best.next())
      if ((share += weightOf(*c)) >= target) break;
    return drawFromList(best.list(), best.taken(), draw);
  }
  int64_t size = (int64_t)limits.topK;
  if (size == 0) size = 1;
  total = 0;
  while (best.taken() < size) {
    const Candidate* c = best.next();
    if (!c) break;
    total += weightOf(*c);
  }
  size = best.taken();
  if (limits.topP < 1) {
    double target = limits.topP * total, share = 0;
    for (int64_t i = 0; i < size; i++)
      if ((share += weightOf(best.list()[i])) >= target) size = i + 1;
  }
  return drawFromList(best.list(), size, draw);
}

// A logit by falling rank, with equal zeros of both signs; NaN goes anywhere, but always to the same place.
struct Ranked {
  uint32_t key;
  int32_t id;
};
struct BetterRanked {
  bool operator()(const Ranked& a, const Ranked& b) const { return a.key != b.key ? a.key > b.key : a.id < b.id; }
};

uint32_t orderedBits(float x) {
  uint32_t bits = bitsFromFloat(x + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The k best of a row, best first: a heap whose top is the worst one kept.
void bestOf(const float* x, int64_t count, int64_t k, Ranked* heap) {
  for (int64_t i = 0; i < k; i++) heap[i] = {orderedBits(x[i]), (int32_t)i};
  std::make_heap(heap, heap + k, BetterRanked());
  for (int64_t i = k; k > 0 && i < count; i++) {
    uint32_t key = orderedBits(x[i]);
    // of equals the earlier id stays
    if (key <= heap[0].key) continue;
    std::pop_heap(heap, heap + k, BetterRanked());
    heap[k - 1] = {key, (int32_t)i};
    std::push_heap(heap, heap + k, BetterRanked());
  }
  std::sort(heap, heap + k, BetterRanked());
}

}  // namespace

void adjustLogits(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  const int32_t *starts = (const int32_t*)t[1].data, *tokens = (const int32_t*)t[2].data;
  const int32_t *counts = (const int32_t*)t[3].data, *inPrompt = (const int32_t*)t[4].data;
  const float* bias = (const float*)t[5].data;
  Share share = shareOf(t[0].rows, context);
  for (int64_t row = share.begin; row < share.end; row++) {
    if (starts[row] < 0) return context.fail(Code::kOutOfRange, starts[row]);
    if (starts[row + 1] > t[2].cols) return context.fail(Code::kOutOfRange, starts[row + 1]);
    float* logits = rowOf<float>(t[0], row);
    const float* penalties = rowOf<const float>(t[6], row);
    double repetition = penalties[0], frequency = penalties[1], presence = penalties[2];
    for (int64_t e = starts[row]; e < starts[row + 1]; e++) {
      if (tokens[e] < 0 || tokens[e] >= t[0].cols) return context.fail(Code::kOutOfRange, tokens[e]);
      double count = counts[e], logit = logits[tokens[e]] + (double)bias[e];
      if (count > 0 || inPrompt[e] != 0) logit = logit > 0 ? logit / repetition : logit * repetition;
      logit -= count * frequency + (count > 0 ? presence : 0.0);
      logits[tokens[e]] = (float)logit;
    }
  }
}

void sample(const Step& step, Context& context) {
  const Tensor *t = step.tensors, &logits = t[0];
  int64_t count = logits.cols;
  Share share = shareOf(logits.rows, context);
  if (share.begin == share.end) return;
  double* weights = (double*)context.scratch((size_t)count * (sizeof(double) + sizeof(Candidate)));
  if (!weights) return;
  Candidate* list = (Candidate*)(weights + count);
  for (int64_t row = share.begin; row < share.end; row++) {
    const float* params = rowOf<const float>(t[1], row);
    const float* x = rowOf<const float>(logits, row);
    double draw = uniform(rowOf<const uint32_t>(t[2], row), ((const uint32_t*)t[3].data)[row]);
    Limits limits{params[0], params[1], params[2], params[3]};
    int64_t token =
        limits.temperature == 0 ? argmaxOf(x, count) : sampleRow(x, count, limits, draw, weights, list);
    ((int32_t*)t[4].data)[row] = (int32_t)token;
  }
}

void argmax(const Step& step, Context& context) {
  const Tensor &x = step.tensors[0], &out = step.tensors[1];
  Share share = shareOf(x.rows, context);
  for (int64_t row = share.begin; row < share.end; row++)
    ((int32_t*)out.data)[row] = (int32_t)argmaxOf(rowOf<const float>(x, row), x.cols);
}

void logprobs(const Step& step, Context& context) {
  const Tensor *t = step.tensors, &logits = t[0];
  int64_t k = (int64_t)step.attributes[0], count = logits.cols;
  if (k < 0 || k > count || t[2].cols != k + 1) return context.fail(Code::kMalformed);
  Share share = shareOf(logits.rows, context);
  if (share.begin == share.end) return;
  double* weights = (double*)context.scratch((size_t)count * sizeof(double) + (size_t)(k + 1) * sizeof(Ranked));
  if (!weights) return;
  Ranked* best = (Ranked*)(weights + count);
  for (int64_t row = share.begin; row < share.end; row++) {
    const float* x = rowOf<const float>(logits, row);
    int32_t chosen = ((const int32_t*)t[1].data)[row];
    if (chosen < 0 || chosen >= count) return context.fail(Code::kOutOfRange, chosen);
    double highest = highestOf(x, count), total = 0;
    for (int64_t i = 0; i < count; i++) weights[i] = expNegative((double)x[i] - highest);
    for (int64_t i = 0; i < count; i++) total += weights[i];
    double logTotal = log(total);
    int64_t rank = 1;
    for (int64_t i = 0; i < count; i++) rank += x[i] > x[chosen];
    bestOf(x, count, k, best);
    float* values = rowOf<float>(t[2], row);
    int32_t* ids = rowOf<int32_t>(t[3], row);
    for (int64_t i = 0; i <= k; i++) {
      ids[i] = i == 0 ? chosen : best[i - 1].id;
      values[i] = (float)((double)x[ids[i]] - highest - logTotal);
    }
    ((int32_t*)t[4].data)[row] = (int32_t)rank;
  }
}

}  // namespace slipway::SLIPWAY_TARGET

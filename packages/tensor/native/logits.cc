// Ops on logits besides sampling: penalties and biases, the best token, log-probabilities.
#include "vocabulary.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

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

// The k best of a row, best first. `list` holds an element per token.
void bestOf(const Row& row, int64_t k, Ranked* list) {
  float bound = boundOfBest(row, k, (float*)list);
  int64_t count = 0;
  if (k > 0) forEachAbove(row, bound, [&](int64_t id) { list[count++] = {orderedBits(row.logits[id]), (int32_t)id}; });
  if (k < count) std::nth_element(list, list + k, list + count, BetterRanked());
  std::sort(list, list + k, BetterRanked());
}

// How many tokens are better than one, plus one.
int64_t rankOf(const Row& row, float logit) {
  int64_t rank = 1;
  for (int64_t block = 0; block < row.blocks; block++) {
    if (row.highestOfBlock[block] <= logit) continue;
    const float* x = row.logits + block * kBlock;
    int64_t size = row.sizeOf(block), better = 0;
    for (int64_t i = 0; i < size; i++) better += x[i] > logit;
    rank += better;
  }
  return rank;
}

}  // namespace

void adjustLogits(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  const int32_t *starts = (const int32_t*)t[1].data, *tokens = (const int32_t*)t[2].data;
  const int32_t *counts = (const int32_t*)t[3].data, *inPrompt = (const int32_t*)t[4].data;
  const float* bias = (const float*)t[5].data;
  // a row has few entries
  forEachItem(t[0].rows, 256, context, [&](int64_t row) {
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
  });
}

size_t argmaxWorkspace(const Step& step, int) { return vocabularyWorkspace(step.tensors[0]); }

void argmax(const Step& step, Context& context) {
  const Tensor &x = step.tensors[0], &out = step.tensors[1];
  if (x.cols < 1) return context.fail(Code::kMalformed);
  forEachRow(
      x, nullptr, context, [](int64_t) { return Limits{0, 0, 1, 0}; },
      [&](int64_t index, const Row& row) { ((int32_t*)out.data)[index] = (int32_t)argmaxOf(row); });
}

size_t logprobsWorkspace(const Step& step, int) { return vocabularyWorkspace(step.tensors[0]); }

void logprobs(const Step& step, Context& context) {
  const Tensor *t = step.tensors, &logits = t[0];
  int64_t k = (int64_t)step.attributes[0], count = logits.cols;
  if (count < 1 || k < 0 || k > count || t[2].cols != k + 1) return context.fail(Code::kMalformed);
  const int32_t* chosen = (const int32_t*)t[1].data;
  // on all threads alike: none may wait for one that has left
  for (int64_t row = 0; row < logits.rows; row++)
    if (chosen[row] < 0 || chosen[row] >= count) return context.fail(Code::kOutOfRange, chosen[row]);
  forEachRow(
      logits, nullptr, context, [](int64_t) { return Limits{1, 0, 1, 0}; },
      [&](int64_t index, const Row& row) {
        Ranked* best = (Ranked*)context.scratch((size_t)count * sizeof(Ranked));
        if (!best) return;
        double total = 0;
        for (int64_t b = 0; b < row.blocks; b++) total += row.sumOfBlock[b];
        double logTotal = log(total);
        bestOf(row, k, best);
        float* values = rowOf<float>(t[2], index);
        int32_t* ids = rowOf<int32_t>(t[3], index);
        for (int64_t i = 0; i <= k; i++) {
          ids[i] = i == 0 ? chosen[index] : best[i - 1].id;
          values[i] = (float)((double)row.logits[ids[i]] - row.highest - logTotal);
        }
        ((int32_t*)t[4].data)[index] = (int32_t)rankOf(row, row.logits[chosen[index]]);
      });
}

}  // namespace slipway::SLIPWAY_TARGET

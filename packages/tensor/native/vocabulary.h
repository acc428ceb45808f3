// Rows of logits over a vocabulary, taken in blocks of ids, so that all threads can work on one row. What is kept of a
// block is small: its highest logit, and where needed the sum of its weights. Sums are those of src/ops/sample.ts: ids
// of a block in order, then blocks in order, whoever computes them.
#pragma once

#include <math.h>

#include <algorithm>

#include "exact-math.h"
#include "ops.h"

namespace slipway::SLIPWAY_TARGET {

// `blockIds` of src/ops/sample.ts
constexpr int64_t kBlock = 256;

// The highest value that is a number; -infinity when there is none.
SLIPWAY_INLINE float highestNumber(const float* x, int64_t count) {
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

// Math.max over values: NaN when any is NaN.
SLIPWAY_INLINE float highestOf(const float* x, int64_t count) {
  int32_t numNan = 0;
  for (int64_t i = 0; i < count; i++) numNan += x[i] != x[i];
  return numNan > 0 ? NAN : highestNumber(x, count);
}

// Bans the ids of a block whose bits are not set in `words`; false when that leaves none.
SLIPWAY_INLINE bool maskBlock(float* x, const uint32_t* words, int64_t count) {
  uint32_t any = 0;
  for (; count > 0; count -= 32, x += 32) {
    uint32_t word = *words++;
    any |= word;
    if (word == 0xffffffffu) continue;
    // a length that the compiler knows becomes vectors
    if (count >= 32)
      for (int i = 0; i < 32; i++) x[i] = word >> i & 1 ? x[i] : -INFINITY;
    else
      for (int i = 0; i < count; i++) x[i] = word >> i & 1 ? x[i] : -INFINITY;
  }
  return any != 0;
}

struct Limits {
  double temperature, topK, topP, minP, typicalP = 1;

  bool isGreedy() const { return temperature == 0; }
  // A plain top k needs no weight but those that it keeps.
  bool needsSums(int64_t count) const {
    return !isGreedy() && !(minP <= 0 && topK > 0 && topK < (double)count);
  }
  // A typical share of all that minP leaves needs the mean exponent, so far as nothing else cuts first.
  bool needsExponents(int64_t count) const { return needsSums(count) && typicalP < 1 && !(topP < 1); }
};

// A row of logits and what is known of its blocks.
struct Row {
  const float* logits;
  int64_t count, blocks;
  Limits limits;
  float* highestOfBlock;  // of a greedy row NaN does not count
  double* sumOfBlock;     // weights of minP and more; only where the limits need it
  double* exponentOfBlock;  // these weights by their exponents; only where the limits need it
  int32_t* keptOfBlock;   // how many those are
  double highest;

  int64_t sizeOf(int64_t block) const { return std::min(kBlock, count - block * kBlock); }
  double exponentOf(float logit) const { return ((double)logit - highest) / limits.temperature; }
  double weightOf(float logit) const { return expNegative(exponentOf(logit)); }
};

static inline int64_t numBlocks(int64_t count) { return (count + kBlock - 1) / kBlock; }

// Rows at a time: enough for all threads, and so few that the second look at their logits finds them in a cache.
static inline int64_t rowsAtOnce(const Tensor& logits) {
  constexpr int64_t kLogits = 1 << 20;
  int64_t rows = logits.cols > 0 ? kLogits / logits.cols : 1;
  return rows < 1 ? 1 : rows < logits.rows ? rows : logits.rows;
}

static inline size_t vocabularyWorkspace(const Tensor& logits) {
  return (size_t)(rowsAtOnce(logits) * numBlocks(logits.cols)) * (2 * sizeof(double) + sizeof(float) + sizeof(int32_t));
}

// No logit below this has an exponent of `low` or more. A margin stands for the rounding of exponents and weights.
static inline float lowestOfExponent(const Row& row, double low) {
  double span = row.limits.temperature * low, margin = row.limits.temperature + fabs(span) + fabs(row.highest);
  double limit = row.highest + span - 1e-12 * margin;
  // also where it is no number, and nothing is known
  if (!(limit > -3e38)) return -INFINITY;
  return nextafterf((float)limit, -INFINITY);
}

// No logit below this has a weight of `low` or more.
static inline float lowestLogit(const Row& row, double low) {
  return low > 0 ? lowestOfExponent(row, log(low)) : -INFINITY;
}

// The sum of weights by exponents of a block, in the order of ids.
static inline double sumExponents(const Row& row, const float* x, const double* weights, int64_t size) {
  double sum = 0;
  for (int64_t i = 0; i < size; i++) sum += weights[i] > 0 ? weights[i] * row.exponentOf(x[i]) : 0.0;
  return sum;
}

// Sums the weights of blocks [begin, end) of a row, some blocks side by side: each sum is a chain of additions.
static inline void sumBlocks(const Row& row, int64_t begin, int64_t end) {
  constexpr int kSide = 4;
  double weights[kSide][kBlock];
  double minP = row.limits.minP, highest = row.highest, temperature = row.limits.temperature;
  float lowest = lowestLogit(row, minP);
  bool exponents = row.limits.needsExponents(row.count);
  for (int64_t block = begin; block < end;) {
    int64_t blocks[kSide];
    int n = 0;
    for (; block < end && n < kSide; block++) {
      // what a mask has left nothing of adds nothing, beside any logit that can be drawn
      bool masked = row.highestOfBlock[block] == -INFINITY && highest > -INFINITY && temperature < INFINITY;
      row.sumOfBlock[block] = 0;
      row.keptOfBlock[block] = masked && minP <= 0 ? (int32_t)row.sizeOf(block) : 0;
      if (exponents) row.exponentOfBlock[block] = 0;
      if (!masked && !(row.highestOfBlock[block] < lowest)) blocks[n++] = block;
    }
    for (int j = 0; j < n; j++) {
      const float* x = row.logits + blocks[j] * kBlock;
      int64_t size = row.sizeOf(blocks[j]), kept = size;
      for (int64_t i = 0; i < size; i++) weights[j][i] = expNegative(((double)x[i] - highest) / temperature);
      if (!(minP <= 0)) {
        kept = 0;
        for (int64_t i = 0; i < size; i++) {
          bool keep = weights[j][i] >= minP;
          weights[j][i] = keep ? weights[j][i] : 0.0;
          kept += keep;
        }
      }
      for (int64_t i = size; i < kBlock; i++) weights[j][i] = 0;
      if (exponents) row.exponentOfBlock[blocks[j]] = sumExponents(row, x, weights[j], size);
      row.keptOfBlock[blocks[j]] = (int32_t)kept;
    }
    for (int j = n; j < kSide && n > 0; j++) memcpy(weights[j], weights[0], sizeof weights[0]);
    double sums[kSide] = {};
    for (int64_t i = 0; i < kBlock && n > 0; i++) {
      SLIPWAY_UNROLL
      for (int j = 0; j < kSide; j++) sums[j] += weights[j][i];
    }
    for (int j = 0; j < n; j++) row.sumOfBlock[blocks[j]] = sums[j];
  }
}

// Calls finish(index, row) for every row of `logits` with its blocks known, when what `mask` bans (null: nothing) is
// -infinity; a row comes to one thread. All threads must call this, with the same limits: there are barriers within.
template <class L, class F>
SLIPWAY_INLINE void forEachRow(const Tensor& logits, const Tensor* mask, Context& context, L limitsOf, F finish) {
  int64_t count = logits.cols, blocks = numBlocks(count), atOnce = rowsAtOnce(logits);
  double* sums = (double*)context.shared();
  double* exponents = sums + atOnce * blocks;
  float* highest = (float*)(exponents + atOnce * blocks);
  int32_t* kept = (int32_t*)(highest + atOnce * blocks);
  for (int64_t first = 0; first < logits.rows; first += atOnce) {
    int64_t rows = std::min(atOnce, logits.rows - first);
    auto rowAt = [&](int64_t i) {
      int64_t at = i * blocks;
      return Row{rowOf<const float>(logits, first + i), count, blocks, limitsOf(first + i), highest + at, sums + at,
                 exponents + at, kept + at, 0};
    };
    // calls body(row, first block, last block, index of the row) for this thread's part of the group
    auto forEachBlock = [&](int64_t width, auto body) {
      constexpr int64_t kElements = 16384;
      context.divide(rows * blocks, kElements / width);
      for (Share chunk; context.take(&chunk);)
        for (int64_t at = chunk.begin; at < chunk.end;) {
          int64_t begin = at % blocks, end = std::min(blocks, begin + chunk.end - at);
          Row row = rowAt(at / blocks);
          body(row, begin, end, first + at / blocks);
          at += end - begin;
        }
    };
    if (first > 0) context.barrier();
    forEachBlock(kBlock, [&](Row& row, int64_t begin, int64_t end, int64_t index) {
      bool greedy = row.limits.isGreedy();
      const uint32_t* words = mask ? rowOf<const uint32_t>(*mask, index) : nullptr;
      for (int64_t b = begin; b < end; b++) {
        float* x = rowOf<float>(logits, index) + b * kBlock;
        int64_t size = row.sizeOf(b);
        if (words && !maskBlock(x, words + b * (kBlock / 32), size)) row.highestOfBlock[b] = -INFINITY;
        else row.highestOfBlock[b] = greedy ? highestNumber(x, size) : highestOf(x, size);
      }
    });
    context.barrier();
    bool anySums = false;
    for (int64_t i = 0; i < rows; i++) anySums = anySums || limitsOf(first + i).needsSums(count);
    if (anySums) {
      // an exponential takes about as long as eight maxima
      forEachBlock(8 * kBlock, [&](Row& row, int64_t begin, int64_t end, int64_t) {
        if (!row.limits.needsSums(count)) return;
        row.highest = highestOf(row.highestOfBlock, blocks);
        sumBlocks(row, begin, end);
      });
      context.barrier();
    }
    context.divide(rows, 1);
    for (Share chunk; context.take(&chunk);)
      for (int64_t i = chunk.begin; i < chunk.end; i++) {
        Row row = rowAt(i);
        row.highest = row.limits.isGreedy() ? highestNumber(row.highestOfBlock, blocks)
                                            : highestOf(row.highestOfBlock, blocks);
        finish(first + i, row);
      }
  }
}

// The id of the highest value, the lowest of equals.
static inline int64_t argmaxOf(const Row& row) {
  const float* x = row.logits;
  // the reference compares with x[0] first, and nothing is greater than NaN
  if (x[0] != x[0]) return 0;
  bool known = row.highest == row.highest;
  float highest = known ? (float)row.highest : highestNumber(x, row.count);
  int64_t i = 0;
  while (known && row.highestOfBlock[i / kBlock] != highest) i += kBlock;
  while (x[i] != highest) i++;
  return i;
}

// Calls body(id) for the ids whose logit is not below `lowest`, in order.
template <class F>
SLIPWAY_INLINE void forEachAbove(const Row& row, float lowest, F body) {
  constexpr int64_t kStep = 32;
  for (int64_t block = 0; block < row.blocks; block++) {
    if (row.highestOfBlock[block] < lowest) continue;
    const float* x = row.logits + block * kBlock;
    int64_t size = row.sizeOf(block);
    for (int64_t at = 0; at < size; at += kStep) {
      int64_t end = std::min(at + kStep, size);
      int32_t above = end < at + kStep;
      if (!above)
        for (int64_t i = 0; i < kStep; i++) above |= !(x[at + i] < lowest);
      for (int64_t i = at; above && i < end; i++)
        if (!(x[i] < lowest)) body(block * kBlock + i);
    }
  }
}

// A lower bound of the k-th highest logit, from blocks alone; -infinity where they do not tell. `list` holds a value
// per block.
static inline float boundOfBest(const Row& row, int64_t k, float* list) {
  if (k < 1 || k > row.blocks || row.highest != row.highest) return -INFINITY;
  std::copy(row.highestOfBlock, row.highestOfBlock + row.blocks, list);
  std::nth_element(list, list + k - 1, list + row.blocks, [](float a, float b) { return a > b; });
  return list[k - 1];
}

}  // namespace slipway::SLIPWAY_TARGET

// Attention of a block of rows over one segment of keys, for all query heads of a key head.
#pragma once

#include <math.h>

#include "attention-tile.h"
#include "kv-cache.h"

namespace slipway::SLIPWAY_TARGET {

constexpr int64_t kSegment = 256;
// Queries (rows x heads of a group) that share widened keys and values.
constexpr int64_t kMaxQueries = 128;
// Up to so many queries read keys and values where they lie. AVX2 widens bf16 beside its products at no cost; for AVX-512
// that pays until most of the time is spent in the caches.
#if defined(__AVX512F__)
constexpr int64_t kFewQueries = 12 * kTileRows;
#elif defined(__AVX2__)
constexpr int64_t kFewQueries = kMaxQueries;
#else
constexpr int64_t kFewQueries = 2 * kTileRows;
#endif
// Values that stay in the first-level cache while all queries use them.
constexpr int64_t kRun = 64;
// How many products ahead memory is asked for. With 512 bits a product of few queries is shorter than memory is slow.
#if defined(__AVX512F__)
constexpr int64_t kProductsAhead = 2;
#else
constexpr int64_t kProductsAhead = 1;
#endif
// Floats from one query's scores to the next, not a power of two, which would bring them all to a few sets of the cache.
constexpr int64_t kScores = kSegment + kLanes;

struct Range {
  int64_t begin, end;
};

static inline int64_t within(int64_t x, int64_t limit) { return x < 0 ? 0 : x < limit ? x : limit; }

struct Job {
  const Tensor &q, &keys, &values, &keyScales, &valueScales, &tables, &sequences, &positions, &out;
  int64_t kvHeads, group, width, padded, blockSize, window;
  float scale;

  int64_t heads() const { return kvHeads * group; }
  int64_t position(int64_t row) const { return ((const int32_t*)positions.data)[row]; }
  int64_t sequence(int64_t row) const { return ((const int32_t*)sequences.data)[row]; }
  int64_t firstKey(int64_t position) const { return window > 0 && position + 1 > window ? position + 1 - window : 0; }
  // Keys of a segment that a row sees, counted from the segment's beginning.
  Range visible(int64_t position, int64_t segment) const {
    int64_t start = segment * kSegment;
    return {within(firstKey(position) - start, kSegment), within(position + 1 - start, kSegment)};
  }
};

// Rows of one sequence at consecutive positions (step 1), or rows that all see the same keys (step 0).
struct Block {
  int64_t row, rows, position, sequence, step;

  int64_t firstSegment(const Job& job) const { return job.firstKey(position) / kSegment; }
  int64_t at(int64_t r) const { return position + r * step; }
  int64_t last() const { return at(rows - 1); }
  int64_t lastSegment() const { return last() / kSegment; }
  // Keys of a segment that any of the rows sees.
  Range keys(const Job& job, int64_t segment) const {
    return {job.visible(position, segment).begin, job.visible(last(), segment).end};
  }
};

// Running softmax of some queries.
struct Sums {
  float *sums, *highest, *total;
};

// Scratch of one thread.
struct Work {
  float *queries, *scores, *panel, *keyScales, *valueScales;
  int32_t* slots;    // of the keys of a segment that the block sees
  Sums part, whole;  // of one segment, of all so far
};

static inline bool carve(const Job& job, int64_t rows, Context& context, Work* work) {
  int64_t queries = rows * job.group, states = (queries + kLanes - 1) / kLanes * kLanes;
  int64_t keyPanel = 2 * job.width * kLanes, valuePanel = kTileVectors * kSegment * kLanes;
  int64_t sizes[] = {queries * job.padded, queries * kScores, keyPanel > valuePanel ? keyPanel : valuePanel,
                     kSegment, kSegment, kSegment, queries * job.padded, queries * job.padded, states, states, states, states};
  float** places[] = {&work->queries, &work->scores, &work->panel, &work->keyScales, &work->valueScales,
                      (float**)&work->slots, &work->part.sums, &work->whole.sums, &work->part.highest, &work->part.total,
                      &work->whole.highest, &work->whole.total};
  size_t total = 0;
  for (int64_t size : sizes) total += (size_t)size;
  float* at = (float*)context.scratch(total * sizeof(float));
  if (!at) return false;
  for (int i = 0; i < 12; at += sizes[i++]) *places[i] = at;
  return true;
}

// Query row * group + head of the block, `width` floats each.
static inline void loadQueries(const Job& job, const Work& work, const Block& block, int64_t kvHead) {
  size_t bytes = (size_t)(job.group * job.width) * sizeof(float);
  for (int64_t r = 0; r < block.rows; r++)
    memcpy(work.queries + r * job.group * job.width,
           rowOf<const float>(job.q, block.row + r) + kvHead * job.group * job.width, bytes);
}

static inline void loadSlots(const Job& job, const Work& work, const Block& block, int64_t start, Range keys) {
  const int32_t* table = rowOf<const int32_t>(job.tables, block.sequence);
  // whole vectors of keys, since tiles are found by their first one; a tile lies within a block
  keys.begin = keys.begin / kLanes * kLanes;
  int64_t at = (start + keys.begin) / job.blockSize, offset = (start + keys.begin) % job.blockSize;
  for (int64_t j = keys.begin; j < keys.end; at++, offset = 0) {
    int32_t slot = (int32_t)(table[at] * job.blockSize + offset);
    for (; offset < job.blockSize && j < keys.end; offset++) work.slots[j++] = slot++;
  }
}

// Scales of keys, each at its place in the segment.
static inline void loadScales(const Work& work, const Tensor& scales, int64_t kvHead, Range keys, float* to) {
  if (scales.layout == Layout::kKeyTiles) {
    for (int64_t j = keys.begin / kLanes * kLanes; j < keys.end; j += kLanes)
      store(to + j, load(columnsOf<const float>(scales, work.slots[j], kvHead).at));
    return;
  }
  for (int64_t j = keys.begin; j < keys.end; j++) to[j] = rowOf<const float>(scales, work.slots[j])[kvHead];
}

// Keys [begin, end) of a vector of 16 as [width][16]; lanes of other keys are zeros or anything that was stored.
template <class T>
void widenKeys(const Job& job, const Work& work, int64_t column, Range keys, int64_t first, float* to) {
  if (job.keys.layout == Layout::kKeyTiles) {
    const T* from = columnsOf<const T>(job.keys, work.slots[first], column).at;
    for (int64_t i = 0; i < job.width * kLanes; i += kLanes) store(to + i, load(from + i));
    return;
  }
  for (int64_t j = 0; j < kLanes; j++) {
    bool used = first + j >= keys.begin && first + j < keys.end;
    const T* from = used ? rowOf<const T>(job.keys, work.slots[first + j]) + column : nullptr;
    for (int64_t c = 0; c < job.width; c++) to[c * kLanes + j] = used ? widen(from[c]) : 0.0f;
  }
}

// What the products over a few keys or over some columns of a few values read next.
template <class T>
Ahead keysAhead(const Job& job, const T* first, const T* second) {
  int64_t lines = job.width * kLanes * (int64_t)sizeof(T) / kLine;
  return {{(const char*)first, (const char*)second}, {lines, second ? lines : 0}, kLine};
}

template <class T>
Ahead valuesAhead(const Job& job, const T* rows, int64_t column, int64_t count) {
  constexpr int64_t kBytes = 2 * kLanes * (int64_t)sizeof(T);
  const char* at = (const char*)(rows + column);
  if (column * (int64_t)sizeof(T) % kLine) count = 0;  // came with the line before
  return {{at, at + kLine}, {count, kBytes > kLine ? count : 0}, job.values.stride * (int64_t)sizeof(T)};
}

// Key after those from `begin` on whose values follow one another in memory, at most `end`.
static inline int64_t endOfRun(const Job& job, const Work& work, int64_t start, int64_t begin, int64_t end) {
  if (end > begin + kRun) end = begin + kRun;
  int64_t at = begin + job.blockSize - (start + begin) % job.blockSize;
  while (at < end && work.slots[at] == work.slots[at - 1] + 1) at += job.blockSize;
  return at < end ? at : end;
}

// scores[q][j] = chain over the columns of query q and key j, for whole vectors of keys that reach into `keys`.
template <class T>
void scoreKeys(const Job& job, const Work& work, const Block& block, int64_t kvHead, int64_t start, Range keys, bool direct) {
  int64_t column = kvHead * job.width, queries = block.rows * job.group;
  auto tile = [&](int64_t key) { return columnsOf<const T>(job.keys, work.slots[key], column).at; };
  // what the product reads that begins at key `first`, or those after the last one, over the first values
  auto later = [&](int64_t first) {
    if (first < keys.end) return keysAhead<T>(job, tile(first), first + kLanes < keys.end ? tile(first + kLanes) : nullptr);
    Range run = {keys.begin, endOfRun(job, work, start, keys.begin, keys.end)};
    int64_t product = (first - keys.end) / (2 * kLanes), most = (job.width - 1) / (2 * kLanes);
    return valuesAhead<T>(job, rowOf<const T>(job.values, work.slots[run.begin]) + column,
                          (product < most ? product : most) * 2 * kLanes, run.end - run.begin);
  };
  for (int64_t first = keys.begin / kLanes * kLanes; first < keys.end; first += 2 * kLanes) {
    int vectors = first + kLanes < keys.end ? 2 : 1;
    float* scores = work.scores + first;
    if (direct) {
      Ahead ahead = later(first + kProductsAhead * 2 * kLanes);
      Lanes<T> b{{tile(first), vectors == 2 ? tile(first + kLanes) : nullptr}, vectors, kLanes};
      multiplyAll(queries, work.queries, job.width, b, job.width, scores, kScores, true, ahead);
      continue;
    }
    float* second = work.panel + job.width * kLanes;
    widenKeys<T>(job, work, column, keys, first, work.panel);
    if (vectors == 2) widenKeys<T>(job, work, column, keys, first + kLanes, second);
    Ahead none;
    multiplyAll(queries, work.queries, job.width, Lanes<float>{{work.panel, second}, vectors, kLanes}, job.width, scores,
                kScores, true, none);
  }
}

// Turns the scores of the keys that a query sees into weights.
static inline void softmax(const Job& job, const Work& work, int64_t query, Range keys) {
  float* scores = work.scores + query * kScores;
  bool scaled = job.keyScales.data;
  int64_t first = keys.begin / kLanes * kLanes;
  V scale = set1(job.scale), highest = set1(-INFINITY), total = zero();
  for (int64_t c = first; c < keys.end; c += kLanes) {
    V score = load(scores + c);
    if (scaled) score = mul(score, load(work.keyScales + c));
    score = mul(score, scale);
    store(scores + c, score);
    if (c < keys.begin || c + kLanes > keys.end) {
      // slots that the query does not see may hold anything
      for (int64_t j = c; j < c + kLanes; j++)
        if (j < keys.begin || j >= keys.end) scores[j] = -INFINITY;
      score = load(scores + c);
    }
    highest = max(score, highest);
  }
  work.part.highest[query] = maxLane(highest);
  V shift = set1(work.part.highest[query]);
  for (int64_t c = first; c < keys.end; c += kLanes) {
    V weight = exponentialOfNegative(sub(load(scores + c), shift));
    total = add(total, weight);
    store(scores + c, scaled ? mul(weight, load(work.valueScales + c)) : weight);
  }
  work.part.total[query] = sum(total);
}

// Calls body(first, last, keys) for the keys that the queries [begin, end) see, ascending, with those that see them.
template <class F>
SLIPWAY_INLINE void forEachRange(const Job& job, const Block& block, int64_t segment, int64_t begin, int64_t end, F body) {
  auto seen = [&](int64_t q) { return job.visible(block.at(q / job.group), segment); };
  int64_t first = begin, last = begin;  // queries [first, last) see the next key: both ends move up with the rows
  for (int64_t key = seen(begin).begin;;) {
    while (first < end && seen(first).end <= key) first++;
    while (last < end && seen(last).begin <= key) last++;
    if (first == end) return;
    int64_t stop = seen(first).end;
    if (last < end && seen(last).begin < stop) stop = seen(last).begin;
    if (first < last) body(first, last, Range{key, stop});
    key = stop;
  }
}

// sums[q] = chain of weight * value over the keys that query q sees.
template <class T>
void weighValues(const Job& job, const Work& work, const Block& block, int64_t kvHead, int64_t segment, Range keys) {
  int64_t column = kvHead * job.width, queries = block.rows * job.group;
  int64_t tiles = (queries + kTileRows - 1) / kTileRows;
  Ahead none;
  for (int64_t c = 0; c < job.width; c += kTileVectors * kLanes) {
    int vectors = kTileVectors == 2 && c + kLanes < job.width ? 2 : 1;
    for (int64_t j = keys.begin; j < keys.end; j++) {
      const T* from = rowOf<const T>(job.values, work.slots[j]) + column + c;
      for (int v = 0; v < vectors; v++)
        store(work.panel + (v * kSegment + j) * kLanes, loadPartial(from + v * kLanes, job.width - c - v * kLanes));
    }
    for (int64_t t = 0; t < tiles; t++) {
      forEachRange(job, block, segment, queries * t / tiles, queries * (t + 1) / tiles,
                   [&](int64_t first, int64_t last, Range seen) {
        const float *one = work.panel + seen.begin * kLanes, *two = one + kSegment * kLanes;
        multiplyRows(last - first, work.scores + first * kScores + seen.begin, kScores, Lanes<float>{{one, two}, vectors, kLanes},
                     seen.end - seen.begin, work.part.sums + first * job.padded + c, job.padded, false, none, Pace{kSegment, 0});
      });
    }
  }
}

// The same from the values where they lie.
template <class T>
void weighValuesDirectly(const Job& job, const Work& work, const Block& block, int64_t kvHead, int64_t segment) {
  int64_t column = kvHead * job.width, start = segment * kSegment;
  auto row = [&](int64_t key) { return rowOf<const T>(job.values, work.slots[key]) + column; };
  // the keys of the next segment's products
  auto keysOf = [&](int64_t product) {
    if (segment == block.lastSegment()) return Ahead{};
    const int32_t* table = rowOf<const int32_t>(job.tables, block.sequence);
    auto tile = [&](int64_t key) -> const T* {
      if (key > block.last()) return nullptr;
      int64_t slot = table[key / job.blockSize] * job.blockSize + key % job.blockSize;
      return columnsOf<const T>(job.keys, slot, column).at;
    };
    int64_t key = start + kSegment + product * 2 * kLanes;
    return key <= block.last() ? keysAhead<T>(job, tile(key), tile(key + kLanes)) : Ahead{};
  };
  int64_t products = (job.width + 2 * kLanes - 1) / (2 * kLanes);  // of a run
  forEachRange(job, block, segment, 0, block.rows * job.group, [&](int64_t first, int64_t last, Range seen) {
    auto runFrom = [&](int64_t key) { return Range{key, endOfRun(job, work, start, key, seen.end)}; };
    // what a product of this run reads, or of those after it
    auto later = [&](Range run, int64_t product) {
      for (; product >= products; product -= products) {
        if (run.end == seen.end) return keysOf(product - products);
        run = runFrom(run.end);
      }
      return valuesAhead<T>(job, row(run.begin), product * 2 * kLanes, run.end - run.begin);
    };
    for (Range run = runFrom(seen.begin); run.begin < seen.end; run = runFrom(run.end)) {
      for (int64_t product = 0; product < products; product++) {
        int64_t c = product * 2 * kLanes;
        const T* values = row(run.begin) + c;
        Ahead ahead = later(run, product + kProductsAhead);
        Lanes<T> b{{values, values + kLanes}, c + kLanes < job.width ? 2 : 1, job.values.stride};
        multiplyAll(last - first, work.scores + first * kScores + run.begin, kScores, b, run.end - run.begin,
                    work.part.sums + first * job.padded + c, job.padded, false, ahead);
      }
    }
  });
}

// Fills work.part for the queries of a block, of those that see keys of the segment.
template <class T>
void attendSegment(const Job& job, const Work& work, const Block& block, int64_t kvHead, int64_t segment) {
  Range keys = block.keys(job, segment);
  int64_t queries = block.rows * job.group;
  bool direct = job.keys.layout == Layout::kKeyTiles && job.width % kLanes == 0 && queries <= kFewQueries;
  loadSlots(job, work, block, segment * kSegment, keys);
  if (job.keyScales.data) {
    loadScales(work, job.keyScales, kvHead, keys, work.keyScales);
    loadScales(work, job.valueScales, kvHead, keys, work.valueScales);
  }
  scoreKeys<T>(job, work, block, kvHead, segment * kSegment, keys, direct);
  for (int64_t q = 0; q < queries; q++) {
    Range seen = job.visible(block.at(q / job.group), segment);
    if (seen.begin < seen.end) softmax(job, work, q, seen);
  }
  for (int64_t i = 0; i < queries * job.padded; i += kLanes) store(work.part.sums + i, zero());
  if (direct) weighValuesDirectly<T>(job, work, block, kvHead, segment);
  else weighValues<T>(job, work, block, kvHead, segment, keys);
}

// Brings the part of a segment into the whole of query q; `first` starts it.
static inline void fold(int64_t count, bool first, const float* sums, float highest, float total, const Sums& whole, int64_t q) {
  float* to = whole.sums + q * count;
  if (first) {
    memcpy(to, sums, (size_t)count * sizeof(float));
    whole.highest[q] = highest, whole.total[q] = total;
    return;
  }
  float before = whole.highest[q], top = before > highest ? before : highest;
  float shifts[kLanes] = {before - top, highest - top};
  store(shifts, exponentialOfNegative(load(shifts)));
  V keep = set1(shifts[0]), take = set1(shifts[1]);
  for (int64_t c = 0; c < count; c += kLanes) store(to + c, fma(load(sums + c), take, mul(load(to + c), keep)));
  whole.total[q] = whole.total[q] * shifts[0] + total * shifts[1];
  whole.highest[q] = top;
}

}  // namespace slipway::SLIPWAY_TARGET

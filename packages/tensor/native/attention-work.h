// Attention of a block of rows over one segment of keys, for all query heads of a key head.
#pragma once

#include <math.h>

#include "attention-tile.h"
#include "kv-cache.h"

namespace slipway::SLIPWAY_TARGET {

constexpr int64_t kSegment = 256;
// Queries (rows x heads of a group) that share widened keys and values.
constexpr int64_t kMaxQueries = 128;
// Up to so many queries read keys and values where they lie.
constexpr int64_t kFewQueries = 2 * kTileRows;

constexpr int64_t kLine = 64;  // bytes that memory is asked for at once

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
  int64_t sizes[] = {queries * job.padded, queries * kSegment, keyPanel > valuePanel ? keyPanel : valuePanel,
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

// scores[q][j] = chain over the columns of query q and key j, for whole vectors of keys that reach into `keys`.
template <class T>
void scoreKeys(const Job& job, const Work& work, const Block& block, int64_t kvHead, Range keys, bool direct) {
  int64_t column = kvHead * job.width, queries = block.rows * job.group;
  auto tile = [&](int64_t key) { return columnsOf<const T>(job.keys, work.slots[key], column).at; };
  for (int64_t first = keys.begin / kLanes * kLanes; first < keys.end; first += 2 * kLanes) {
    int vectors = first + kLanes < keys.end ? 2 : 1;
    float* scores = work.scores + first;
    if (direct) {
      Lanes<T> b{{tile(first), vectors == 2 ? tile(first + kLanes) : nullptr}, vectors, kLanes, {}, kLanes};
      // the next keys, or after the last ones the first values
      bool last = first + 2 * kLanes >= keys.end;
      const T* values = rowOf<const T>(job.values, work.slots[keys.begin]) + column;
      for (int i = 0; i < 2; i++) {
        int64_t next = first + (2 + i) * kLanes;
        b.ahead[i] = last ? values + i * (kLine / (int64_t)sizeof(T)) : next < keys.end ? tile(next) : b.at[0];
      }
      if (last) b.aheadStep = job.values.stride;
      multiplyAll(queries, work.queries, job.width, b, job.width, scores, kSegment, true);
      continue;
    }
    float* second = work.panel + job.width * kLanes;
    widenKeys<T>(job, work, column, keys, first, work.panel);
    if (vectors == 2) widenKeys<T>(job, work, column, keys, first + kLanes, second);
    Lanes<float> b{{work.panel, second}, vectors, kLanes, {work.panel, second}, kLanes};
    multiplyAll(queries, work.queries, job.width, b, job.width, scores, kSegment, true);
  }
}

// Turns the scores of the keys that a query sees into weights.
static inline void softmax(const Job& job, const Work& work, int64_t query, Range keys) {
  float* scores = work.scores + query * kSegment;
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
    V weight = exponential(sub(load(scores + c), shift));
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
void weighValues(const Job& job, const Work& work, const Block& block, int64_t kvHead, int64_t segment, Range keys, bool direct) {
  int64_t column = kvHead * job.width, queries = block.rows * job.group, start = segment * kSegment;
  const T* nextKeys[2] = {};
  if (direct && segment < block.lastSegment()) {
    const int32_t* table = rowOf<const int32_t>(job.tables, block.sequence);
    for (int i = 0; i < 2; i++) {
      int64_t key = start + kSegment + i * kLanes, slot = table[key / job.blockSize] * job.blockSize + key % job.blockSize;
      if (i == 0 || key <= block.last()) nextKeys[i] = columnsOf<const T>(job.keys, slot, column).at;
      else nextKeys[i] = nextKeys[0];
    }
  }
  int64_t tiles = (queries + kTileRows - 1) / kTileRows, stride = job.values.stride;
  for (int64_t i = 0; i < queries * job.padded; i += kLanes) store(work.part.sums + i, zero());

  if (direct) {
    forEachRange(job, block, segment, 0, queries, [&](int64_t first, int64_t last, Range seen) {
      for (Range run = seen; run.begin < seen.end; run.begin = run.end) {
        int64_t left = job.blockSize - (start + run.begin) % job.blockSize;
        run.end = run.begin + left < seen.end ? run.begin + left : seen.end;
        const T* values = rowOf<const T>(job.values, work.slots[run.begin]) + column;
        bool lastRun = run.end == seen.end;
        const T* next = lastRun ? values : rowOf<const T>(job.values, work.slots[run.end]) + column;
        for (int64_t c = 0; c < job.width; c += 2 * kLanes) {
          int vectors = c + kLanes < job.width ? 2 : 1;
          Lanes<T> b{{values + c, values + c + kLanes}, vectors, stride, {next + c, next + c + kLanes}, stride};
          // after the last values the first keys of the next segment
          if (lastRun && c == 0 && nextKeys[0]) b.ahead[0] = nextKeys[0], b.ahead[1] = nextKeys[1], b.aheadStep = kLanes;
          multiplyAll(last - first, work.scores + first * kSegment + run.begin, kSegment, b, run.end - run.begin,
                      work.part.sums + first * job.padded + c, job.padded, false);
        }
      }
    });
    return;
  }
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
        Lanes<float> b{{one, two}, vectors, kLanes, {one, two}, kLanes};
        multiplyRows(last - first, work.scores + first * kSegment + seen.begin, kSegment, b, seen.end - seen.begin,
                     work.part.sums + first * job.padded + c, job.padded, false);
      });
    }
  }
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
  scoreKeys<T>(job, work, block, kvHead, keys, direct);
  for (int64_t q = 0; q < queries; q++) {
    Range seen = job.visible(block.at(q / job.group), segment);
    if (seen.begin < seen.end) softmax(job, work, q, seen);
  }
  weighValues<T>(job, work, block, kvHead, segment, keys, direct);
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
  store(shifts, exponential(load(shifts)));
  V keep = set1(shifts[0]), take = set1(shifts[1]);
  for (int64_t c = 0; c < count; c += kLanes) store(to + c, fma(load(sums + c), take, mul(load(to + c), keep)));
  whole.total[q] = whole.total[q] * shifts[0] + total * shifts[1];
  whole.highest[q] = top;
}

}  // namespace slipway::SLIPWAY_TARGET

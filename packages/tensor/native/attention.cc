// Causal attention over paged keys and values. One item of work is one row and one key head with all its query heads.
// Keys are visited in tiles of 32 by absolute position with an online softmax (Milakov and Gimelshein 2018), so the
// result does not depend on block size, block placement, chunking or batch.
#include <math.h>

#include "ops.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

constexpr int kTileKeys = 32;

struct Job {
  const Tensor &q, &keys, &values, &tables, &sequences, &positions, &out;
  int64_t heads, kvHeads, group, width, padded, blockSize, window;
  float scale;
};

// Scratch of one thread, carved from one piece: rows padded with zeros to whole vectors.
struct Work {
  float *query, *keys, *values, *scores, *sums, *total, *highest;
};

int64_t roundUp(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

bool carve(const Job& job, Context& context, Work* work) {
  int64_t rows = job.group * job.padded, tile = kTileKeys * job.padded, states = roundUp(job.group);
  float* p = (float*)context.scratch((size_t)(2 * rows + 2 * tile + job.group * kTileKeys + 2 * states) * sizeof(float));
  if (!p) return false;
  work->query = p;
  work->sums = p += rows;
  work->keys = p += rows;
  work->values = p += tile;
  work->scores = p += tile;
  work->total = p += job.group * kTileKeys;
  work->highest = p + states;
  return true;
}

// Keys or values [begin, end) of a tile as f32 rows of `padded` columns.
template <class T>
void gather(const Job& job, const Tensor& cache, const int32_t* table, int64_t tile, int64_t begin, int64_t end,
            int64_t column, float* to) {
  for (int64_t j = begin; j < end; j++) {
    int64_t position = tile + j;
    int64_t slot = (int64_t)table[position / job.blockSize] * job.blockSize + position % job.blockSize;
    const T* from = rowOf<const T>(cache, slot) + column;
    for (int64_t c = 0; c < job.width; c += kLanes)
      store(to + j * job.padded + c, loadPartial(from + c, job.width - c));
  }
}

// scores[g][j] = scale * dot(query g, key j); positions outside [begin, end) get -infinity.
void scoreTile(const Job& job, const Work& work, int64_t begin, int64_t end) {
  V scale = set1(job.scale);
  for (int64_t g = 0; g < job.group; g++) {
    const float* query = work.query + g * job.padded;
    float* scores = work.scores + g * kTileKeys;
    for (int64_t half = 0; half < kTileKeys; half += kLanes) {
      if (half >= end || half + kLanes <= begin) {
        store(scores + half, set1(-INFINITY));
        continue;
      }
      V dots[kLanes];
      for (int j = 0; j < kLanes; j += 4) {
        const float* keys = work.keys + (half + j) * job.padded;
        V a = zero(), b = zero(), c = zero(), d = zero();
        for (int64_t i = 0; i < job.padded; i += kLanes) {
          V x = load(query + i);
          a = fma(x, load(keys + i), a);
          b = fma(x, load(keys + job.padded + i), b);
          c = fma(x, load(keys + 2 * job.padded + i), c);
          d = fma(x, load(keys + 3 * job.padded + i), d);
        }
        dots[j] = a, dots[j + 1] = b, dots[j + 2] = c, dots[j + 3] = d;
      }
      store(scores + half, mul(sumEach(dots), scale));
      // rows that were not gathered hold the dots of stale keys
      for (int64_t j = half; j < half + kLanes; j++)
        if (j < begin || j >= end) scores[j] = -INFINITY;
    }
  }
}

// Turns the scores of a tile into weights and brings the running sums to the new maximum.
void softmaxTile(const Job& job, const Work& work) {
  for (int64_t g = 0; g < job.group; g++) {
    float* scores = work.scores + g * kTileKeys;
    V a = load(scores), b = load(scores + kLanes);
    float before = work.highest[g], tileMax = maxLane(max(a, b));
    float highest = before > tileMax ? before : tileMax;
    V shift = set1(highest);
    a = exponential(sub(a, shift));
    b = exponential(sub(b, shift));
    store(scores, a);
    store(scores + kLanes, b);
    float added = sum(add(a, b));
    if (before == highest) {
      work.total[g] += added;
      continue;
    }
    // the first tile has nothing to correct: its sums are zeros
    float lanes[kLanes];
    store(lanes, exponential(set1(before - highest)));
    work.total[g] = work.total[g] * lanes[0] + added;
    V correction = set1(lanes[0]);
    float* sums = work.sums + g * job.padded;
    for (int64_t c = 0; c < job.padded; c += kLanes) store(sums + c, mul(load(sums + c), correction));
    work.highest[g] = highest;
  }
}

// sums[g] += weights[g][j] * values[j] for j ascending, kept in registers for C vectors of columns.
template <int C>
SLIPWAY_INLINE void addValues(const float* weights, const float* values, int64_t stride, int64_t begin, int64_t end,
                              float* sums) {
  V acc[C];
  SLIPWAY_UNROLL
  for (int c = 0; c < C; c++) acc[c] = load(sums + c * kLanes);
  for (int64_t j = begin; j < end; j++) {
    V weight = set1(weights[j]);
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) acc[c] = fma(weight, load(values + j * stride + c * kLanes), acc[c]);
  }
  SLIPWAY_UNROLL
  for (int c = 0; c < C; c++) store(sums + c * kLanes, acc[c]);
}

void weighTile(const Job& job, const Work& work, int64_t begin, int64_t end) {
  for (int64_t g = 0; g < job.group; g++) {
    const float* weights = work.scores + g * kTileKeys;
    float* sums = work.sums + g * job.padded;
    int64_t c = 0;
    for (; c + 4 * kLanes <= job.padded; c += 4 * kLanes)
      addValues<4>(weights, work.values + c, job.padded, begin, end, sums + c);
    for (; c < job.padded; c += kLanes) addValues<1>(weights, work.values + c, job.padded, begin, end, sums + c);
  }
}

template <class T>
void attend(const Job& job, const Work& work, int64_t row, int64_t kvHead) {
  const int32_t* table = rowOf<const int32_t>(job.tables, ((const int32_t*)job.sequences.data)[row]);
  int64_t last = ((const int32_t*)job.positions.data)[row];
  int64_t first = job.window > 0 && last + 1 > job.window ? last + 1 - job.window : 0;
  int64_t headColumn = kvHead * job.group * job.width, kvColumn = kvHead * job.width;

  const float* q = rowOf<const float>(job.q, row) + headColumn;
  for (int64_t g = 0; g < job.group; g++) {
    for (int64_t c = 0; c < job.width; c += kLanes)
      store(work.query + g * job.padded + c, loadPartial(q + g * job.width + c, job.width - c));
    for (int64_t c = 0; c < job.padded; c += kLanes) store(work.sums + g * job.padded + c, zero());
    work.total[g] = 0;
    work.highest[g] = -INFINITY;
  }
  for (int64_t tile = first / kTileKeys * kTileKeys; tile <= last; tile += kTileKeys) {
    int64_t begin = first > tile ? first - tile : 0;
    int64_t end = last - tile + 1 < kTileKeys ? last - tile + 1 : kTileKeys;
    gather<T>(job, job.keys, table, tile, begin, end, kvColumn, work.keys);
    gather<T>(job, job.values, table, tile, begin, end, kvColumn, work.values);
    scoreTile(job, work, begin, end);
    softmaxTile(job, work);
    weighTile(job, work, begin, end);
  }
  float* out = rowOf<float>(job.out, row) + headColumn;
  for (int64_t g = 0; g < job.group; g++) {
    V total = set1(work.total[g]);
    for (int64_t c = 0; c < job.width; c += kLanes)
      storePartial(out + g * job.width + c, div(load(work.sums + g * job.padded + c), total), job.width - c);
  }
}

// Every index that row uses, before anything is read through it. The tables may have unused entries of any value.
bool checkRow(const Job& job, int64_t row, Context& context) {
  int32_t sequence = ((const int32_t*)job.sequences.data)[row];
  if (sequence < 0 || sequence >= job.tables.rows) return context.fail(Code::kOutOfRange, sequence), false;
  int32_t position = ((const int32_t*)job.positions.data)[row];
  if (position < 0 || position / job.blockSize >= job.tables.cols)
    return context.fail(Code::kOutOfRange, position), false;
  int64_t first = job.window > 0 && position + 1 > job.window ? position + 1 - job.window : 0;
  const int32_t* table = rowOf<const int32_t>(job.tables, sequence);
  for (int64_t b = first / job.blockSize; b <= position / job.blockSize; b++)
    if (table[b] < 0 || table[b] >= job.keys.dims[0]) return context.fail(Code::kOutOfRange, table[b]), false;
  return true;
}

// Tiles that row visits: the measure by which rows are shared out. Faulty rows count little, they are reported later.
int64_t tilesOf(const Job& job, int64_t row) {
  int64_t last = ((const int32_t*)job.positions.data)[row];
  int64_t keys = job.window > 0 && last + 1 > job.window ? job.window : last + 1;
  return 1 + (keys > 0 ? keys / kTileKeys : 0);
}

template <class T>
void attendAll(const Job& job, Context& context) {
  Work work;
  if (!carve(job, context, &work)) return;
  int64_t total = 0, passed = 0, checked = -1;
  for (int64_t r = 0; r < job.q.rows; r++) total += tilesOf(job, r) * job.kvHeads;
  Share share = shareOf(total, context);
  for (int64_t r = 0; r < job.q.rows && passed < share.end; r++) {
    int64_t cost = tilesOf(job, r);
    for (int64_t head = 0; head < job.kvHeads; head++, passed += cost) {
      // an item belongs to the thread in whose share it begins
      if (passed < share.begin || passed >= share.end) continue;
      if (checked != r && !checkRow(job, r, context)) return;
      checked = r;
      attend<T>(job, work, r, head);
    }
  }
}

}  // namespace

void attention(const Step& step, Context& context) {
  const Tensor* t = step.tensors;
  int64_t heads = (int64_t)step.attributes[0], kvHeads = (int64_t)step.attributes[1];
  if (kvHeads <= 0 || heads <= 0 || heads % kvHeads != 0 || t[1].dims[1] <= 0) return context.fail(Code::kMalformed);
  int64_t width = t[0].cols / heads;
  if (width * kvHeads != t[1].cols || t[1].cols != t[2].cols || t[1].rows != t[2].rows)
    return context.fail(Code::kMalformed);
  Job job{t[0], t[1], t[2], t[3], t[4], t[5], t[6], heads, kvHeads, heads / kvHeads, width, roundUp(width), t[1].dims[1],
          (int64_t)step.attributes[3], (float)step.attributes[2]};
  switch (t[1].dtype) {
    case DType::kF32: return attendAll<float>(job, context);
    case DType::kBf16: return attendAll<Bf16>(job, context);
    case DType::kF16: return attendAll<F16>(job, context);
    default: return context.fail(Code::kUnsupported);
  }
}

}  // namespace slipway::SLIPWAY_TARGET

// What adapters add to the results of a product: y += scale * up (down x), with the matrices of each row's adapter. Rows
// are taken by adapter, so that its matrices are read once for a tile of them. Every sum is one chain of fma, over
// ascending columns and then over ascending ranks, whichever rows share the tile.
#include "results.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

constexpr int kMaxParts = 3;

struct LoraWork {
  const Tensor &y, &x, &ids, &down, &up, &ranks, &scales;
  int64_t maxRank;
  int64_t parts = 0, widths[kMaxParts];
  // made by `group`
  int32_t* starts = nullptr;  // [places + 1]
  int32_t* order = nullptr;   // rows with an adapter, by adapter
  int64_t unknown = 0;

  explicit LoraWork(const Step& step)
      : y(step.tensors[0]), x(step.tensors[1]), ids(step.tensors[2]), down(step.tensors[3]), up(step.tensors[4]),
        ranks(step.tensors[5]), scales(step.tensors[6]), maxRank((int64_t)step.attributes[0]) {
    for (int p = 0; p < kMaxParts; p++)
      if (step.attributes[1 + p] > 0) widths[parts++] = (int64_t)step.attributes[1 + p];
  }

  int64_t rows() const { return y.rows; }
  int64_t places() const { return down.rows; }
  // elements of a row between the two products
  int64_t hiddenCols() const { return parts * maxRank; }
  int64_t rankOf(int64_t place, int64_t part) const { return rowOf<const int32_t>(ranks, place)[part]; }
  static int64_t tilesOf(int64_t n) { return (n + kLanes - 1) / kLanes; }

  bool valid() const {
    int64_t width = 0, upSize = 0;
    for (int64_t p = 0; p < parts; p++) width += widths[p], upSize += tilesOf(widths[p]) * kLanes * maxRank;
    return maxRank >= 0 && y.cols == width && x.rows == rows() && ids.cols == rows() && up.cols == upSize &&
           down.cols == parts * tilesOf(maxRank) * kLanes * x.cols && up.rows == places() && ranks.rows == places() &&
           scales.rows == places() && ranks.cols == parts && scales.cols == parts && up.dtype == down.dtype;
  }

  int64_t bytesOfGroups() const { return (places() + 1 + rows()) * (int64_t)sizeof(int32_t); }
  // Sorts the rows by adapter; false when an id or a rank is none, which is then `unknown`.
  bool group(void* memory) {
    const int32_t* id = (const int32_t*)ids.data;
    starts = (int32_t*)memory;
    order = starts + places() + 1;
    for (int64_t s = 0; s <= places(); s++) starts[s] = 0;
    for (int64_t r = 0; r < rows(); r++) {
      if (id[r] < -1 || id[r] >= places()) return unknown = id[r], false;
      if (id[r] >= 0) starts[id[r]]++;
    }
    for (int64_t s = 0; s < places(); s++) {
      for (int64_t p = 0; p < parts && starts[s] > 0; p++)
        if (rankOf(s, p) < 0 || rankOf(s, p) > maxRank) return unknown = rankOf(s, p), false;
    }
    for (int64_t s = 0; s < places(); s++) starts[s + 1] += starts[s];
    for (int64_t r = rows() - 1; r >= 0; r--)
      if (id[r] >= 0) order[--starts[id[r]]] = (int32_t)r;
    return true;
  }

  // Where a vector of ranks or outputs of a part lies.
  struct Tile {
    int64_t part, first, count;
  };
  // Vectors of the ranks (or outputs) of all parts that the adapter has.
  int64_t numTiles(int64_t place, bool ofRanks) const {
    int64_t total = 0;
    for (int64_t p = 0; p < parts; p++)
      if (int64_t rank = rankOf(place, p)) total += tilesOf(ofRanks ? rank : widths[p]);
    return total;
  }
  Tile tileAt(int64_t place, int64_t i, bool ofRanks) const {
    for (int64_t p = 0;; p++) {
      int64_t rank = rankOf(place, p), size = ofRanks ? rank : widths[p], tiles = rank ? tilesOf(size) : 0;
      if (i < tiles) return {p, i * kLanes, min64(kLanes, size - i * kLanes)};
      i -= tiles;
    }
  }

  // Calls body(place, rows, count, tile, end) for this thread's share: up to kTileRows rows of one adapter, which meet
  // its vectors [tile, end). A vector of a tile of rows costs about `cost` elements of 16 columns.
  template <class F>
  void forEachTile(bool ofRanks, int64_t cost, Context& context, F body) const {
    constexpr int64_t kElements = 4096;
    int64_t total = 0;
    for (int64_t s = 0; s < places(); s++) total += itemsOf(s, ofRanks);
    context.divide(total, kElements / (cost > 0 ? cost : 1));
    for (Share chunk; context.take(&chunk);) {
      int64_t at = 0;
      for (int64_t s = 0; s < places() && at < chunk.end; s++) {
        int64_t items = itemsOf(s, ofRanks), tiles = items ? numTiles(s, ofRanks) : 1;
        int64_t begin = chunk.begin > at ? chunk.begin - at : 0, end = min64(items, chunk.end - at);
        at += items;
        while (begin < end) {
          int64_t block = begin / tiles, tile = begin % tiles, count = min64(tiles - tile, end - begin);
          int64_t first = starts[s] + block * kTileRows;
          body(s, order + first, min64(kTileRows, starts[s + 1] - first), tile, tile + count);
          begin += count;
        }
      }
    }
  }

 private:
  int64_t itemsOf(int64_t place, bool ofRanks) const {
    int64_t count = starts[place + 1] - starts[place];
    return count ? (count + kTileRows - 1) / kTileRows * numTiles(place, ofRanks) : 0;
  }
};

// Matrices of many adapters come from memory in runs too short for the processor to guess what is next.
constexpr int64_t kAhead = 2048;
template <class T>
SLIPWAY_INLINE void askFor(const T* w) {
  __builtin_prefetch((const char*)w + kAhead);
}

// A tile's sums: M rows by a matrix of which 16 columns lie as [count][16].
template <int M, class T>
SLIPWAY_INLINE void multiply(const T* w, const float* const* x, int64_t count, V* sums) {
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) sums[m] = zero();
  for (int64_t k = 0; k < count; k++, w += kLanes) {
    if constexpr (M <= 2) askFor(w);
    V weights = load(w);
    SLIPWAY_UNROLL
    for (int m = 0; m < M; m++) sums[m] = fma(weights, set1(x[m][k]), sums[m]);
  }
}

// One row by two such runs of columns, since the chain of one leaves a core waiting.
template <class T>
SLIPWAY_INLINE void multiplyPair(const T* w, const T* other, const float* x, int64_t count, V* sums) {
  sums[0] = sums[1] = zero();
  for (int64_t k = 0; k < count; k++) {
    V value = set1(x[k]);
    askFor(w + k * kLanes);
    askFor(other + k * kLanes);
    sums[0] = fma(load(w + k * kLanes), value, sums[0]);
    sums[1] = fma(load(other + k * kLanes), value, sums[1]);
  }
}

template <class T, int M = kTileRows>
SLIPWAY_INLINE void multiplyRows(int64_t rows, const T* w, const float* const* x, int64_t count, V* sums) {
  if constexpr (M > 1) {
    if (rows < M) return multiplyRows<T, M - 1>(rows, w, x, count, sums);
  }
  multiply<M>(w, x, count, sums);
}

// hidden = down x
template <class T>
void multiplyDown(const LoraWork& work, float* hidden, Context& context) {
  int64_t K = work.x.cols;
  auto matrixOf = [&](int64_t place, const LoraWork::Tile& tile) {
    return rowOf<const T>(work.down, place) + (tile.part * LoraWork::tilesOf(work.maxRank) * kLanes + tile.first) * K;
  };
  auto put = [&](int32_t row, const LoraWork::Tile& tile, V sums) {
    storePartial(hidden + row * work.hiddenCols() + tile.part * work.maxRank + tile.first, sums, tile.count);
  };
  work.forEachTile(true, K, context, [&](int64_t place, const int32_t* rows, int64_t count, int64_t tile, int64_t end) {
    const float* x[kTileRows];
    for (int64_t m = 0; m < count; m++) x[m] = rowOf<const float>(work.x, rows[m]);
    V sums[kTileRows > 2 ? kTileRows : 2];
    for (; tile < end; tile++) {
      LoraWork::Tile at = work.tileAt(place, tile, true);
      if (count == 1 && tile + 1 < end) {
        LoraWork::Tile next = work.tileAt(place, ++tile, true);
        multiplyPair(matrixOf(place, at), matrixOf(place, next), x[0], K, sums);
        put(rows[0], at, sums[0]);
        put(rows[0], next, sums[1]);
        continue;
      }
      multiplyRows(count, matrixOf(place, at), x, K, sums);
      for (int64_t m = 0; m < count; m++) put(rows[m], at, sums[m]);
    }
  });
}

// y += scale * up hidden
template <class T>
void multiplyUp(const LoraWork& work, const float* hidden, Context& context) {
  work.forEachTile(false, work.maxRank, context, [&](int64_t place, const int32_t* rows, int64_t count, int64_t tile, int64_t end) {
    V sums[kTileRows > 2 ? kTileRows : 2];
    for (; tile < end; tile++) {
      LoraWork::Tile at = work.tileAt(place, tile, false);
      int64_t rank = work.rankOf(place, at.part), start = 0, column = at.first;
      for (int64_t p = 0; p < at.part; p++) {
        start += LoraWork::tilesOf(work.widths[p]) * kLanes * work.maxRank;
        column += work.widths[p];
      }
      const float* x[kTileRows];
      for (int64_t m = 0; m < count; m++) x[m] = hidden + rows[m] * work.hiddenCols() + at.part * work.maxRank;
      const T* w = rowOf<const T>(work.up, place) + start + at.first * rank;
      V scale = set1(rowOf<const float>(work.scales, place)[at.part]);
      auto add = [&](int64_t m, int64_t first, int64_t n, V sum) {
        float* to = rowOf<float>(work.y, rows[m]) + column + first;
        storePartial(to, fma(sum, scale, loadPartial(to, n)), n);
      };
      int64_t left = work.widths[at.part] - at.first - kLanes;
      if (count == 1 && tile + 1 < end && left > 0) {
        multiplyPair(w, w + rank * kLanes, x[0], rank, sums);
        add(0, 0, kLanes, sums[0]);
        add(0, kLanes, min64(kLanes, left), sums[1]);
        tile++;
        continue;
      }
      multiplyRows(count, w, x, rank, sums);
      for (int64_t m = 0; m < count; m++) add(m, 0, at.count, sums[m]);
    }
  });
}

template <class T>
void addAll(LoraWork& work, Context& context) {
  void* memory = context.scratch((size_t)work.bytesOfGroups());
  float* hidden = (float*)context.shared();
  bool ok = memory && hidden && work.group(memory);
  if (ok) multiplyDown<T>(work, hidden, context);
  context.barrier();
  if (memory && hidden && !ok) context.fail(Code::kOutOfRange, work.unknown);
  if (ok) multiplyUp<T>(work, hidden, context);
}

}  // namespace

size_t addLoraWorkspace(const Step& step, int) {
  LoraWork work(step);
  return work.valid() ? (size_t)(work.rows() * work.hiddenCols()) * sizeof(float) : 0;
}

void addLora(const Step& step, Context& context) {
  LoraWork work(step);
  if (!work.valid()) return context.fail(Code::kMalformed);
  if (work.rows() == 0 || work.hiddenCols() == 0) return;
  switch (work.down.dtype) {
    case DType::kF32: return addAll<float>(work, context);
    case DType::kBf16: return addAll<Bf16>(work, context);
    case DType::kF16: return addAll<F16>(work, context);
    default: return context.fail(Code::kUnsupported);
  }
}

}  // namespace slipway::SLIPWAY_TARGET

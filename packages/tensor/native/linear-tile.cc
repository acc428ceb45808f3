// Tiles over packed panels. A panel holds 32 output columns as [K][32], so one vector of lanes is sixteen columns at one k.
#include "linear-tile.h"

#if defined(__AVX512F__)
#include <cpuid.h>
#endif

namespace slipway::SLIPWAY_TARGET {
namespace {

// Rows whose partial sums are held at a time in the blocked path.
constexpr int kBlockRows = kTileRows * 16;

// sums[m][c] = fma chain over `count` steps of k. Vector c holds columns (c % 2) * 16 of panel c / 2.
// With `fresh` the chain starts at zero, otherwise at the stored sums.
template <int M, int C, class T>
SLIPWAY_INLINE void multiplyTile(const T* w, int64_t panelStride, const float* x, int64_t xStride, int64_t count,
                                 float* sums, int64_t sumStride, bool fresh) {
  V acc[M][C];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) acc[m][c] = fresh ? zero() : load(sums + m * sumStride + c * kLanes);
  }
  for (int64_t k = 0; k < count; k++, w += kPanel) {
    // the order of these loops decides which operands stay in registers; the other one spills accumulators
    if constexpr (M == 1) {
      V value = set1(x[k]);
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++)
        acc[0][c] = fma(load(w + (c / 2) * panelStride + (c % 2) * kLanes), value, acc[0][c]);
    } else {
      V weights[C];
      SLIPWAY_UNROLL
      for (int c = 0; c < C; c++) weights[c] = load(w + c * kLanes);
      SLIPWAY_UNROLL
      for (int m = 0; m < M; m++) {
        V value = set1(x[m * xStride + k]);
        SLIPWAY_UNROLL
        for (int c = 0; c < C; c++) acc[m][c] = fma(weights[c], value, acc[m][c]);
      }
    }
  }
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    SLIPWAY_UNROLL
    for (int c = 0; c < C; c++) store(sums + m * sumStride + c * kLanes, acc[m][c]);
  }
}

// One tile of `rows` <= kTileRows rows over the 32 columns of a panel.
template <int C, class T, int M = kTileRows>
SLIPWAY_INLINE void multiplyRows(int64_t rows, const T* w, const float* x, int64_t xStride, int64_t count, float* sums,
                                 bool fresh) {
  if constexpr (M > 1) {
    if (rows < M) return multiplyRows<C, T, M - 1>(rows, w, x, xStride, count, sums, fresh);
  }
  // one or two rows have too few chains to hide the latency of fma unless they take the whole panel
  constexpr int kVectors = M <= 2 ? kVectorsOfTwoRows : C;
  for (int c = 0; c < 2; c += kVectors)
    multiplyTile<M, kVectors>(w + c * kLanes, 0, x, xStride, count, sums + c * kLanes, kPanel, fresh);
}

// y = sum * scale + bias + residual, rounded after each, for the 32 outputs from row `n` of the weight on.
SLIPWAY_INLINE void finish(const LinearJob& job, int64_t row, int64_t n, const float* sums) {
  float* to = job.results.row(row);
  for (int64_t c = 0; c < kPanel; c += kLanes) {
    int64_t at = n + c - job.firstOutput, count = job.results.cols - at;
    V y = load(sums + c);
    if (job.scale) y = mul(y, loadPartial(job.scale + at, count));
    if (job.bias) y = add(y, loadPartial(job.bias + at, count));
    if (job.residual) y = add(y, loadPartial(rowOf<const float>(*job.residual, row) + at, count));
    storeWithin(to, at, job.results.cols, y);
  }
}

// One row, P panels at a time: weights stream from memory once.
template <int P, class T>
void multiplyVector(const LinearJob& job, int64_t row, int64_t panel) {
  int64_t K = job.x.cols;
  alignas(64) float sums[P * kPanel];
  multiplyTile<1, 2 * P>((const T*)job.weight.data + panel * K * kPanel, K * kPanel, rowOf<const float>(job.x, row), 0, K,
                         sums, 0, true);
  for (int p = 0; p < P; p++) finish(job, row, (panel + p) * kPanel, sums + p * kPanel);
}

// kTileK steps of k of one panel as f32 [k][32].
template <class T>
void widenPanel(const Tensor& weight, int64_t panel, int64_t k, int64_t count, float* to) {
  if (weight.layout == Layout::kPanel) {
    const T* from = (const T*)weight.data + (panel * weight.cols + k) * kPanel;
    for (int64_t i = 0; i < count * kPanel; i += kLanes) store(to + i, load(from + i));
    return;
  }
  // a weight that was never packed: correct, not fast
  for (int64_t n = 0; n < kPanel; n++) {
    int64_t row = panel * kPanel + n;
    for (int64_t i = 0; i < count; i++) to[i * kPanel + n] = row < weight.rows ? widen(rowOf<const T>(weight, row)[k + i]) : 0.0f;
  }
}

// Rows [first, last) of one panel, a block of k at a time so that weights stay in the first-level cache.
template <class T>
void multiplyPanel(const LinearJob& job, int64_t panel, int64_t first, int64_t last, float* widened) {
  int64_t K = job.x.cols;
  bool packed = job.weight.layout == Layout::kPanel;
  alignas(64) float sums[kBlockRows * kPanel];
  for (int64_t block = first; block < last; block += kBlockRows) {
    int64_t rows = min64(kBlockRows, last - block);
    int64_t tiles = (rows + kTileRows - 1) / kTileRows;
    for (int64_t k = 0; k < K; k += kTileK) {
      int64_t count = min64(kTileK, K - k);
      const T* direct = (const T*)job.weight.data + (panel * K + k) * kPanel;
      // converting pays when the block is used again; f32 is used where it lies
      bool convert = !packed || (sizeof(T) < 4 && tiles > 1);
      if (convert) widenPanel<T>(job.weight, panel, k, count, widened);
      for (int64_t t = 0; t < tiles; t++) {
        int64_t begin = rows * t / tiles, end = rows * (t + 1) / tiles;
        const float* x = rowOf<const float>(job.x, block + begin) + k;
        float* to = sums + begin * kPanel;
        if (convert) multiplyRows<kTileVectors>(end - begin, (const float*)widened, x, job.x.stride, count, to, k == 0);
        else multiplyRows<kTileVectors>(end - begin, direct, x, job.x.stride, count, to, k == 0);
      }
    }
    for (int64_t r = 0; r < rows; r++) finish(job, block + r, panel * kPanel, sums + r * kPanel);
  }
}

#if defined(__AVX512F__)

#if defined(SLIPWAY_EMULATED)
#define SLIPWAY_PAIRS
bool hasPairs() { return true; }
#else
#define SLIPWAY_PAIRS __attribute__((target("avx512bf16")))
bool hasPairs() {
  unsigned a = 0, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
#endif
// asked once, since a virtual machine answers slowly
const bool kHasPairs = hasPairs();

// M rows by the 32 columns of a panel: every sum takes two products at a time, at ascending k. The instruction rounds in a
// way of its own, so that these sums have other bits than the chains of fma; all tiles have the same.
template <int M>
SLIPWAY_PAIRS void multiplyPairs(const Bf16* w, const Bf16* x, int64_t xStride, int64_t count, float* sums) {
  __m512i low, high;  // where two steps of k find their partners
  alignas(64) uint16_t places[2][32];
  for (uint16_t i = 0; i < 32; i++) places[0][i] = i / 2 + i % 2 * 32, places[1][i] = places[0][i] + 16;
  low = _mm512_load_si512(places[0]);
  high = _mm512_load_si512(places[1]);
  __m512 acc[M][2];
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) acc[m][0] = acc[m][1] = _mm512_setzero_ps();
  for (int64_t k = 0; k < count; k += 2, w += 2 * kPanel) {
    __m512i first = _mm512_loadu_si512(w), second = k + 1 < count ? _mm512_loadu_si512(w + kPanel) : _mm512_setzero_si512();
    __m512i even = _mm512_permutex2var_epi16(first, low, second), odd = _mm512_permutex2var_epi16(first, high, second);
    SLIPWAY_UNROLL
    for (int m = 0; m < M; m++) {
      int32_t pair;
      memcpy(&pair, x + m * xStride + k, 4);
      __m512i value = _mm512_set1_epi32(pair);
      acc[m][0] = _mm512_dpbf16_ps(acc[m][0], (__m512bh)even, (__m512bh)value);
      acc[m][1] = _mm512_dpbf16_ps(acc[m][1], (__m512bh)odd, (__m512bh)value);
    }
  }
  SLIPWAY_UNROLL
  for (int m = 0; m < M; m++) {
    _mm512_storeu_ps(sums + m * kPanel, acc[m][0]);
    _mm512_storeu_ps(sums + m * kPanel + kLanes, acc[m][1]);
  }
}

template <int M = kTileRows>
void multiplyPairRows(int64_t rows, const Bf16* w, const Bf16* x, int64_t xStride, int64_t count, float* sums) {
  if constexpr (M > 1) {
    if (rows < M) return multiplyPairRows<M - 1>(rows, w, x, xStride, count, sums);
  }
  multiplyPairs<M>(w, x, xStride, count, sums);
}

void multiplyPanelsInPairs(const LinearJob& job, int64_t panel, int64_t end, int64_t first, int64_t last) {
  alignas(64) float sums[kTileRows * kPanel];
  for (; panel < end; panel++) {
    const Bf16* w = (const Bf16*)job.weight.data + panel * job.x.cols * kPanel;
    for (int64_t row = first; row < last; row += kTileRows) {
      int64_t rows = min64(kTileRows, last - row);
      multiplyPairRows(rows, w, rowOf<const Bf16>(job.x, row), job.x.stride, job.x.cols, sums);
      for (int64_t r = 0; r < rows; r++) finish(job, row + r, panel * kPanel, sums + r * kPanel);
    }
  }
}

#else

constexpr bool kHasPairs = false;
void multiplyPanelsInPairs(const LinearJob&, int64_t, int64_t, int64_t, int64_t) {}

#endif

}  // namespace

bool multipliesPairs(const Tensor& weight) {
  return kHasPairs && weight.dtype == DType::kBf16 && weight.layout == Layout::kPanel;
}

template <class T>
void multiplyPanels(const LinearJob& job, int64_t panel, int64_t end, int64_t first, int64_t last, float* widened) {
  if (job.x.dtype == DType::kBf16) return multiplyPanelsInPairs(job, panel, end, first, last);
  if (last - first == 1 && job.weight.layout == Layout::kPanel) {
    // narrow types need two panels at once to hide the latency of fma
    constexpr int kWide = sizeof(T) < 4 ? kPanelsOfOneRow : 1;
    for (; panel + kWide <= end; panel += kWide) multiplyVector<kWide, T>(job, first, panel);
    for (; panel < end; panel++) multiplyVector<1, T>(job, first, panel);
    return;
  }
  for (; panel < end; panel++) multiplyPanel<T>(job, panel, first, last, widened);
}

template void multiplyPanels<float>(const LinearJob&, int64_t, int64_t, int64_t, int64_t, float*);
template void multiplyPanels<Bf16>(const LinearJob&, int64_t, int64_t, int64_t, int64_t, float*);
template void multiplyPanels<F16>(const LinearJob&, int64_t, int64_t, int64_t, int64_t, float*);
template void multiplyPanels<int8_t>(const LinearJob&, int64_t, int64_t, int64_t, int64_t, float*);

}  // namespace slipway::SLIPWAY_TARGET

// Floats as other floats, and as small integers with scales: the bits of src/weights/rounding.ts.
#include "ops.h"

namespace slipway::SLIPWAY_TARGET {
namespace {

template <class From, class To>
void convertAll(const char* from, char* to, int64_t count) {
  const From* x = (const From*)from;
  To* y = (To*)to;
  for (int64_t i = 0; i < count; i += kLanes) storePartial(y + i, loadPartial(x + i, count - i), count - i);
}

template <class From>
void convertFrom(const char* from, DType type, char* to, int64_t count) {
  switch (type) {
    case DType::kBf16: return convertAll<From, Bf16>(from, to, count);
    case DType::kF16: return convertAll<From, F16>(from, to, count);
    default: return convertAll<From, float>(from, to, count);
  }
}

// The f16 scale of a run of columns: its extreme falls on the side of the range that reaches further. False: some value
// is not finite, or the scale is beyond f16.
template <class T>
SLIPWAY_INLINE bool scaleOf(const T* x, int64_t count, float half, F16* scale) {
  V most = zero(), least = zero(), odd = zero();
  for (int64_t i = 0; i < count; i += kLanes) {
    V values = loadPartial(x + i, count - i);
    most = max(most, values);
    least = min(least, values);
    // NaN as soon as one value is infinite or NaN
    odd = add(odd, sub(values, values));
  }
  float high = maxLane(most), low = maxLane(sub(zero(), least));
  narrow((high >= low ? high : -low) * (-1.0f / half), scale);
  return sum(odd) == 0.0f && (scale->bits & 0x7fff) != 0x7c00;
}

// Sixteen values as unsigned bytes; those from `count` on are 0.
template <class T>
SLIPWAY_INLINE void roundRun(const T* x, int64_t count, float scale, float half, uint8_t* bytes) {
  float shifted[kLanes];
  if (scale == 0.0f) {
    for (int i = 0; i < kLanes; i++) bytes[i] = (uint8_t)half;
  } else {
    V q = div(loadPartial(x, count), set1(scale));
    // adding 1.5 * 2^23 rounds to the nearest even integer and leaves it in the low bits
    store(shifted, add(min(set1(half - 1), max(set1(-half), q)), set1(12582912.0f + half)));
    for (int i = 0; i < kLanes; i++) bytes[i] = (uint8_t)bitsFromFloat(shifted[i]);
  }
  for (int64_t i = count; i < kLanes; i++) bytes[i] = 0;
}

template <int Bits, class T>
bool roundAs(const RoundJob& job) {
  constexpr float kHalf = 1 << (Bits - 1);
  constexpr int64_t kPerWord = 32 / Bits;
  const T* x = (const T*)job.row;
  uint16_t* scales = job.scales;
  for (int64_t start = 0; start < job.cols; start += job.group, scales += kPanel) {
    int64_t end = start + job.group < job.cols ? start + job.group : job.cols;
    F16 stored;
    if (!scaleOf(x + start, end - start, kHalf, &stored)) return false;
    *scales = stored.bits;
    float scale = widen(stored);
    for (int64_t i = start; i < end; i += kLanes) {
      alignas(16) uint8_t bytes[kLanes];
      roundRun(x + i, end - i, scale, kHalf, bytes);
      uint32_t* words = job.words + i / kPerWord * kPanel;
      for (int64_t k = 0; k < kLanes && i + k < end; k += kPerWord, words += kPanel) {
        uint32_t low, high = 0;
        memcpy(&low, bytes + k, 4);
        if (Bits == 4) memcpy(&high, bytes + k + 4, 4);
        *words = low | high << 4;
      }
    }
  }
  return true;
}

template <class T>
bool roundFrom(const RoundJob& job) {
  return job.bits == 4 ? roundAs<4, T>(job) : roundAs<8, T>(job);
}

}  // namespace

void convert(DType from, const char* x, DType to, char* y, int64_t count) {
  switch (from) {
    case DType::kBf16: return convertFrom<Bf16>(x, to, y, count);
    case DType::kF16: return convertFrom<F16>(x, to, y, count);
    default: return convertFrom<float>(x, to, y, count);
  }
}

bool roundRow(const RoundJob& job) {
  switch (job.dtype) {
    case DType::kBf16: return roundFrom<Bf16>(job);
    case DType::kF16: return roundFrom<F16>(job);
    default: return roundFrom<float>(job);
  }
}

}  // namespace slipway::SLIPWAY_TARGET

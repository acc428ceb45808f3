// The command buffer: a program as one array of doubles, written by src/devices/command-buffer.ts.
//
//   step   = op, barrier (0/1), number of tensors, number of attributes, tensor..., attribute...
//   tensor = address (0: absent), dtype, layout, rank, first three dimensions, rows, columns, row stride
//
// Addresses stay below 2^53, so a double holds them. Everything here is `static inline` or defined in command.cc:
// a shared inline function compiled for AVX-512 must not be the copy that the linker keeps for everyone.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace slipway {

// TypeScript learns names and codes from `opName`
enum class OpCode : int {
  kEmbedding,
  kRmsNorm,
  kLinear,
  kRopeTable,
  kRope,
  kKvWrite,
  kAttention,
  kSiluMul,
  kAdd,
  kAdjustLogits,
  kSample,
  kArgmax,
  kLogprobs,
  kQuantizedLinear,
  kRouteExperts,
  kExpertLinear,
  kQuantizedExpertLinear,
  kCombineExperts,
  kRopeWrite,
  kAddLora,
  kLayerNorm,
  kActivate,
};
constexpr int kNumOps = (int)OpCode::kActivate + 1;

// the order of `dtypes` in src/dtype.ts
enum class DType : int { kF32, kBf16, kF16, kI32, kU32, kI8, kU8 };
constexpr int kNumDTypes = 7;

// the order of `layouts` in src/tensor.ts
enum class Layout : int { kRow, kPanel, kKeyTiles };
constexpr int kNumLayouts = 3;

// columns of a panel of a packed weight
constexpr int64_t kPanel = 32;
// slots of a key tile, which holds a cache as [slots / 16][columns][16]
constexpr int64_t kKeyTile = 16;

struct Tensor {
  char* data;  // null: the optional input is absent
  DType dtype;
  Layout layout;
  int rank;
  int64_t dims[3];
  int64_t rows, cols, stride;
};

template <class T>
static inline T* rowOf(const Tensor& t, int64_t row) {
  return (T*)t.data + row * t.stride;
}

constexpr int kMaxTensors = 12;
constexpr int kMaxAttributes = 8;

struct Step {
  OpCode op;
  bool barrier;
  Tensor tensors[kMaxTensors];  // inputs, then outputs
  double attributes[kMaxAttributes];
};

// Why a run stopped; src/native.ts has the texts.
enum class Code : int {
  kOk = 0,
  kMalformed = 1,    // the buffer is not a program
  kOutOfRange = 2,   // a value used as an index points outside; `value` is that index
  kOutOfMemory = 3,  // no scratch memory
  kUnsupported = 4,  // no kernel for these dtypes or layouts
};

const char* opName(int op);

// Reads the step at `*at` and moves past it; false when it is not a step of this version.
bool decodeStep(const double** at, const double* end, Step* step);

}  // namespace slipway

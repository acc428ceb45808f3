#include "command.h"

namespace slipway {
namespace {

struct Arity {
  int tensors, attributes;
};

// inputs and outputs together, in the order of OpCode
constexpr Arity kArity[kNumOps] = {
    {4, 0},  // embedding
    {3, 1},  // rmsNorm
    {5, 0},  // linear
    {3, 1},  // ropeTable
    {3, 1},  // rope
    {5, 0},  // kvWrite
    {7, 4},  // attention
    {2, 0},  // siluMul
    {3, 0},  // add
    {7, 0},  // adjustLogits
    {5, 0},  // sample
    {2, 0},  // argmax
    {5, 1},  // logprobs
};

constexpr int kTensorWords = 10;
constexpr double kMaxWord = 9007199254740992.0;

// a whole number in [0, limit)
bool isIndex(double x, double limit) { return x >= 0 && x < limit && x == (double)(int64_t)x; }

bool decodeTensor(const double* words, Tensor* tensor) {
  for (int i = 0; i < kTensorWords; i++)
    if (!isIndex(words[i], kMaxWord)) return false;
  if (words[1] >= kNumDTypes || words[2] > 1) return false;
  tensor->data = (char*)(uintptr_t)words[0];
  tensor->dtype = (DType)(int)words[1];
  tensor->layout = (Layout)(int)words[2];
  tensor->rank = (int)words[3];
  for (int i = 0; i < 3; i++) tensor->dims[i] = (int64_t)words[4 + i];
  tensor->rows = (int64_t)words[7];
  tensor->cols = (int64_t)words[8];
  tensor->stride = (int64_t)words[9];
  return true;
}

}  // namespace

bool decodeStep(const double** at, const double* end, Step* step) {
  const double* p = *at;
  if (end - p < 4 || !isIndex(p[0], kNumOps) || !isIndex(p[1], 2)) return false;
  const Arity& arity = kArity[(int)p[0]];
  if (p[2] != arity.tensors || p[3] != arity.attributes) return false;
  if (end - p < 4 + arity.tensors * kTensorWords + arity.attributes) return false;
  step->op = (OpCode)(int)p[0];
  step->barrier = p[1] != 0;
  p += 4;
  for (int i = 0; i < arity.tensors; i++, p += kTensorWords)
    if (!decodeTensor(p, &step->tensors[i])) return false;
  for (int i = 0; i < arity.attributes; i++) step->attributes[i] = *p++;
  *at = p;
  return true;
}

}  // namespace slipway

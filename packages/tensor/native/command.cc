#include "command.h"

namespace slipway {
namespace {

struct Form {
  const char* name;
  int tensors, attributes;  // inputs and outputs together
};

// in the order of OpCode
constexpr Form kForms[kNumOps] = {
    {"embedding", 4, 0},    {"rmsNorm", 3, 1}, {"linear", 7, 3}, {"ropeTable", 3, 1}, {"rope", 3, 1},
    {"kvWrite", 7, 0},      {"attention", 9, 4}, {"siluMul", 2, 0}, {"add", 3, 0},
    {"adjustLogits", 7, 0}, {"sample", 6, 0},  {"argmax", 2, 0}, {"logprobs", 5, 1},
    {"quantizedLinear", 8, 4}, {"routeExperts", 3, 2}, {"expertLinear", 5, 5}, {"quantizedExpertLinear", 7, 6},
    {"combineExperts", 4, 0}, {"ropeWrite", 10, 2}, {"addLora", 7, 4},
    {"layerNorm", 4, 1}, {"activate", 2, 1},
};

constexpr int kTensorWords = 10;
constexpr double kMaxWord = 9007199254740992.0;

// a whole number in [0, limit)
bool isIndex(double x, double limit) { return x >= 0 && x < limit && x == (double)(int64_t)x; }

bool decodeTensor(const double* words, Tensor* tensor) {
  for (int i = 0; i < kTensorWords; i++)
    if (!isIndex(words[i], kMaxWord)) return false;
  if (words[1] >= kNumDTypes || words[2] >= kNumLayouts) return false;
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

const char* opName(int op) { return kForms[op].name; }

bool decodeStep(const double** at, const double* end, Step* step) {
  const double* p = *at;
  if (end - p < 4 || !isIndex(p[0], kNumOps) || !isIndex(p[1], 2)) return false;
  const Form& form = kForms[(int)p[0]];
  if (p[2] != form.tensors || p[3] != form.attributes) return false;
  if (end - p < 4 + form.tensors * kTensorWords + form.attributes) return false;
  step->op = (OpCode)(int)p[0];
  step->barrier = p[1] != 0;
  p += 4;
  for (int i = 0; i < form.tensors; i++, p += kTensorWords)
    if (!decodeTensor(p, &step->tensors[i])) return false;
  for (int i = 0; i < form.attributes; i++) step->attributes[i] = *p++;
  *at = p;
  return true;
}

}  // namespace slipway

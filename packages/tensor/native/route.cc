// Around the experts: which ones a row takes (the twin of src/ops/route-experts.ts, exact), and the sum of their results.
#include "exact-math.h"
#include "ops.h"

namespace slipway::SLIPWAY_TARGET {

void routeExperts(const Step& step, Context& context) {
  const Tensor &logits = step.tensors[0], &ids = step.tensors[1], &weights = step.tensors[2];
  bool renormalise = step.attributes[1] != 0;
  int64_t experts = logits.cols, slots = ids.cols;
  if (slots > experts) return context.fail(Code::kMalformed);
  bool* taken = (bool*)context.scratch((size_t)experts);
  if (!taken) return;
  Share share = shareOf(logits.rows, context);
  for (int64_t row = share.begin; row < share.end; row++) {
    const float* x = rowOf<const float>(logits, row);
    int32_t* id = rowOf<int32_t>(ids, row);
    for (int64_t e = 0; e < experts; e++) taken[e] = false;
    double chosen = 0, all = 0;
    for (int64_t s = 0; s < slots; s++) {
      int64_t best = -1;
      for (int64_t e = 0; e < experts; e++)
        if (!taken[e] && (best < 0 || x[e] > x[best])) best = e;
      taken[best] = true;
      id[s] = (int32_t)best;
    }
    double highest = (double)x[id[0]];
    for (int64_t s = 0; s < slots; s++) chosen += expNegative((double)x[id[s]] - highest);
    for (int64_t e = 0; e < experts; e++) all += expNegative((double)x[e] - highest);
    double total = renormalise ? chosen : all;
    for (int64_t s = 0; s < slots; s++)
      rowOf<float>(weights, row)[s] = (float)(expNegative((double)x[id[s]] - highest) / total);
  }
}

void combineExperts(const Step& step, Context& context) {
  const Tensor &x = step.tensors[0], &weights = step.tensors[1], &residual = step.tensors[2], &out = step.tensors[3];
  forEachRun(out.rows, out.cols, context, [&](int64_t row, int64_t begin, int64_t end) {
    const float *from = rowOf<const float>(x, row), *weight = rowOf<const float>(weights, row);
    float* to = rowOf<float>(out, row);
    for (int64_t c = begin; c < end; c += kLanes) {
      int64_t n = end - c;
      V sum = zero();
      for (int64_t s = 0; s < weights.cols; s++)
        sum = fma(loadPartial(from + s * out.cols + c, n), set1(weight[s]), sum);
      if (residual.data) sum = add(sum, loadPartial(rowOf<const float>(residual, row) + c, n));
      storePartial(to + c, sum, n);
    }
  });
}

}  // namespace slipway::SLIPWAY_TARGET

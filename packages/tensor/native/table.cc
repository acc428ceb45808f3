// The table of one target. Entries stand in the order of OpCode.
#include "ops.h"
#include "simd-int.h"

namespace slipway::SLIPWAY_TARGET {

#define SLIPWAY_TEXT(x) SLIPWAY_TEXT_OF(x)
#define SLIPWAY_TEXT_OF(x) #x

extern const Kernels kKernels;
const Kernels kKernels = {
    SLIPWAY_TEXT(SLIPWAY_ISA),
    {embedding, rmsNorm, linear, ropeTable, rope, kvWrite, attention, siluMul, add, adjustLogits, sample, argmax,
     logprobs, quantizedLinear, routeExperts, expertLinear, quantizedExpertLinear, combineExperts, ropeWrite, addLora,
     layerNorm, activate},
    {nullptr, nullptr, linearWorkspace, nullptr, nullptr, nullptr, attentionWorkspace, nullptr, nullptr, nullptr,
     sampleWorkspace, argmaxWorkspace, logprobsWorkspace, quantizedLinearWorkspace, nullptr, expertLinearWorkspace,
     quantizedExpertLinearWorkspace, nullptr, nullptr, addLoraWorkspace, nullptr, nullptr},
    pack,
    convert,
    roundRow,
    readAll,
    multiplyAdds,
    integerProducts,
};

float readAll(const float* from, int64_t count) {
  V a = zero(), b = zero();
  for (; count >= 2 * kLanes; count -= 2 * kLanes, from += 2 * kLanes) {
    a = max(a, load(from));
    b = max(b, load(from + kLanes));
  }
  return maxLane(max(a, b));
}

int64_t multiplyAdds(int64_t rounds, float* sink) {
  // as many chains as the largest tile has: enough to hide the latency, few enough for the registers
  constexpr int kChains = kTileRows * kTileVectors;
  V chains[kChains];
  // values unknown to the compiler, or it would compute equal lanes once
  volatile float unknown = 1.0f;
  float start[kLanes];
  for (int i = 0; i < kLanes; i++) start[i] = unknown;
  SLIPWAY_UNROLL
  for (int i = 0; i < kChains; i++) chains[i] = mul(load(start), set1((float)i));
  V factor = set1(0.999f), term = set1(0.001f);
  for (int64_t r = 0; r < rounds; r++) {
    SLIPWAY_UNROLL
    for (int i = 0; i < kChains; i++) chains[i] = fma(chains[i], factor, term);
  }
  V total = zero();
  SLIPWAY_UNROLL
  for (int i = 0; i < kChains; i++) total = add(total, chains[i]);
  *sink = sum(total);
  return rounds * kChains * kLanes * 2;
}

int64_t integerProducts(int bits, int64_t rounds, int32_t* sink) {
  return bits == 4 ? integerProductsOf<Form::kNibbles>(rounds, sink) : integerProductsOf<Form::kBytes>(rounds, sink);
}

}  // namespace slipway::SLIPWAY_TARGET

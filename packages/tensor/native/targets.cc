#include "kernels.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace slipway {

// build-native.mjs defines SLIPWAY_HAS_<target> for what it has compiled
#define SLIPWAY_DECLARE(name) \
  namespace name {            \
  extern const Kernels kKernels; \
  }
#ifdef SLIPWAY_HAS_avx512
SLIPWAY_DECLARE(avx512)
#endif
#ifdef SLIPWAY_HAS_avx2
SLIPWAY_DECLARE(avx2)
#endif
#ifdef SLIPWAY_HAS_neon_dot
SLIPWAY_DECLARE(neon_dot)
#endif
#ifdef SLIPWAY_HAS_neon
SLIPWAY_DECLARE(neon)
#endif
#ifdef SLIPWAY_HAS_baseline
SLIPWAY_DECLARE(baseline)
#endif

#ifdef SLIPWAY_HAS_neon_dot
// the dot product instructions of Armv8.2
static bool hasDotProduct() {
#if defined(__APPLE__)
  return true;
#else
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
}
#endif

int listTargets(Target* targets) {
  int n = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
#if defined(SLIPWAY_HAS_avx512) && defined(SLIPWAY_EMULATED)
  targets[n++] = {&avx512::kKernels, true};
#elif defined(SLIPWAY_HAS_avx512)
  targets[n++] = {&avx512::kKernels,
                  __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni")};
#endif
#ifdef SLIPWAY_HAS_avx2
  // every processor with AVX2 and FMA also converts half floats
  targets[n++] = {&avx2::kKernels, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")};
#endif
#ifdef SLIPWAY_HAS_neon_dot
  targets[n++] = {&neon_dot::kKernels, hasDotProduct()};
#endif
#ifdef SLIPWAY_HAS_neon
  targets[n++] = {&neon::kKernels, true};
#endif
#ifdef SLIPWAY_HAS_baseline
#if defined(__x86_64__)
  targets[n++] = {&baseline::kKernels, __builtin_cpu_supports("sse4.2") != 0};
#else
  targets[n++] = {&baseline::kKernels, true};
#endif
#endif
  return n;
}

}  // namespace slipway

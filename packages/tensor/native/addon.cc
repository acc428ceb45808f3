// The Node-API surface; src/native.ts has its types. Arguments are checked in TypeScript before they come here, a wrong
// one gives `undefined`. Nothing here throws or computes.
#include <node_api.h>
#include <stdlib.h>
#include <string.h>

#include <new>

#include "addon.h"
#include "memory.h"

namespace slipway {
namespace {

constexpr int kMaxThreads = 1024;

void freeEngine(napi_env, void* data, void*) {
  Engine* engine = (Engine*)data;
  delete engine->pool;
  delete engine;
}

void freePagesOf(napi_env, void* data, void* hint) { freePages(data, (size_t)(uintptr_t)hint); }

// () -> [name, supported][], best first
napi_value targets(napi_env env, napi_callback_info) {
  Target all[kMaxTargets];
  int count = listTargets(all);
  napi_value list = nullptr;
  napi_create_array_with_length(env, (size_t)count, &list);
  for (int i = 0; i < count; i++) {
    napi_value pair, name, supported;
    napi_create_array_with_length(env, 2, &pair);
    napi_create_string_utf8(env, all[i].kernels->name, NAPI_AUTO_LENGTH, &name);
    napi_get_boolean(env, all[i].supported, &supported);
    napi_set_element(env, pair, 0, name);
    napi_set_element(env, pair, 1, supported);
    napi_set_element(env, list, (uint32_t)i, pair);
  }
  return list;
}

// () -> names of the ops that have kernels; the index is the code in the command buffer
napi_value ops(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array_with_length(env, kNumOps, &list);
  for (int i = 0; i < kNumOps; i++) {
    napi_value name;
    napi_create_string_utf8(env, opName(i), NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, (uint32_t)i, name);
  }
  return list;
}

// (threads, index in targets(), core of each thread: Float64Array | undefined) -> engine | undefined
napi_value open(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  double threads, target;
  Target all[kMaxTargets];
  int count = listTargets(all);
  if (!args.number(0, &threads) || !args.number(1, &target)) return nullptr;
  if (!(threads >= 1 && threads <= kMaxThreads) || !(target >= 0 && target < count)) return nullptr;
  if (!all[(int)target].supported) return nullptr;
  int cores[kMaxThreads];
  char* words = nullptr;
  size_t size = 0;
  bool pinned = args.count > 2 && args.bytes(args.values[2], &words, &size);
  if (pinned && size != (size_t)threads * sizeof(double)) return nullptr;
  for (int i = 0; pinned && i < (int)threads; i++) {
    double core = ((const double*)words)[i];
    if (!(core >= 0 && core < 1e6)) return nullptr;
    cores[i] = (int)core;
  }
  Pool* pool = Pool::create((int)threads, pinned ? cores : nullptr);
  Engine* engine = pool ? new (std::nothrow) Engine{pool, all[(int)target].kernels} : nullptr;
  napi_value handle = nullptr;
  if (engine && napi_create_external(env, engine, freeEngine, nullptr, &handle) == napi_ok) return handle;
  delete pool;
  delete engine;
  return nullptr;
}

// (engine): joins the threads; the handle stays valid and refuses work
napi_value close(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  if (Engine* engine = args.external<Engine>(0)) {
    delete engine->pool;
    engine->pool = nullptr;
  }
  return nullptr;
}

// (engine, Float64Array, number of words) -> undefined when all went well, else [code, step, value]
napi_value run(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Engine* engine = args.external<Engine>(0);
  char* words;
  size_t size;
  double count;
  Failure failure{(int64_t)Code::kMalformed, 0, 0};
  bool valid = engine && engine->pool && args.count > 2 && args.bytes(args.values[1], &words, &size) &&
               args.number(2, &count) && count >= 0 && count <= (double)(size / 8);
  Times times{nullptr, 0};
  char* seconds;
  size_t secondsSize;
  if (args.count > 3 && args.bytes(args.values[3], &seconds, &secondsSize))
    times = {(double*)seconds, (int64_t)(secondsSize / sizeof(double))};
  if (valid) failure = runProgram(*engine->pool, *engine->kernels, (const double*)words, (int64_t)count, times);
  return failureValue(env, failure);
}

// (ArrayBuffer | Uint8Array) -> address
napi_value addressOf(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  char* data;
  size_t size;
  if (args.count < 1 || !args.bytes(args.values[0], &data, &size)) return nullptr;
  return numberValue(env, (double)(uintptr_t)data);
}

// (bytes) -> ArrayBuffer of zeros in huge pages | undefined
napi_value allocate(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  double bytes;
  if (!args.number(0, &bytes) || !(bytes >= 1 && bytes < 9e15)) return nullptr;
  size_t size = (size_t)bytes;
  void* memory = allocatePages(size);
  napi_value buffer = nullptr;
  if (!memory) return nullptr;
  void* hint = (void*)(uintptr_t)size;
  if (napi_create_external_arraybuffer(env, memory, size, freePagesOf, hint, &buffer) == napi_ok) return buffer;
  freePages(memory, size);
  return nullptr;
}

// (ArrayBuffer that `allocate` gave) -> true: its pages are zero and take no memory | undefined
napi_value release(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  char* memory;
  size_t size;
  if (args.count < 1 || !args.bytes(args.values[0], &memory, &size)) return nullptr;
  if (size == 0 || (uintptr_t)memory % kPageAlignment != 0 || !resetPages(memory, size)) return nullptr;
  napi_value done = nullptr;
  napi_get_boolean(env, true, &done);
  return done;
}

// Row pointers of the parts, which together hold `rows` rows of `rowBytes`; null when they do not.
const char** rowPointers(const Arguments& args, napi_value parts, int64_t rows, size_t rowBytes) {
  uint32_t numParts = 0;
  if (napi_get_array_length(args.env, parts, &numParts) != napi_ok) return nullptr;
  const char** pointers = (const char**)malloc((size_t)rows * sizeof(char*));
  int64_t row = 0;
  for (uint32_t i = 0; pointers && i < numParts; i++) {
    napi_value part;
    char* data;
    size_t size;
    bool valid = napi_get_element(args.env, parts, i, &part) == napi_ok && args.bytes(part, &data, &size) &&
                 size % rowBytes == 0 && (int64_t)(size / rowBytes) <= rows - row;
    if (!valid) break;
    for (size_t at = 0; at < size; at += rowBytes) pointers[row++] = data + at;
  }
  if (row == rows) return pointers;
  free(pointers);
  return nullptr;
}

// (engine, parts: Uint8Array[], rows, cols, bytes per element, panels: ArrayBuffer) -> true | undefined
napi_value pack(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Engine* engine = args.external<Engine>(0);
  double rows, cols, element;
  char* panels;
  size_t size;
  if (!engine || !engine->pool || args.count < 6) return nullptr;
  if (!args.number(2, &rows) || !args.number(3, &cols) || !args.number(4, &element)) return nullptr;
  if (!(rows >= 1 && rows < 1e12 && cols >= 1 && cols < 1e12 && element >= 1 && element <= 4)) return nullptr;
  if (!args.bytes(args.values[5], &panels, &size)) return nullptr;
  double needed = (double)((int64_t)(rows + kPanel - 1) / kPanel * kPanel) * cols * element;
  if ((double)size < needed) return nullptr;
  const char** pointers = rowPointers(args, args.values[1], (int64_t)rows, (size_t)(cols * element));
  if (!pointers) return nullptr;
  packPanels(*engine->pool, *engine->kernels, {pointers, (int64_t)rows, (int64_t)cols, (int)element, panels});
  free(pointers);
  napi_value done = nullptr;
  napi_get_boolean(env, true, &done);
  return done;
}

// (engine, bytes, seconds) -> GB/s
napi_value bandwidth(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Engine* engine = args.external<Engine>(0);
  double bytes, seconds;
  if (!engine || !engine->pool || !args.number(1, &bytes) || !args.number(2, &seconds) || !(bytes >= 4096)) return nullptr;
  return numberValue(env, measureBandwidth(*engine->pool, *engine->kernels, (int64_t)bytes, seconds));
}

// (engine, seconds, bits: 0 for f32, or of weights) -> GFLOP/s or GOP/s
napi_value peak(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Engine* engine = args.external<Engine>(0);
  double seconds, bits;
  if (!engine || !engine->pool || !args.number(1, &seconds) || !args.number(2, &bits)) return nullptr;
  if (bits != 0 && bits != 4 && bits != 8) return nullptr;
  return numberValue(env, measurePeak(*engine->pool, *engine->kernels, seconds, (int)bits));
}

napi_value init(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {{"targets", targets}, {"ops", ops},
                   {"open", open},       {"close", close},
                   {"run", run},         {"addressOf", addressOf},
                   {"allocate", allocate}, {"release", release}, {"pack", pack}, {"bandwidth", bandwidth},
                   {"peak", peak},       {"loadWeight", loadWeightCall},
                   {"readChunks", readChunksCall}, {"checksum", checksumCall},
                   {"readAhead", readAheadCall}};
  for (const auto& f : functions) {
    napi_value function;
    if (napi_create_function(env, f.name, NAPI_AUTO_LENGTH, f.call, nullptr, &function) != napi_ok) return nullptr;
    napi_set_named_property(env, exports, f.name, function);
  }
  return exports;
}

}  // namespace
}  // namespace slipway

NAPI_MODULE(slipway, slipway::init)

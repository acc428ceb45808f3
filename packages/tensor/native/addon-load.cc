// Loading weights; src/native.ts has the types. Addresses come as numbers, as in the command buffer.
#include <stdlib.h>
#include <string.h>

#include "addon.h"
#include "load.h"

namespace slipway {
namespace {

constexpr Failure kMalformedCall{(int64_t)Code::kMalformed, 0, 0};

bool isFloat(double dtype) { return dtype == (int)DType::kF32 || dtype == (int)DType::kBf16 || dtype == (int)DType::kF16; }

// A Float64Array of records with `width` fields each.
bool records(const Arguments& args, size_t i, int64_t width, const double** fields, int64_t* count) {
  char* data;
  size_t size;
  if (i >= args.count || !args.bytes(args.values[i], &data, &size) || size % ((size_t)width * sizeof(double))) return false;
  *fields = (const double*)data;
  *count = (int64_t)(size / ((size_t)width * sizeof(double)));
  return *count > 0;
}

}  // namespace

// (engine, parts: [file, offset, rows, dtype]..., rows, cols, dtype, bits, group, address, address of scales)
napi_value loadWeightCall(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Engine* engine = args.external<Engine>(0);
  const double* fields;
  int64_t count;
  double rows, cols, dtype, bits, group, panels, scales;
  bool valid = engine && engine->pool && records(args, 1, 4, &fields, &count) && args.number(2, &rows) &&
               args.number(3, &cols) && args.number(4, &dtype) && args.number(5, &bits) && args.number(6, &group) &&
               args.number(7, &panels) && args.number(8, &scales);
  if (!valid || !(rows >= 1 && rows < 1e12 && cols >= 1 && cols < 1e12 && panels > 0)) return failureValue(env, kMalformedCall);
  if (bits == 0 ? !isFloat(dtype) : !((bits == 4 || bits == 8) && group >= 1 && scales > 0))
    return failureValue(env, kMalformedCall);
  // a group that ends within a word has to be the last
  if (bits != 0 && group < cols && (int64_t)group % 8) return failureValue(env, kMalformedCall);
  StoredRows* parts = (StoredRows*)malloc((size_t)count * sizeof(StoredRows));
  if (!parts) return failureValue(env, {(int64_t)LoadCode::kNoMemory, 0, count});
  double total = 0;
  for (int64_t i = 0; i < count; i++, fields += 4) {
    parts[i] = {(int)fields[0], (int64_t)fields[1], (int64_t)fields[2], (DType)(int)fields[3]};
    total += fields[2];
    valid = valid && fields[1] >= 0 && fields[2] >= 1 && isFloat(fields[3]);
  }
  Failure failure = kMalformedCall;
  if (valid && total == rows)
    failure = loadWeight(*engine->pool, *engine->kernels,
                         {parts, (int)count, (int64_t)rows, (int64_t)cols, (DType)(int)dtype, (int)bits, (int64_t)group,
                          (char*)(uintptr_t)panels, (char*)(uintptr_t)scales});
  free(parts);
  return failureValue(env, failure);
}

// (engine, file, chunks: [offset, address, length]..., checksums: Uint8Array, 8 bytes each)
napi_value readChunksCall(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  Engine* engine = args.external<Engine>(0);
  double file;
  const double* fields;
  int64_t count;
  char* sums;
  size_t size;
  bool valid = engine && engine->pool && args.number(1, &file) && records(args, 2, 3, &fields, &count) &&
               args.count > 3 && args.bytes(args.values[3], &sums, &size) && size == (size_t)count * 8;
  if (!valid) return failureValue(env, kMalformedCall);
  Chunk* chunks = (Chunk*)malloc((size_t)count * sizeof(Chunk));
  if (!chunks) return failureValue(env, {(int64_t)LoadCode::kNoMemory, 0, count});
  for (int64_t i = 0; i < count; i++, fields += 3) {
    chunks[i] = {(int64_t)fields[0], (char*)(uintptr_t)fields[1], (int64_t)fields[2], 0};
    memcpy(&chunks[i].checksum, sums + i * 8, 8);
  }
  Failure failure = readChunks(*engine->pool, (int)file, chunks, count);
  free(chunks);
  return failureValue(env, failure);
}

// (bytes: Uint8Array, into: Uint8Array of 8) -> true | undefined
napi_value checksumCall(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  char *data, *into;
  size_t size, room;
  if (args.count < 2 || !args.bytes(args.values[0], &data, &size) || !args.bytes(args.values[1], &into, &room)) return nullptr;
  if (room != 8) return nullptr;
  uint64_t sum = checksum(data, size);
  memcpy(into, &sum, 8);
  napi_value done = nullptr;
  napi_get_boolean(env, true, &done);
  return done;
}

// (file, offset, length)
napi_value readAheadCall(napi_env env, napi_callback_info info) {
  Arguments args(env, info);
  double file, offset, length;
  if (args.number(0, &file) && args.number(1, &offset) && args.number(2, &length))
    readAhead((int)file, (int64_t)offset, (int64_t)length);
  return nullptr;
}

}  // namespace slipway

// What the Node-API functions share.
#pragma once

#include <node_api.h>

#include "program.h"

namespace slipway {

constexpr int kMaxArguments = 10;

struct Arguments {
  napi_env env;
  napi_value values[kMaxArguments];
  size_t count = kMaxArguments;

  Arguments(napi_env env, napi_callback_info info) : env(env) {
    if (napi_get_cb_info(env, info, &count, values, nullptr, nullptr) != napi_ok) count = 0;
  }
  bool number(size_t i, double* out) const {
    return i < count && napi_get_value_double(env, values[i], out) == napi_ok;
  }
  template <class T>
  T* external(size_t i) const {
    void* data = nullptr;
    if (i >= count || napi_get_value_external(env, values[i], &data) != napi_ok) return nullptr;
    return (T*)data;
  }
  // An ArrayBuffer or a view of one.
  bool bytes(napi_value value, char** data, size_t* size) const {
    bool is = false;
    void* memory = nullptr;
    if (napi_is_arraybuffer(env, value, &is) == napi_ok && is) {
      if (napi_get_arraybuffer_info(env, value, &memory, size) != napi_ok) return false;
    } else {
      napi_typedarray_type type;
      size_t length = 0;
      if (napi_is_typedarray(env, value, &is) != napi_ok || !is) return false;
      if (napi_get_typedarray_info(env, value, &type, &length, &memory, nullptr, nullptr) != napi_ok) return false;
      size_t element = type == napi_float64_array ? 8 : type == napi_uint8_array ? 1 : 0;
      if (element == 0) return false;
      *size = length * element;
    }
    *data = (char*)memory;
    return true;
  }
};

static inline napi_value numberValue(napi_env env, double x) {
  napi_value value = nullptr;
  napi_create_double(env, x, &value);
  return value;
}

// A device's threads and kernels, owned by a JavaScript handle. `close` ends the threads early.
struct Engine {
  Pool* pool;
  const Kernels* kernels;
};

// undefined when all went well, else [code, step, value]
static inline napi_value failureValue(napi_env env, const Failure& failure) {
  if (failure.code == 0) return nullptr;
  napi_value list = nullptr;
  napi_create_array_with_length(env, 3, &list);
  const int64_t fields[] = {failure.code, failure.step, failure.value};
  for (uint32_t i = 0; i < 3; i++) napi_set_element(env, list, i, numberValue(env, (double)fields[i]));
  return list;
}

// addon-load.cc
napi_value loadWeightCall(napi_env, napi_callback_info);
napi_value readChunksCall(napi_env, napi_callback_info);
napi_value checksumCall(napi_env, napi_callback_info);
napi_value readAheadCall(napi_env, napi_callback_info);

}  // namespace slipway

// The part of LiteRT 2's C API (litert/c/litert_*.h) that is used, by dlsym: the wheel ships no headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edgekit::litert {

// Handles are opaque to callers.
using Handle = void*;

// LiteRtRankedTensorType. The rank and a flag share one word.
struct TensorType {
  int element_type;
  std::uint32_t rank : 7;
  std::uint32_t has_strides : 1;
  std::int32_t sizes[8];
  std::uint32_t strides[8];
};
static_assert(sizeof(TensorType) == 72);

// ProfiledEventData, with tflite's MemoryUsage of three words before and after the event.
struct Event {
  const char* tag;
  int type;
  std::uint64_t start_us, elapsed_us;
  std::uint64_t memory[6];
  std::uint64_t node, subgraph;
  int source;
};
static_assert(sizeof(Event) == 104);

constexpr int kCpuAccelerator = 1;
constexpr int kLockRead = 0, kLockWrite = 1;

// One function of libLiteRt.so. A call that answers another status than 0 throws std::runtime_error.
class Function {
 public:
  Function(void* library, const char* name);

  template <typename... Arguments>
  void operator()(Arguments... arguments) const {
    const int status = reinterpret_cast<int (*)(Arguments...)>(address_)(arguments...);
    if (status != 0) fail(status);
  }

  template <typename... Arguments>
  void release(Arguments... arguments) const {
    reinterpret_cast<void (*)(Arguments...)>(address_)(arguments...);
  }

 private:
  [[noreturn]] void fail(int status) const;
  const char* name_;
  void* address_;
};

// libLiteRt.so, loaded. Throws Failure ("device") if it is not there or lacks a function.
struct Api {
  explicit Api(void* library);
  static void* open();

  Function create_environment, create_model, destroy_model, create_options, destroy_options, set_accelerators,
      create_opaque, add_opaque, create_compiled, destroy_compiled, get_signature, num_inputs, num_outputs, input_name,
      input_tensor, output_tensor, ranked_type, input_requirements, output_requirements, create_buffer, destroy_buffer,
      buffer_size, buffer_type, lock, unlock, run, get_profiler, reset_profiler, start_profiler, stop_profiler,
      num_events, get_events;
};

}  // namespace edgekit::litert

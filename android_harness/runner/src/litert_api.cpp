#include "litert_api.h"

#include <dlfcn.h>

#include "failure.h"

namespace edgekit::litert {
namespace {

constexpr const char* kLibrary = "libLiteRt.so";

Failure missing(const std::string& what) {
  return device("The engine litert can't be loaded: " + what, kLibrary,
                "Build the runner again with android_harness/runner/build.py.");
}

}  // namespace

Function::Function(void* library, const char* name) : name_(name), address_(dlsym(library, name)) {
  if (address_ == nullptr) throw missing(std::string("it has no ") + name + ".");
}

void Function::fail(int status) const {
  throw std::runtime_error(std::string(name_) + " answered status " + std::to_string(status) + ".");
}

void* Api::open() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw missing(dlerror());
  return library;
}

Api::Api(void* library)
    : create_environment(library, "LiteRtCreateEnvironment"),
      create_model(library, "LiteRtCreateModelFromFile"),
      destroy_model(library, "LiteRtDestroyModel"),
      create_options(library, "LiteRtCreateOptions"),
      destroy_options(library, "LiteRtDestroyOptions"),
      set_accelerators(library, "LiteRtSetOptionsHardwareAccelerators"),
      create_opaque(library, "LiteRtCreateOpaqueOptions"),
      add_opaque(library, "LiteRtAddOpaqueOptions"),
      create_compiled(library, "LiteRtCreateCompiledModel"),
      destroy_compiled(library, "LiteRtDestroyCompiledModel"),
      get_signature(library, "LiteRtGetModelSignature"),
      num_inputs(library, "LiteRtGetNumSignatureInputs"),
      num_outputs(library, "LiteRtGetNumSignatureOutputs"),
      input_name(library, "LiteRtGetSignatureInputName"),
      input_tensor(library, "LiteRtGetSignatureInputTensorByIndex"),
      output_tensor(library, "LiteRtGetSignatureOutputTensorByIndex"),
      ranked_type(library, "LiteRtGetRankedTensorType"),
      input_requirements(library, "LiteRtGetCompiledModelInputBufferRequirements"),
      output_requirements(library, "LiteRtGetCompiledModelOutputBufferRequirements"),
      create_buffer(library, "LiteRtCreateManagedTensorBufferFromRequirements"),
      destroy_buffer(library, "LiteRtDestroyTensorBuffer"),
      buffer_size(library, "LiteRtGetTensorBufferSize"),
      buffer_type(library, "LiteRtGetTensorBufferTensorType"),
      lock(library, "LiteRtLockTensorBuffer"),
      unlock(library, "LiteRtUnlockTensorBuffer"),
      run(library, "LiteRtRunCompiledModel"),
      get_profiler(library, "LiteRtCompiledModelGetProfiler"),
      reset_profiler(library, "LiteRtResetProfiler"),
      start_profiler(library, "LiteRtStartProfiler"),
      stop_profiler(library, "LiteRtStopProfiler"),
      num_events(library, "LiteRtGetNumProfilerEvents"),
      get_events(library, "LiteRtGetProfilerEvents") {}

}  // namespace edgekit::litert

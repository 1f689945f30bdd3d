#include "engines.h"

#include <dlfcn.h>

#include "build_facts.h"
#include "failure.h"

namespace edgekit {

const char* engine_version(const std::string& name) {
  for (const auto& [engine, version] : kEngineVersions) {
    if (name == engine) return version;
  }
  return nullptr;
}

std::unique_ptr<Engine> create_engine(const std::string& name) {
  if (engine_version(name) == nullptr) {
    throw usage("The native runner has no engine " + name + ".", name, "Measure this file on the host.");
  }
  const std::string library = "libedgekit_" + name + ".so";
  const std::string next = std::string("Build the runner again: python android_harness/runner/build.py --abi ") + kAbi;
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw device("The engine " + name + " can't be loaded: " + dlerror(), library, next);
  const auto create = reinterpret_cast<CreateEngine>(dlsym(handle, kCreateSymbol));
  if (create == nullptr) throw device("The engine " + name + " is not one of this runner's.", library, next);
  return std::unique_ptr<Engine>(create());
}

}  // namespace edgekit

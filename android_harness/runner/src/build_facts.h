// What build.py says on the compiler's command line.
#pragma once

#if !defined(EDGEKIT_VERSION) || !defined(EDGEKIT_ABI) || !defined(EDGEKIT_EXECUTORCH) || !defined(EDGEKIT_LITERT)
#error "compile this with android_harness/runner/build.py"
#endif

namespace edgekit {

constexpr const char* kHarnessVersion = EDGEKIT_VERSION;
constexpr const char* kAbi = EDGEKIT_ABI;

struct EngineVersion {
  const char* engine;
  const char* version;
};
// Pinned versions of the runtimes' wheels.
constexpr EngineVersion kEngineVersions[] = {{"executorch", EDGEKIT_EXECUTORCH}, {"litert", EDGEKIT_LITERT}};

}  // namespace edgekit

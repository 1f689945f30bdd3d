// From the name of a runtime to its driver.
#pragma once

#include <memory>
#include <string>

#include "engine.h"

namespace edgekit {

// The version of the runtime that this runner was built with; null if it was built without that runtime.
const char* engine_version(const std::string& name);

// Load the shared object of a runtime. Throws Failure: "usage" if this runner knows no such engine, "device" if the
// engine's libraries are not beside it.
std::unique_ptr<Engine> create_engine(const std::string& name);

}  // namespace edgekit

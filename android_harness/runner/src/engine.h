// What the runner asks of a runtime. Each runtime is a shared object of its own, loaded only for a job that names it:
// memory figures then hold nothing of the other one, and the lack of one takes nothing from the other.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "array.h"

namespace edgekit {

// Profiled runs that are thrown away first, so that caches and thread pools are as warm as in the timed loop.
constexpr int kProfileWarmup = 3;
// More events than this are refused rather than kept in memory.
constexpr std::size_t kMaxEvents = 1'000'000;

// What a loaded model expects of one input; a size that it leaves open is negative.
struct InputSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string dtype;
};

// One operator: milliseconds in each of the profiled runs.
struct OpRow {
  std::string name, type, unit;
  std::vector<double> times_ms;
};

// Per-operator times; `totals_ns` holds the whole time of every profiled run.
struct OpProfile {
  std::vector<OpRow> rows;
  std::vector<std::int64_t> totals_ns;
  std::optional<std::string> note;
};

// One runtime in this process. Every call but the destructor may throw Failure.
class Engine {
 public:
  virtual ~Engine() = default;
  // Load the file, ready to run with that many threads. A model loaded before is released first.
  virtual void load(const std::string& path, int threads) = 0;
  virtual std::vector<InputSpec> specs() = 0;
  // Set the inputs of the following runs; they fit specs().
  virtual void bind(const std::vector<Array>& inputs) = 0;
  // One inference on the bound inputs. This is what is timed.
  virtual void run() = 0;
  // Copies of the last run's outputs, in the model's order.
  virtual std::vector<Array> outputs() = 0;
  // Per-operator times over `runs` runs on the bound inputs, from an instrumented load of its own.
  virtual OpProfile profile(int runs) = 0;
};

// What a runtime's shared object exports under this name, as a function of this type; the caller owns the answer.
constexpr const char* kCreateSymbol = "edgekit_create_engine";
using CreateEngine = Engine* (*)();

}  // namespace edgekit

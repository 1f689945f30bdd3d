// The timed loop of edgekit/harness/loop.py: warm up until the machine has settled, then keep every sample.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "documents.h"

namespace edgekit {

using Nanoseconds = std::int64_t;
using Clock = std::function<Nanoseconds()>;
using Run = std::function<void()>;

// The most that one repeat keeps. Storage is allocated before timing starts.
constexpr std::size_t kMaxSamples = 200'000;

// CLOCK_MONOTONIC_RAW: no time service slews it.
Nanoseconds monotonic_raw();

// Nanoseconds per run. `timed_out` means fewer runs than the plan's minimum.
struct Timed {
  std::vector<Nanoseconds> warmup_ns;
  bool warmup_stable = false;
  std::vector<Nanoseconds> samples_ns;
  bool timed_out = false;
  std::optional<std::string> note;
};

// The warm-up ends when all hold: warmup_min_runs runs, warmup_min_seconds seconds, and the medians of its last two
// windows within 2%; at the latest after warmup_max_seconds, and then it is reported as not stable. The timed part
// ends after min_runs runs and min_seconds seconds, at the latest after max_seconds. A run is never cut short.
Timed timed_loop(const Run& run, const Plan& plan, const Clock& clock, std::size_t max_samples = kMaxSamples);

// Median nanoseconds per run that the loop itself costs: the same loop around an empty call.
Nanoseconds overhead_ns(const Clock& clock);

// Whether the medians of the last two windows of `count` times agree within 2% of the newer one.
bool is_stable(const Nanoseconds* times, std::size_t count);

// The mean of the two middle values where their number is even; `values` must not be empty.
template <typename T>
double median(std::vector<T> values);

extern template double median(std::vector<Nanoseconds>);
extern template double median(std::vector<double>);

}  // namespace edgekit

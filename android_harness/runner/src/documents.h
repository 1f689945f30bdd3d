// The job and result documents of edgekit/job.py and edgekit/records.py, field by field.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace edgekit {

struct Plan {
  std::int64_t warmup_min_runs = 5;
  double warmup_min_seconds = 0.5, warmup_max_seconds = 20.0;
  std::int64_t min_runs = 50;
  double min_seconds = 1.0, max_seconds = 150.0;
  std::int64_t repeats = 3;
};

struct Job {
  std::string mode, engine, artifact, artifact_sha256;
  std::vector<std::string> inputs;
  std::optional<std::string> outputs_dir;
  std::int64_t threads = 1;
  std::optional<std::vector<std::int64_t>> affinity;
  Plan plan;
};

// What the machine does not tell is empty and named in `missing`.
struct DeviceState {
  std::optional<std::vector<std::int64_t>> frequencies_khz, max_frequencies_khz;
  std::optional<std::string> governor;
  std::optional<std::map<std::string, double>> temperatures_c;
  std::optional<std::int64_t> thermal_status, throttle_count;
  std::optional<double> load_1min, steal_ms;
  std::optional<bool> charging;
  std::optional<double> battery_percent;
  std::optional<bool> screen_on;
  std::vector<std::string> missing;
};

struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string dtype;
};

struct OpTime {
  std::string name, type, unit;
  double p50_ms = 0.0, share = 0.0;
  std::int64_t count = 1;
};

struct JobResult {
  std::string harness, harness_version, engine, runtime_version;
  std::int64_t threads = 1;
  std::int64_t load_cold_ns = 0, load_warm_ns = 0, first_ns = 0;
  std::vector<std::int64_t> warmup_ns;
  bool warmup_stable = false;
  std::vector<std::int64_t> samples_ns;
  std::int64_t overhead_ns = 0;
  bool timed_out = false;
  std::vector<TensorSpec> inputs;
  std::vector<std::string> outputs;
  std::int64_t baseline_rss_bytes = 0, peak_rss_bytes = 0;
  std::string started;
  DeviceState state_before, state_after;
  std::vector<OpTime> ops;
  std::optional<std::string> note;
};

struct JobFailure {
  std::string kind, message, where, next_step;
};

// Read a job for the harness `version`. Throws Failure: "device" if it is for another version, which is looked at
// first; "usage" if it is no job, or has a field that is unknown, missing, of another type or out of range.
Job read_job(std::string_view text, const std::string& version);

// The names of the fields of a state that are empty, `missing` itself apart, in alphabetical order.
std::vector<std::string> untold(const DeviceState& state);

// Envelopes with exactly one of the two, byte by byte as edgekit.job.encode writes them.
std::string encode(const JobResult& result);
std::string encode(const JobFailure& failure);

}  // namespace edgekit

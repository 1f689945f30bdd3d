// Answer documents. The order of the fields is that of the records; edgekit.job's golden bytes hold it.
#include <algorithm>

#include "documents.h"
#include "json.h"

namespace edgekit {
namespace {

using json::Writer;

void put(Writer& to, std::int64_t value) { to.integer(value); }
void put(Writer& to, bool value) { to.boolean(value); }
void put(Writer& to, double value) { to.number(value); }
void put(Writer& to, const std::string& value) { to.string(value); }

void put(Writer& to, const std::map<std::string, double>& values) {
  to.begin_object();
  for (const auto& [name, value] : values) {
    to.key(name);
    to.number(value);
  }
  to.end_object();
}

// Declared before the templates that call them.
void put(Writer& to, const TensorSpec& spec);
void put(Writer& to, const OpTime& op);
void put(Writer& to, const DeviceState& state);
template <typename T>
void put(Writer& to, const std::vector<T>& values);

template <typename T>
void put(Writer& to, const std::optional<T>& value) {
  value ? put(to, *value) : to.null();
}

template <typename T>
void field(Writer& to, const char* name, const T& value) {
  to.key(name);
  put(to, value);
}

void put(Writer& to, const TensorSpec& spec) {
  to.begin_object();
  field(to, "name", spec.name);
  field(to, "shape", spec.shape);
  field(to, "dtype", spec.dtype);
  to.end_object();
}

void put(Writer& to, const OpTime& op) {
  to.begin_object();
  field(to, "name", op.name);
  field(to, "type", op.type);
  field(to, "unit", op.unit);
  field(to, "p50_ms", op.p50_ms);
  field(to, "share", op.share);
  field(to, "count", op.count);
  to.key("counted");  // of microcontrollers
  to.null();
  to.end_object();
}

template <typename T>
void put(Writer& to, const std::vector<T>& values) {
  to.begin_array();
  for (const T& value : values) put(to, value);
  to.end_array();
}

// Calls `visit` with the name and the value of every field of a state but `missing`.
template <typename Visit>
void each_field(const DeviceState& state, const Visit& visit) {
  visit("frequencies_khz", state.frequencies_khz);
  visit("max_frequencies_khz", state.max_frequencies_khz);
  visit("governor", state.governor);
  visit("temperatures_c", state.temperatures_c);
  visit("thermal_status", state.thermal_status);
  visit("throttle_count", state.throttle_count);
  visit("load_1min", state.load_1min);
  visit("steal_ms", state.steal_ms);
  visit("charging", state.charging);
  visit("battery_percent", state.battery_percent);
  visit("screen_on", state.screen_on);
}

void put(Writer& to, const DeviceState& state) {
  to.begin_object();
  each_field(state, [&](const char* name, const auto& value) { field(to, name, value); });
  field(to, "missing", state.missing);
  to.end_object();
}

void put_times(Writer& to, const JobResult& result) {
  field(to, "load_cold_ns", result.load_cold_ns);
  field(to, "load_warm_ns", result.load_warm_ns);
  field(to, "first_ns", result.first_ns);
  field(to, "warmup_ns", result.warmup_ns);
  field(to, "warmup_stable", result.warmup_stable);
  field(to, "samples_ns", result.samples_ns);
  field(to, "overhead_ns", result.overhead_ns);
  field(to, "timed_out", result.timed_out);
}

void put(Writer& to, const JobResult& result) {
  to.begin_object();
  field(to, "schema", std::int64_t{1});
  field(to, "harness", result.harness);
  field(to, "harness_version", result.harness_version);
  field(to, "engine", result.engine);
  field(to, "runtime_version", result.runtime_version);
  field(to, "threads", result.threads);
  put_times(to, result);
  field(to, "inputs", result.inputs);
  field(to, "outputs", result.outputs);
  field(to, "baseline_rss_bytes", result.baseline_rss_bytes);
  field(to, "peak_rss_bytes", result.peak_rss_bytes);
  field(to, "started", result.started);
  field(to, "state_before", result.state_before);
  field(to, "state_after", result.state_after);
  field(to, "ops", result.ops);
  field(to, "note", result.note);
  to.key("counted");  // of microcontrollers
  to.null();
  to.end_object();
}

void put(Writer& to, const JobFailure& failure) {
  to.begin_object();
  field(to, "schema", std::int64_t{1});
  field(to, "kind", failure.kind);
  field(to, "message", failure.message);
  field(to, "where", failure.where);
  field(to, "next_step", failure.next_step);
  to.end_object();
}

template <typename T>
std::string envelope(const char* filled, const T& answer) {
  Writer to;
  to.begin_object();
  for (const char* name : {"result", "failure"}) {
    to.key(name);
    std::string_view(name) == filled ? put(to, answer) : to.null();
  }
  to.end_object();
  return to.text();
}

}  // namespace

std::vector<std::string> untold(const DeviceState& state) {
  std::vector<std::string> names;
  each_field(state, [&](const char* name, const auto& value) {
    if (!value) names.emplace_back(name);
  });
  std::sort(names.begin(), names.end());
  return names;
}

std::string encode(const JobResult& result) { return envelope("result", result); }
std::string encode(const JobFailure& failure) { return envelope("failure", failure); }

}  // namespace edgekit

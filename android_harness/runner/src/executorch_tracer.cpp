#include "executorch_tracer.h"

#include <executorch/runtime/platform/platform.h>

#include <algorithm>
#include <array>
#include <map>

#include "failure.h"

namespace edgekit {
namespace {

using executorch::runtime::DelegateDebugIdType;
using executorch::runtime::EventTracerEntry;

constexpr const char* kWholeRun = "Method::execute";
constexpr const char* kDelegateCall = "DELEGATE_CALL";
// Events that contain others, or that belong to loading.
constexpr std::array<const char*, 5> kContainers = {kWholeRun, kDelegateCall, "OPERATOR_CALL", "Method::init",
                                                    "Program::load_method"};

std::int64_t nanoseconds(et_timestamp_t start, et_timestamp_t end) {
  const et_tick_ratio_t ratio = et_pal_ticks_to_ns_multiplier();
  const auto ticks = static_cast<double>(end - start);
  return static_cast<std::int64_t>(ticks * static_cast<double>(ratio.numerator) /
                                   static_cast<double>(ratio.denominator));
}

bool is_container(const std::string& name) {
  return std::any_of(kContainers.begin(), kContainers.end(), [&](const char* other) { return name == other; });
}

}  // namespace

void Tracer::clear() {
  events_.clear();
  overflowed_ = false;
}

std::int64_t Tracer::begin(const char* name, bool delegated) {
  if (events_.size() >= kMaxEvents) {
    overflowed_ = true;
    return -1;
  }
  events_.push_back({name == nullptr ? "" : name, 0, delegated});
  return static_cast<std::int64_t>(events_.size()) - 1;
}

void Tracer::end(std::int64_t id, et_timestamp_t start) {
  if (id < 0 || id >= static_cast<std::int64_t>(events_.size())) return;
  events_[static_cast<std::size_t>(id)].ns = nanoseconds(start, et_pal_current_ticks());
}

EventTracerEntry Tracer::start_profiling(const char* name, executorch::runtime::ChainID chain,
                                         executorch::runtime::DebugHandle handle) {
  return {begin(name, false), chain, handle, et_pal_current_ticks(), DelegateDebugIdType::kNone};
}

void Tracer::end_profiling(EventTracerEntry entry) { end(entry.event_id, entry.start_time); }

EventTracerEntry Tracer::start_profiling_delegate(const char* name, executorch::runtime::DelegateDebugIntId index) {
  const std::string number = std::to_string(index);
  const std::int64_t id = begin(name == nullptr ? number.c_str() : name, true);
  return {id, chain_id_, debug_handle_, et_pal_current_ticks(), DelegateDebugIdType::kStr};
}

void Tracer::end_profiling_delegate(EventTracerEntry entry, const void*, std::size_t) {
  end(entry.event_id, entry.start_time);
}

void Tracer::log_profiling_delegate(const char* name, executorch::runtime::DelegateDebugIntId index,
                                    et_timestamp_t start_time, et_timestamp_t end_time, const void*, std::size_t) {
  const std::string number = std::to_string(index);
  const std::int64_t id = begin(name == nullptr ? number.c_str() : name, true);
  if (id >= 0) events_[static_cast<std::size_t>(id)].ns = nanoseconds(start_time, end_time);
}

OpProfile Tracer::profile(const std::string& where) const {
  if (overflowed_) throw runtime("profile the model", "it had more than a million events; ask for fewer runs.", where);
  const bool detailed = std::any_of(events_.begin(), events_.end(), [](const Event& event) { return event.delegated; });
  OpProfile found;
  std::map<std::pair<std::size_t, std::string>, std::size_t> row_of;
  std::size_t place = 0;
  bool calls = false;
  for (const Event& event : events_) {
    if (event.name == kWholeRun) {
      found.totals_ns.push_back(event.ns);
      place = 0;
    }
    const bool call = !detailed && event.name == kDelegateCall;
    if (found.totals_ns.empty() || (is_container(event.name) && !call)) continue;
    calls = calls || call;
    const auto [entry, is_new] = row_of.try_emplace({place++, event.name}, found.rows.size());
    if (is_new) {
      const std::string name = call ? "delegate" : event.name;
      const std::string kind = name.substr(0, name.rfind(" #"));
      found.rows.push_back({name, kind, event.delegated || call ? "delegate" : "CPU", {}});
    }
    found.rows[entry->second].times_ms.push_back(static_cast<double>(event.ns) / 1e6);
  }
  if (found.totals_ns.empty()) found.note = "ExecuTorch recorded no execution events for this file.";
  if (calls) found.note = "The delegate reports no operators of its own; each call of it is one row.";
  return found;
}

}  // namespace edgekit

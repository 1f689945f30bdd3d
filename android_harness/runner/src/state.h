// The state of this machine from /proc and /sys, by the rules of edgekit/harness/state.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "documents.h"

namespace edgekit {

// Named in `missing` when the artifact could not be evicted from the page cache, so that no load was a cold one.
constexpr const char* kColdCache = "cold page cache";

// This machine now. `root` is the directory in which proc and sys are found, "" for the real ones. What the machine
// does not tell is empty and named in `missing`; thermal_status and screen_on are told by Android's services only.
DeviceState read_state(const std::string& root = "");

// Each is a pure function of the text of one file; empty if it is not told there.
std::optional<std::int64_t> parse_int(const std::optional<std::string>& text);
std::optional<double> parse_load(const std::optional<std::string>& loadavg);
std::optional<double> parse_steal_ms(const std::optional<std::string>& stat, long ticks_per_second);
// One "Key:  N kB" line of /proc/meminfo or /proc/PID/status, in bytes.
std::optional<std::int64_t> parse_memory_bytes(const std::optional<std::string>& text, std::string_view key);

}  // namespace edgekit

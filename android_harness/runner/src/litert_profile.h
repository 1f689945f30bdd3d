// Per-operator times from LiteRT's profiler events, by the rules of edgekit/harness/engines/litert_profile.py.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine.h"

namespace edgekit::litert {

// One profiler event: its tag, tflite::Profiler::EventType, and microseconds.
struct ProfilerEvent {
  std::string tag;
  int type;
  std::uint64_t elapsed_us;
};

// Whether LiteRT 2.3 has that type of event; another one shows that events are laid out differently.
bool is_known_type(int type);

// Runs are told apart by their `Invoke` event, operators within one by their order: a delegate's operators are
// numbered within their own partition.
OpProfile read_events(const std::vector<ProfilerEvent>& events);

}  // namespace edgekit::litert

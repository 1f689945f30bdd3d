#include "litert_profile.h"

#include <map>
#include <tuple>

namespace edgekit::litert {
namespace {

constexpr int kWholeRun = 1, kOperator = 1 << 1, kDelegateOperator = 1 << 2, kDelegateProfiled = 1 << 3;
constexpr int kTypes = 9;

}  // namespace

bool is_known_type(int type) { return type > 0 && (type & (type - 1)) == 0 && type < 1 << kTypes; }

OpProfile read_events(const std::vector<ProfilerEvent>& events) {
  OpProfile found;
  for (const ProfilerEvent& event : events) {
    if (is_known_type(event.type)) continue;
    found.note = "This LiteRT's profiler events are laid out differently from LiteRT 2.3's.";
    return found;
  }
  std::map<std::tuple<int, std::string, bool>, std::size_t> row_of;
  int place = 0;
  for (const ProfilerEvent& event : events) {
    if (event.type == kWholeRun && event.tag == "Invoke") {
      found.totals_ns.push_back(static_cast<std::int64_t>(event.elapsed_us) * 1000);
      place = 0;
    }
    if (event.type != kOperator && event.type != kDelegateOperator && event.type != kDelegateProfiled) continue;
    const bool inside = event.type != kOperator;
    const auto [entry, is_new] = row_of.try_emplace({place, event.tag, inside}, found.rows.size());
    const std::string name = event.tag + " #" + std::to_string(place++);
    if (is_new) found.rows.push_back({name, event.tag, inside ? "XNNPACK" : "CPU", {}});
    found.rows[entry->second].times_ms.push_back(static_cast<double>(event.elapsed_us) / 1e3);
  }
  found.note = "LiteRT's profiler counts whole microseconds; an operator shown as 0 took less than one.";
  if (found.totals_ns.empty()) {
    found.rows.clear();
    found.note = "LiteRT recorded no runs.";
  }
  return found;
}

}  // namespace edgekit::litert

#include "state.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <vector>

#include "files.h"

namespace edgekit {
namespace {

// Far more than any of these files holds up to the line that is looked for.
constexpr std::size_t kTextBytes = 64 * 1024;

using Text = std::optional<std::string>;

Text text_of(const std::string& path) { return read_text(path, kTextBytes); }

std::string stripped(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  return begin == std::string_view::npos ? "" : std::string(text.substr(begin, end - begin + 1));
}

std::string stripped(const Text& text) { return text ? stripped(std::string_view(*text)) : ""; }

std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> found;
  for (std::size_t begin = 0; (begin = line.find_first_not_of(" \t\r\n", begin)) != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(" \t\r\n", begin), line.size());
    found.emplace_back(line.substr(begin, end - begin));
    begin = end;
  }
  return found;
}

std::vector<std::string> lines(const Text& text) {
  std::vector<std::string> found;
  for (std::size_t begin = 0; text && begin < text->size();) {
    const std::size_t end = std::min(text->find('\n', begin), text->size());
    found.push_back(text->substr(begin, end - begin));
    begin = end + 1;
  }
  return found;
}

template <typename T>
std::optional<T> whole_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional<T>(value) : std::nullopt;
}

// Names in a directory that begin with `prefix`, in alphabetical order.
std::vector<std::string> names_in(const std::string& folder, const std::string& prefix) {
  std::vector<std::string> names;
  DIR* stream = opendir(folder.c_str());
  if (stream == nullptr) return names;
  while (const dirent* entry = readdir(stream)) {
    const std::string name = entry->d_name;
    if (name[0] != '.' && name.compare(0, prefix.size(), prefix) == 0) names.push_back(name);
  }
  closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

// cpu0, cpu1, … in the order of their numbers, as paths.
std::vector<std::string> cpu_directories(const std::string& root) {
  const std::string folder = root + "/sys/devices/system/cpu/";
  std::vector<std::pair<std::int64_t, std::string>> numbered;
  for (const std::string& name : names_in(folder, "cpu")) {
    const auto number = whole_number<std::int64_t>(std::string_view(name).substr(3));
    if (number && *number >= 0) numbered.emplace_back(*number, folder + name);
  }
  std::sort(numbered.begin(), numbered.end());
  std::vector<std::string> paths;
  for (auto& [number, path] : numbered) paths.push_back(std::move(path));
  return paths;
}

// That file of every core; empty unless all of them tell it.
std::optional<std::vector<std::int64_t>> of_every(const std::vector<std::string>& cpus, const std::string& file) {
  std::vector<std::int64_t> numbers;
  for (const std::string& cpu : cpus) {
    const auto number = parse_int(text_of(cpu + file));
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers.empty() ? std::nullopt : std::optional(numbers);
}

Text governor(const std::vector<std::string>& cpus) {
  std::set<std::string> names;
  for (const std::string& cpu : cpus) names.insert(stripped(text_of(cpu + "/cpufreq/scaling_governor")));
  names.erase("");
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : "+") + name;
  return joined.empty() ? std::nullopt : Text(joined);
}

std::optional<std::map<std::string, double>> temperatures(const std::string& root) {
  const std::string folder = root + "/sys/class/thermal/";
  std::map<std::string, double> found;
  for (const std::string& zone : names_in(folder, "thermal_zone")) {
    const auto milli = parse_int(text_of(folder + zone + "/temp"));
    std::string name = stripped(text_of(folder + zone + "/type"));
    if (name.empty()) name = zone;
    if (found.count(name) != 0) name += " (" + zone + ")";
    // Sensors that are switched off answer 0 or a negative sentinel.
    if (milli && *milli > 0) found[name] = static_cast<double>(*milli) / 1000.0;
  }
  return found.empty() ? std::nullopt : std::optional(found);
}

std::optional<std::int64_t> throttle_count(const std::vector<std::string>& cpus) {
  std::optional<std::int64_t> sum;
  for (const std::string& cpu : cpus) {
    for (const char* name : {"core_throttle_count", "package_throttle_count"}) {
      const auto count = parse_int(text_of(cpu + "/thermal_throttle/" + name));
      if (count) sum = sum.value_or(0) + *count;
    }
  }
  return sum;
}

void read_power(const std::string& root, DeviceState& state) {
  const std::string folder = root + "/sys/class/power_supply/";
  for (const std::string& supply : names_in(folder, "")) {
    const std::string base = folder + supply + "/";
    if (stripped(text_of(base + "type")) != "Battery") continue;
    const std::string status = stripped(text_of(base + "status"));
    if (!status.empty()) {
      const bool powered = status == "Charging" || status == "Full" || status == "Not charging";
      state.charging = state.charging.value_or(false) || powered;
    }
    const auto percent = parse_int(text_of(base + "capacity"));
    if (percent && !state.battery_percent) state.battery_percent = static_cast<double>(*percent);
  }
}

}  // namespace

DeviceState read_state(const std::string& root) {
  const std::vector<std::string> cpus = cpu_directories(root);
  DeviceState state;
  state.frequencies_khz = of_every(cpus, "/cpufreq/scaling_cur_freq");
  state.max_frequencies_khz = of_every(cpus, "/cpufreq/cpuinfo_max_freq");
  state.governor = governor(cpus);
  state.temperatures_c = temperatures(root);
  state.throttle_count = throttle_count(cpus);
  state.load_1min = parse_load(text_of(root + "/proc/loadavg"));
  state.steal_ms = parse_steal_ms(text_of(root + "/proc/stat"), sysconf(_SC_CLK_TCK));
  read_power(root, state);
  state.missing = untold(state);
  return state;
}

std::optional<std::int64_t> parse_int(const Text& text) {
  return text ? whole_number<std::int64_t>(stripped(text)) : std::nullopt;
}

std::optional<double> parse_load(const Text& loadavg) {
  const std::vector<std::string> fields = words(loadavg.value_or(""));
  return fields.empty() ? std::nullopt : whole_number<double>(fields[0]);
}

std::optional<double> parse_steal_ms(const Text& stat, long ticks_per_second) {
  for (const std::string& line : lines(stat)) {
    const std::vector<std::string> fields = words(line);
    // cpu user nice system idle iowait irq softirq steal ...; kernels before 2.6.11 have no eighth number.
    if (fields.size() <= 8 || fields[0] != "cpu") continue;
    const auto ticks = whole_number<std::int64_t>(fields[8]);
    if (ticks && *ticks >= 0) return static_cast<double>(*ticks) * 1000.0 / static_cast<double>(ticks_per_second);
  }
  return std::nullopt;
}

std::optional<std::int64_t> parse_memory_bytes(const Text& text, std::string_view key) {
  for (const std::string& line : lines(text)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || std::string_view(line).substr(0, colon) != key) continue;
    const std::vector<std::string> fields = words(std::string_view(line).substr(colon + 1));
    if (fields.size() != 2 || fields[1] != "kB") continue;
    const auto number = whole_number<std::int64_t>(fields[0]);
    if (number && *number >= 0 && *number <= INT64_MAX / 1024) return *number * 1024;
  }
  return std::nullopt;
}

}  // namespace edgekit

#include "memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>

#include "files.h"
#include "state.h"

namespace edgekit {
namespace {

std::optional<std::string> status() { return read_text("/proc/self/status", 64 * 1024); }

}  // namespace

void settle_heap() { malloc_trim(0); }

std::int64_t resident_bytes() { return parse_memory_bytes(status(), "VmRSS").value_or(0); }

bool reset_peak() {
  const OpenFile file("/proc/self/clear_refs", O_WRONLY);
  return file.ok() && file.write("5", 1, 0);
}

Peak peak_bytes(bool was_reset) {
  const auto peak = was_reset ? parse_memory_bytes(status(), "VmHWM") : std::nullopt;
  if (peak) return {*peak, std::nullopt};
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {static_cast<std::int64_t>(usage.ru_maxrss) * 1024,
          "Peak memory covers the whole process: this system does not let it be reset before the model loads."};
}

}  // namespace edgekit

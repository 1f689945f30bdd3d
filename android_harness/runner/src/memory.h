// Resident memory of this process.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace edgekit {

// Hand freed heap back to the system, so that the model's own allocations show in the resident size.
void settle_heap();

// Resident memory now, in bytes; 0 where the system does not tell.
std::int64_t resident_bytes();

// Make the kernel forget the peak so far (proc(5): writing 5 to clear_refs). False where that is not allowed.
bool reset_peak();

struct Peak {
  std::int64_t bytes;
  std::optional<std::string> note;  // given if the peak covers more than the time since reset_peak()
};
Peak peak_bytes(bool was_reset);

}  // namespace edgekit

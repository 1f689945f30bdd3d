// Files: reading them within bounds, their digest, and getting them out of the page cache.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace edgekit {

// An open file descriptor, closed at the end of its scope.
class OpenFile {
 public:
  OpenFile(const std::string& path, int flags, mode_t mode = 0);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  bool ok() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  // Size in bytes, or empty if it is no regular file.
  std::optional<off_t> size() const;
  // False on an error or before `bytes` were moved; errno is 0 at the end of the file.
  bool read(void* into, std::size_t bytes, off_t offset) const;
  bool write(const void* from, std::size_t bytes, off_t offset) const;

 private:
  int fd_;
};

// At most `limit` bytes from the beginning of a file of any kind, /proc and /sys included; empty if it can't be read.
std::optional<std::string> read_text(const std::string& path, std::size_t limit);

// Write a file under another name, then rename it into place. Throws Failure ("usage").
void write_whole(const std::string& path, std::string_view content);

// Hex sha256 of a regular file. Throws Failure ("usage") if there is none or it can't be read.
std::string sha256_of(const std::string& path);

// Drop a file from the page cache; true only if mincore(2) shows at most 1% of it left. Advice may be ignored, and
// pages that another process has mapped stay.
bool evict(const std::string& path);

}  // namespace edgekit

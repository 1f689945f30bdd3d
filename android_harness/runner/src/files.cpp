#include "files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "failure.h"
#include "sha256.h"

namespace edgekit {
namespace {

constexpr std::size_t kChunk = 1 << 20;
// mincore may count a page that was being read while we looked; a cold load of more than this share is not cold.
constexpr double kResidentShare = 0.01;

// Share of the file's pages in the page cache; empty where that can't be asked.
std::optional<double> resident_share(const OpenFile& file, std::size_t size) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((size + page - 1) / page);
  void* view = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (view == MAP_FAILED) return std::nullopt;
  const int failed = mincore(view, size, pages.data());
  munmap(view, size);
  if (failed != 0) return std::nullopt;
  const auto resident = std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return (p & 1) != 0; });
  return static_cast<double>(resident) / static_cast<double>(pages.size());
}

}  // namespace

OpenFile::OpenFile(const std::string& path, int flags, mode_t mode)
    : fd_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}

OpenFile::~OpenFile() {
  if (fd_ >= 0) close(fd_);
}

std::optional<off_t> OpenFile::size() const {
  struct stat facts {};
  if (fstat(fd_, &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  return facts.st_size;
}

bool OpenFile::read(void* into, std::size_t bytes, off_t offset) const {
  for (auto* to = static_cast<char*>(into); bytes > 0;) {
    const ssize_t got = pread(fd_, to, std::min(bytes, kChunk), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) errno = 0;
    if (got <= 0) return false;
    to += got, offset += got, bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

bool OpenFile::write(const void* from, std::size_t bytes, off_t offset) const {
  for (const auto* data = static_cast<const char*>(from); bytes > 0;) {
    const ssize_t put = pwrite(fd_, data, std::min(bytes, kChunk), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    data += put, offset += put, bytes -= static_cast<std::size_t>(put);
  }
  return true;
}

std::optional<std::string> read_text(const std::string& path, std::size_t limit) {
  const OpenFile file(path, O_RDONLY);
  if (!file.ok()) return std::nullopt;
  std::string text(limit, '\0');
  std::size_t filled = 0;
  while (filled < limit) {
    const ssize_t got = ::read(file.fd(), text.data() + filled, limit - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  return text;
}

void write_whole(const std::string& path, std::string_view content) {
  const std::string part = path + ".part";
  const auto fail = [&] { throw usage("The answer can't be written: " + last_error(), path, "Choose another place."); };
  {
    const OpenFile file(part, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!file.ok() || !file.write(content.data(), content.size(), 0)) fail();
  }
  if (rename(part.c_str(), path.c_str()) != 0) fail();
}

std::string sha256_of(const std::string& path) {
  const OpenFile file(path, O_RDONLY | O_NONBLOCK);  // a pipe is refused, not waited for
  if (!file.ok() && (errno == ENOENT || errno == ENOTDIR)) {
    throw usage(path + " does not exist.", path, "Check the path of the artifact.");
  }
  if (!file.ok()) throw usage("The artifact can't be read: " + last_error(), path, "Check its permissions.");
  const std::optional<off_t> size = file.size();
  if (!size) throw usage(path + " is not a file.", path, "This harness runs .pte and .tflite files only.");
  Sha256 digest;
  std::vector<char> chunk(kChunk);
  for (off_t at = 0; at < *size;) {
    const auto bytes = static_cast<std::size_t>(std::min<off_t>(*size - at, kChunk));
    if (!file.read(chunk.data(), bytes, at)) {
      throw usage("The artifact can't be read: " + (errno == 0 ? "it is cut off." : last_error()), path,
                  "Copy it again.");
    }
    digest.update(chunk.data(), bytes);
    at += static_cast<off_t>(bytes);
  }
  return digest.hex();
}

bool evict(const std::string& path) {
  const OpenFile file(path, O_RDONLY);
  const std::optional<off_t> size = file.ok() ? file.size() : std::nullopt;
  if (!size || *size == 0) return false;
  if (fsync(file.fd()) != 0) return false;  // dirty pages can't be dropped
  posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  const std::optional<double> share = resident_share(file, static_cast<std::size_t>(*size));
  return share && *share <= kResidentShare;
}

}  // namespace edgekit

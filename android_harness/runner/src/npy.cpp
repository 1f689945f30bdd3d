#include "npy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <set>
#include <stdexcept>

#include "failure.h"

namespace edgekit {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMaxHeader = 64 * 1024, kMaxRank = 32;

// Reads numpy's dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (8, 3), }
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  NpyHeader read() {
    NpyHeader header;
    std::set<std::string> seen;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (!seen.insert(key).second) fail("a key that occurs twice");
      read_value(key, header);
      if (!take(',') && !at('}')) fail("a comma was expected");
    }
    skip_space();
    if (begin_ != text_.size()) fail("text after the dictionary");
    if (seen != std::set<std::string>{"descr", "fortran_order", "shape"}) fail("keys are missing");
    return header;
  }

 private:
  [[noreturn]] static void fail(const std::string& what) {
    throw std::invalid_argument("its header is wrong: " + what);
  }

  void skip_space() {
    while (begin_ < text_.size() && (text_[begin_] == ' ' || text_[begin_] == '\n')) ++begin_;
  }

  bool at(char wanted) {
    skip_space();
    return begin_ < text_.size() && text_[begin_] == wanted;
  }

  bool take(char wanted) {
    if (!at(wanted)) return false;
    ++begin_;
    return true;
  }

  void expect(char wanted) {
    if (!take(wanted)) fail(std::string("'") + wanted + "' was expected");
  }

  std::string quoted() {
    expect('\'');
    const std::size_t end = text_.find('\'', begin_);
    if (end == std::string_view::npos) fail("a string without an end");
    std::string found(text_.substr(begin_, end - begin_));
    begin_ = end + 1;
    return found;
  }

  void read_value(const std::string& key, NpyHeader& header) {
    if (key == "descr") {
      if (at('[')) throw std::invalid_argument("its elements are records, not plain numbers");
      header.type = type_of(quoted());
    } else if (key == "fortran_order") {
      skip_space();
      if (text_.substr(begin_, 5) != "False") throw std::invalid_argument("it is in Fortran order; save it in C order");
      begin_ += 5;
    } else if (key == "shape") {
      read_shape(header.shape);
    } else {
      fail("the unknown key " + key);
    }
  }

  static const ElementType* type_of(const std::string& descr) {
    for (const ElementType& row : kElementTypes) {
      if (descr.size() < 2 || descr.substr(1) != row.code) continue;
      if (descr[0] == '<' || descr[0] == '=' || (row.bytes == 1 && descr[0] == '|')) return &row;
    }
    throw std::invalid_argument("its type " + descr + " is not a plain little-endian number");
  }

  void read_shape(std::vector<std::int64_t>& shape) {
    expect('(');
    while (!take(')')) {
      skip_space();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(text_.data() + begin_, text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0) fail("a size was expected");
      begin_ = static_cast<std::size_t>(end - text_.data());
      shape.push_back(size);
      if (shape.size() > kMaxRank) fail("too many axes");
      if (!take(',') && !at(')')) fail("a comma was expected");
    }
  }

  std::string_view text_;
  std::size_t begin_ = 0;
};

Failure unreadable(const std::string& what, const std::string& path) {
  return usage("The inputs can't be read: " + what + ".", path, "Give a .npy file.");
}

// The dictionary's text and where the elements begin.
std::string header_text(const OpenFile& file, const std::string& path, off_t& begin) {
  unsigned char head[12] = {};
  if (!file.read(head, 10, 0) || std::string_view(reinterpret_cast<char*>(head), 6) != kMagic) {
    throw unreadable("it is no .npy file", path);
  }
  std::size_t length = head[8] | head[9] << 8U;
  begin = 10;
  if (head[6] == 2 || head[6] == 3) {
    if (!file.read(head + 10, 2, 10)) throw unreadable("it is cut off", path);
    length |= static_cast<std::size_t>(head[10]) << 16 | static_cast<std::size_t>(head[11]) << 24;
    begin = 12;
  } else if (head[6] != 1) {
    throw unreadable("it has an unknown version of the format", path);
  }
  if (length > kMaxHeader) throw unreadable("its header is too long", path);
  std::string text(length, '\0');
  if (!file.read(text.data(), length, begin)) throw unreadable("it is cut off", path);
  begin += static_cast<off_t>(length);
  return text;
}

Failure unwritable(const std::string& where) {
  return usage("The outputs can't be written: " + last_error(), where,
               "Choose a directory that can be written and has room.");
}

std::string name_of(std::size_t k) { return "/output_" + std::to_string(k) + ".npy"; }

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace

NpyHeader parse_npy_header(std::string_view text) { return HeaderReader(text).read(); }

std::string npy_head(const ElementType& type, const std::vector<std::int64_t>& shape) {
  std::string text = "{'descr': '";
  text += type.bytes == 1 ? '|' : '<';
  text += std::string(type.code) + "', 'fortran_order': False, 'shape': " + shape_text(shape) + ", }";
  // numpy leaves room for the leading axis to grow to 21 digits, then fills up to a multiple of 64 bytes.
  if (!shape.empty()) text.append(21 - std::to_string(shape[0]).size(), ' ');
  text.append(64 - (text.size() + 11) % 64, ' ');
  text += '\n';
  std::string head(kMagic);
  head += '\x01';
  head += '\x00';
  head += static_cast<char>(text.size() & 0xFF);
  head += static_cast<char>(text.size() >> 8);
  return head + text;
}

// Not blocking: a pipe is to be refused, not waited for.
InputStack::InputStack(const std::string& path) : path_(path), file_(path, O_RDONLY | O_NONBLOCK) {
  if (!file_.ok()) throw unreadable(last_error(), path);
  const std::optional<off_t> size = file_.size();
  if (!size) throw unreadable("it is not a file", path);
  NpyHeader header;
  try {
    header = parse_npy_header(header_text(file_, path, begin_));
  } catch (const std::invalid_argument& error) {
    throw unreadable(error.what(), path);
  }
  if (header.shape.empty()) throw usage(path + " is not a stack of samples.", path, "Add a leading sample axis.");
  const std::optional<std::size_t> whole = bytes_of(header.shape, header.type->bytes);
  if (!whole || *whole > static_cast<std::size_t>(*size - begin_)) {
    throw unreadable("it holds less than its header says", path);
  }
  type_ = header.type;
  count_ = header.shape[0];
  shape_.assign(header.shape.begin() + 1, header.shape.end());
  bytes_ = count_ == 0 ? 0 : *whole / static_cast<std::size_t>(count_);
}

Array InputStack::sample(std::int64_t index) const {
  Array value{type_, shape_, std::vector<std::uint8_t>(bytes_)};
  if (!file_.read(value.data.data(), bytes_, begin_ + static_cast<off_t>(bytes_) * index)) {
    throw unreadable(errno == 0 ? "it is cut off" : last_error(), path_);
  }
  return value;
}

std::vector<std::unique_ptr<InputStack>> open_inputs(const std::vector<std::string>& paths) {
  std::vector<std::unique_ptr<InputStack>> stacks;
  std::set<std::int64_t> counts;
  std::string where, found;
  for (const std::string& path : paths) {
    stacks.push_back(std::make_unique<InputStack>(path));
    counts.insert(stacks.back()->count());
    where += (where.empty() ? "" : ", ") + path;
  }
  if (counts.size() == 1 && *counts.begin() > 0) return stacks;
  for (const std::int64_t count : counts) found += (found.empty() ? "" : ", ") + std::to_string(count);
  throw usage("The input files hold [" + found + "] samples; every one needs the same number, at least 1.", where,
              "Give one .npy stack per model input, samples on the first axis.");
}

OutputStack::OutputStack(const std::string& folder, std::size_t k, std::int64_t count, const Array& like)
    : path_(folder + name_of(k)),
      file_(path_ + ".part", O_RDWR | O_CREAT | O_TRUNC, 0644),
      type_(like.type),
      shape_(like.shape) {
  if (!file_.ok()) throw unwritable(folder);
  std::vector<std::int64_t> shape{count};
  shape.insert(shape.end(), shape_.begin(), shape_.end());
  const std::string head = npy_head(*type_, shape);
  begin_ = static_cast<off_t>(head.size());
  const std::optional<std::size_t> bytes = bytes_of(shape, type_->bytes);
  if (!bytes) throw usage("The outputs are larger than a file can be.", folder, "Give fewer samples.");
  if (!file_.write(head.data(), head.size(), 0)) throw unwritable(folder);
  // Reserved now: a full disk is then told before the model has run on every sample.
  errno = posix_fallocate(file_.fd(), 0, begin_ + static_cast<off_t>(*bytes));
  if (errno != 0) throw unwritable(folder);
}

void OutputStack::write(std::int64_t index, const Array& value) {
  const auto bytes = static_cast<off_t>(value.data.size());
  if (!file_.write(value.data.data(), value.data.size(), begin_ + bytes * index)) throw unwritable(path_);
}

std::string OutputStack::finish() {
  // The final name appears only once every sample is in the file.
  if (rename((path_ + ".part").c_str(), path_.c_str()) != 0) throw unwritable(path_);
  return path_;
}

void make_folders(const std::string& path) {
  for (std::size_t end = 1; end != std::string::npos;) {
    end = path.find('/', end);
    const std::string folder = path.substr(0, end);
    if (end != std::string::npos) ++end;
    if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      // Folders above it may be closed to us, or read-only, and exist all the same.
      struct stat facts {};
      const int why = errno;
      if (stat(folder.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) continue;
      errno = why;
      throw unwritable(path);
    }
  }
}

}  // namespace edgekit

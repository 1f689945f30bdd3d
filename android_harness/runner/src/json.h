// JSON as the documents need it: a strict parser for untrusted text, and a writer with edgekit.job.encode's layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace edgekit::json {

struct ParseError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Text beyond this is refused before it is looked at. A value of one or two bytes takes about 150 bytes of memory.
constexpr std::size_t kMaxBytes = 256 * 1024;
constexpr int kMaxDepth = 16;

enum class Type { Null, Bool, Int, Float, String, Array, Object };

// One value. Integers that fit 64 bits are exact (`Int`); other numbers are `Float`.
struct Value {
  Type type = Type::Null;
  bool boolean = false;
  std::int64_t integer = 0;
  double number = 0.0;
  std::string text;
  std::vector<Value> items;
  std::vector<std::pair<std::string, Value>> members;

  const Value* find(std::string_view name) const;
};

// RFC 8259, UTF-8 only. Names that occur twice in an object are refused. Throws ParseError.
Value parse(std::string_view text);

// `text` with every byte that is not UTF-8 replaced by U+FFFD: names and messages come from files and runtimes.
std::string clean_utf8(std::string_view text);

// Writes one document, indented by one space; the caller pairs begin and end.
class Writer {
 public:
  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void key(std::string_view name);
  void null() { raw("null"); }
  void boolean(bool value) { raw(value ? "true" : "false"); }
  void integer(std::int64_t value);
  void number(double value);
  void string(std::string_view value);
  // The document so far; complete once every begin has its end.
  const std::string& text() const { return text_; }

 private:
  void raw(std::string_view value);
  void open(char bracket);
  void close(char bracket);
  void place();
  void indent();
  void quoted(std::string_view value);

  std::string text_;
  std::vector<bool> filled_;  // of the objects and arrays that are open: whether something is in them
  bool after_key_ = false;
};

}  // namespace edgekit::json

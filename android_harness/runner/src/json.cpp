#include "json.h"

#include <charconv>
#include <cmath>

namespace edgekit::json {
namespace {

// Length of the UTF-8 sequence at `at`, 0 if it is none (overlong forms and surrogates are none).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned lead = byte(at);
  if (lead < 0x80) return 1;
  std::size_t length = 0;
  if (lead >= 0xC2 && lead < 0xE0) length = 2;
  if (lead >= 0xE0 && lead < 0xF0) length = 3;
  if (lead >= 0xF0 && lead < 0xF5) length = 4;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = byte(at + 1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool outside = (lead == 0xED && second >= 0xA0) || (lead == 0xF4 && second >= 0x90);
  return overlong || outside ? 0 : length;
}

void append_utf8(std::string& text, unsigned point) {
  const auto add = [&](unsigned byte) { text.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    add(point);
  } else if (point < 0x800) {
    add(0xC0 | point >> 6);
    add(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    add(0xE0 | point >> 12);
    add(0x80 | (point >> 6 & 0x3F));
    add(0x80 | (point & 0x3F));
  } else {
    add(0xF0 | point >> 18);
    add(0x80 | (point >> 12 & 0x3F));
    add(0x80 | (point >> 6 & 0x3F));
    add(0x80 | (point & 0x3F));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Value document() {
    Value value = read(0);
    skip_space();
    if (at_ != text_.size()) fail("text after the document");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw ParseError(what + " at byte " + std::to_string(at_));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char wanted) {
    if (peek() != wanted || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }

  void skip_space() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }

  Value read(int depth) {
    if (depth > kMaxDepth) fail("nested too deeply");
    skip_space();
    Value value;
    switch (peek()) {
      case '{': read_object(value, depth); break;
      case '[': read_array(value, depth); break;
      case '"':
        value.type = Type::String;
        value.text = read_string();
        break;
      case 't': word("true"), value.type = Type::Bool, value.boolean = true; break;
      case 'f': word("false"), value.type = Type::Bool; break;
      case 'n': word("null"); break;
      default: read_number(value);
    }
    return value;
  }

  void word(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted) fail("an unknown word");
    at_ += wanted.size();
  }

  void read_object(Value& value, int depth) {
    value.type = Type::Object;
    ++at_;
    skip_space();
    if (take('}')) return;
    do {
      skip_space();
      if (peek() != '"') fail("a name was expected");
      std::string name = read_string();
      if (value.find(name) != nullptr) fail("a name that occurs twice");
      skip_space();
      if (!take(':')) fail("a colon was expected");
      // Enough for any document here; it keeps the search for names that occur twice from growing with the text.
      if (value.members.size() == 64) fail("an object of more than 64 members");
      value.members.emplace_back(std::move(name), read(depth + 1));
      skip_space();
    } while (take(','));
    if (!take('}')) fail("a comma or the end of the object was expected");
  }

  void read_array(Value& value, int depth) {
    value.type = Type::Array;
    ++at_;
    skip_space();
    if (take(']')) return;
    do {
      value.items.push_back(read(depth + 1));
      skip_space();
    } while (take(','));
    if (!take(']')) fail("a comma or the end of the array was expected");
  }

  unsigned hex4() {
    unsigned point = 0;
    const char* begin = text_.data() + at_;
    if (text_.size() - at_ < 4) fail("an escape that is cut off");
    const auto [end, error] = std::from_chars(begin, begin + 4, point, 16);
    if (error != std::errc() || end != begin + 4) fail("an escape that is not hexadecimal");
    at_ += 4;
    return point;
  }

  void read_escape(std::string& text) {
    static constexpr std::string_view kShort = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
    const char letter = peek();
    ++at_;
    if (letter == 'u') {
      unsigned point = hex4();
      if (point >= 0xD800 && point < 0xDC00) {
        if (!take('\\') || !take('u')) fail("half of a surrogate pair");
        const unsigned low = hex4();
        if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
      } else if (point >= 0xDC00 && point < 0xE000) {
        fail("half of a surrogate pair");
      }
      return append_utf8(text, point);
    }
    const std::size_t index = letter == '\0' ? std::string_view::npos : kShort.find(letter);
    if (index == std::string_view::npos) fail("an unknown escape");
    text.push_back(kMeant[index]);
  }

  std::string read_string() {
    std::string text;
    ++at_;
    while (true) {
      if (at_ >= text_.size()) fail("a string without an end");
      const char letter = text_[at_];
      if (letter == '"') break;
      if (static_cast<unsigned char>(letter) < 0x20) fail("a control character in a string");
      if (letter == '\\') {
        ++at_;
        read_escape(text);
        continue;
      }
      const std::size_t length = utf8_length(text_, at_);
      if (length == 0) fail("text that is not UTF-8");
      text.append(text_.substr(at_, length));
      at_ += length;
    }
    ++at_;
    return text;
  }

  void digits() {
    if (peek() < '0' || peek() > '9') fail("a value was expected");
    while (peek() >= '0' && peek() <= '9') ++at_;
  }

  void read_number(Value& value) {
    const std::size_t begin = at_;
    bool whole = true;
    take('-');
    if (!take('0')) digits();
    if (take('.')) whole = false, digits();
    if (take('e') || take('E')) {
      whole = false;
      if (!take('+')) take('-');
      digits();
    }
    const char *first = text_.data() + begin, *last = text_.data() + at_;
    if (whole && std::from_chars(first, last, value.integer).ec == std::errc()) {
      value.type = Type::Int;
      value.number = static_cast<double>(value.integer);
      return;
    }
    value.type = Type::Float;
    if (std::from_chars(first, last, value.number).ec != std::errc()) fail("a number that is out of range");
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

const Value* Value::find(std::string_view name) const {
  for (const auto& [key, value] : members) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value parse(std::string_view text) {
  if (text.size() > kMaxBytes) throw ParseError("longer than " + std::to_string(kMaxBytes) + " bytes");
  return Parser(text).document();
}

std::string clean_utf8(std::string_view text) {
  std::string clean;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    clean.append(length == 0 ? "\xEF\xBF\xBD" : text.substr(at, length));
    at += length == 0 ? 1 : length;
  }
  return clean;
}

void Writer::key(std::string_view name) {
  place();
  quoted(name);
  text_ += ": ";
  after_key_ = true;
}

void Writer::integer(std::int64_t value) { raw(std::to_string(value)); }

void Writer::number(double value) {
  if (!std::isfinite(value)) return null();  // as msgspec does; JSON has no such numbers
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string digits(buffer, end);
  if (digits.find_first_of(".e") == std::string::npos) digits += ".0";
  raw(digits);
}

void Writer::string(std::string_view value) {
  place();
  quoted(value);
}

void Writer::quoted(std::string_view value) {
  static constexpr std::string_view kMeant = "\"\\\b\f\n\r\t", kShort = "\"\\bfnrt";
  static constexpr char kHex[] = "0123456789abcdef";
  text_.push_back('"');
  for (const char letter : clean_utf8(value)) {
    const std::size_t index = kMeant.find(letter);
    if (index != std::string_view::npos) {
      text_.push_back('\\');
      text_.push_back(kShort[index]);
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      text_ += "\\u00";
      text_.push_back(kHex[letter >> 4]);
      text_.push_back(kHex[letter & 15]);
    } else {
      text_.push_back(letter);
    }
  }
  text_.push_back('"');
}

void Writer::raw(std::string_view value) {
  place();
  text_ += value;
}

void Writer::open(char bracket) {
  place();
  text_.push_back(bracket);
  filled_.push_back(false);
}

void Writer::close(char bracket) {
  const bool filled = filled_.back();
  filled_.pop_back();
  if (filled) indent();
  text_.push_back(bracket);
}

void Writer::place() {
  if (after_key_) {
    after_key_ = false;
  } else if (!filled_.empty()) {
    if (filled_.back()) text_.push_back(',');
    filled_.back() = true;
    indent();
  }
}

void Writer::indent() {
  text_.push_back('\n');
  text_.append(filled_.size(), ' ');
}

}  // namespace edgekit::json

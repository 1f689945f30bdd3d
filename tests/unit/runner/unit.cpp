// Checks of the runner's parts that need no runtime, built with ASan and UBSan by test_cpp.py.
//
// `unit` runs the checks. The other forms answer what a part makes of an input, for pytest to compare with Python's:
//   unit reencode FILE | sha256 FILE | npy FILE | state ROOT | job FILE | loop FILE
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "documents.h"
#include "failure.h"
#include "files.h"
#include "json.h"
#include "litert_profile.h"
#include "loop.h"
#include "modes.h"
#include "npy.h"
#include "sha256.h"
#include "state.h"

using namespace edgekit;

namespace {

int failures = 0;

#define CHECK(condition)                                            \
  do {                                                              \
    if (!(condition)) {                                             \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);   \
      ++failures;                                                   \
    }                                                               \
  } while (false)

std::string content(const char* path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

bool parses(std::string_view text) {
  try {
    json::parse(text);
    return true;
  } catch (const json::ParseError&) {
    return false;
  }
}

void check_json() {
  for (const char* good : {"null", " [ ] ", "{}", "[1,2]", "-0.5e+3", "\"\\u00e9\\ud83d\\ude00\"",
                           "{\"a\":{\"b\":[]}}", "9223372036854775807", "\"\\/\""}) {
    CHECK(parses(good));
  }
  for (const char* bad :
       {"", " ", "nul", "nulll", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "01", "+1", "1.", ".5", "1e", "--1", "NaN", "Infinity", "1e400", "\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"",
        "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\x01\"", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
        "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\"", "[", "{", "]", "1 1", "'a'", "\"a\nb\""}) {
    CHECK(!parses(bad));
    if (parses(bad)) std::printf("  %s\n", bad);
  }
  CHECK(parses(std::string(16, '[') + std::string(16, ']')));
  CHECK(!parses(std::string(100000, '[')));
  CHECK(!parses(std::string(json::kMaxBytes + 1, ' ') + "1"));
  CHECK(!parses(std::string("\"a") + '\0' + "\""));
  std::string many = "{";
  for (int i = 0; i < 65; ++i) many += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
  CHECK(!parses(many + "}"));
  const json::Value big = json::parse("[9007199254740993, -9223372036854775808, 9223372036854775808]");
  CHECK(big.items[0].type == json::Type::Int && big.items[0].integer == 9007199254740993);
  CHECK(big.items[1].integer == INT64_MIN);
  CHECK(big.items[2].type == json::Type::Float);
  CHECK(json::parse("\"\\ud83d\\ude00\"").text == "\xF0\x9F\x98\x80");
  CHECK(json::clean_utf8("a\xff\xc3\xa9\xed\xa0\x80") == "a\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

std::string refused(std::string_view document) {
  try {
    read_job(document, "1.2.3");
    return "";
  } catch (const Failure& failure) {
    return failure.kind + ": " + failure.what();
  }
}

void check_jobs() {
  const std::string fields = R"("harness_version":"1.2.3","mode":"measure","engine":"litert","artifact":"a",)"
                             R"("artifact_sha256":"b","inputs":["c"])";
  CHECK(refused("{" + fields + "}").empty());
  const Job job = read_job("{" + fields + R"(,"affinity":[1,0],"outputs_dir":"d","plan":{"min_seconds":2}})", "1.2.3");
  CHECK(job.affinity == (std::vector<std::int64_t>{1, 0}) && job.outputs_dir == "d" && job.plan.min_seconds == 2.0);
  CHECK(job.threads == 1 && job.plan.min_runs == 50 && job.plan.warmup_max_seconds == 20.0);
  CHECK(refused(R"({"harness_version":"9","unheard_of":1})").find("device: The job is for harness 9") == 0);
  for (const char* added :
       {R"("unheard_of":1)", R"("schema":2)", R"("threads":"1")", R"("threads":1.5)", R"("threads":null)",
        R"("plan":[])", R"("plan":{"x":1})", R"("plan":{"min_runs":1.0})", R"("plan":{"min_seconds":"1"})",
        R"("affinity":1)", R"("affinity":[1.5])", R"("outputs_dir":1)", R"("outputs_dir":"a\u0000b")"}) {
    CHECK(refused("{" + fields + "," + added + "}").find("usage: The job is not valid") == 0);
  }
  for (const char* document : {"", "[]", "{}", "1", "{\"harness_version\":1}", R"({"harness_version":"1.2.3"})"}) {
    CHECK(refused(document).find("usage: ") == 0);
  }
  const auto changed = [&](const std::string& old, const std::string& by) {
    std::string text = fields;
    return refused("{" + text.replace(text.find(old), old.size(), by) + "}");
  };
  CHECK(changed("litert", "litert").empty());
  CHECK(changed("measure", "fly").find("usage: ") == 0 && changed("litert", "x").find("usage: ") == 0);
  CHECK(changed("[\"c\"]", "[1]").find("usage: ") == 0 && changed("[\"c\"]", "7").find("usage: ") == 0);
}

// The same answer as tests/unit/harness/test_golden.py makes, which is where the golden bytes come from.
JobResult golden_result() {
  JobResult result;
  result.harness = "python", result.harness_version = "0.1.0", result.engine = "executorch";
  result.runtime_version = "1.5.1", result.threads = 4;
  result.load_cold_ns = 18900001, result.load_warm_ns = 9800002, result.first_ns = 16460003;
  result.warmup_ns = {9000000, 8000000};
  result.warmup_stable = true;
  result.samples_ns = {5248000, 5247999, 9007199254740993};
  result.overhead_ns = 90;
  result.inputs = {{"x", {1, 3, 224, 224}, "float32"}};
  result.outputs = {"/data/local/tmp/edgekit/output_0.npy"};
  result.baseline_rss_bytes = 223 << 20, result.peak_rss_bytes = 251 << 20;
  result.started = "2026-01-02T03:04:05.678+00:00";
  DeviceState& before = result.state_before;
  before.frequencies_khz = before.max_frequencies_khz = std::vector<std::int64_t>{1803000, 2850000};
  before.governor = "schedutil";
  before.temperatures_c = std::map<std::string, double>{{"soc", 34.5}, {"battery °C", 29.0}};
  before.thermal_status = 0;
  before.battery_percent = 80.0;
  before.charging = false;
  before.missing = untold(before);
  result.ops = {{"conv #1", "conv", "XNNPACK", 0.25, 0.0625, 1}};
  result.note = "Ünicode is kept as it is.";
  return result;
}

void check_sha256() {
  Sha256 empty, abc, million;
  abc.update("abc", 3);
  const std::string piece(1000, 'a');
  for (int i = 0; i < 1000; ++i) million.update(piece.data(), piece.size());
  CHECK(empty.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(abc.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(million.hex() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

bool is_header(std::string_view text) {
  try {
    parse_npy_header(text);
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  }
}

void check_npy() {
  const NpyHeader header = parse_npy_header("{'shape': (2, 0, 7), 'descr': '<f4', 'fortran_order': False}\n");
  CHECK(header.shape == (std::vector<std::int64_t>{2, 0, 7}) && std::string(header.type->name) == "float32");
  const auto made = [](const std::string& descr, const std::string& order, const std::string& shape) {
    return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }";
  };
  CHECK(is_header(made("'|b1'", "False", "()")) && is_header(made("'=i8'", "False", "(5,)")));
  for (const char* type : {"'>f4'", "'|O'", "'<U4'", "[('a', '<f4')]", "'|f4'", "'f4'", "''", "<f4"}) {
    CHECK(!is_header(made(type, "False", "(2,)")));
  }
  for (const char* shape : {"(-2,)", "(99999999999999999999,)", "2", "(2 3)", "(,)", "('a',)", "(1.5,)", "[2]"}) {
    CHECK(!is_header(made("'<f4'", "False", shape)));
  }
  CHECK(!is_header(made("'<f4'", "True", "(2,)")) && !is_header(made("'<f4'", "0", "(2,)")));
  for (const std::string& bad : {std::string(), std::string("{"), std::string("{}"),
                                 made("'<f4'", "False", "(2,)") + " x",
                                 std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (2"),
                                 std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}"),
                                 std::string("{'descr': '<f4', 'descr': '<f4', 'shape': (2,), }")}) {
    CHECK(!is_header(bad));
  }
  CHECK(bytes_of({2, 3}, 4) == std::size_t{24});
  CHECK(!bytes_of({INT64_MAX, 2}, 4) && !bytes_of({INT64_MAX}, 1 << 10) && !bytes_of({-1}, 4));
}

void check_loop() {
  CHECK(median(std::vector<Nanoseconds>{3, 1, 2}) == 2.0 && median(std::vector<double>{4, 1, 3, 2}) == 2.5);
  CHECK(overhead_ns(monotonic_raw) >= 0 && overhead_ns(monotonic_raw) < 1'000'000);
  const Nanoseconds before = monotonic_raw();
  CHECK(monotonic_raw() >= before);
}

std::string refusal(const std::vector<InputSpec>& specs, const std::vector<Array>& inputs) {
  try {
    check_inputs(specs, inputs);
    return "";
  } catch (const Failure& failure) {
    return failure.what();
  }
}

// Documents and headers with bytes changed, cut and repeated: refused or read, but never read beyond their end. The
// sanitizers are what is asked here.
void check_spoiled() {
  const std::string good[] = {
      R"({"harness_version":"1.2.3","mode":"measure","engine":"litert","artifact":"\u00e9\ud83d\ude00",)"
      R"("artifact_sha256":"b","inputs":["c"],"affinity":[1,0],"plan":{"min_seconds":2.5e1}})",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 30, 7), }\n"};
  std::uint64_t random = 88172645463325252;
  const auto next = [&](std::size_t below) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return static_cast<std::size_t>(random % below);
  };
  std::size_t read = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = good[round % 2];
    for (std::size_t changes = next(4); changes-- > 0 && !text.empty();) {
      const std::size_t at = next(text.size());
      if (next(3) == 0) text.resize(at);
      else if (next(2) == 0) text[at] = static_cast<char>(next(256));
      else text.insert(at, text.substr(next(text.size()), next(9)));
    }
    // A copy of its own without room behind it, so that reading past the end is seen.
    const std::vector<char> exact(text.begin(), text.end());
    const std::string_view view(exact.data(), exact.size());
    read += round % 2 == 0 ? refused(view).empty() : is_header(view);
    parses(view);
    CHECK(json::clean_utf8(json::clean_utf8(view)) == json::clean_utf8(view));
  }
  CHECK(read > 2000 && read < 18000);
}

void check_modes() {
  const std::vector<InputSpec> specs = {{"x", {1, -1, 3}, "float32"}};
  const auto array = [](const char* type, std::vector<std::int64_t> shape) {
    return Array{element_type(type), shape, {}};
  };
  CHECK(refusal(specs, {array("float32", {1, 7, 3})}).empty());
  CHECK(refusal(specs, {array("float32", {1, 7, 4})}) == "Input x expects float32 1x?x3, not float32 1x7x4.");
  CHECK(refusal(specs, {array("int8", {1, 7, 3})}) == "Input x expects float32 1x?x3, not int8 1x7x3.");
  CHECK(refusal(specs, {array("float32", {})}) == "Input x expects float32 1x?x3, not float32 scalar.");
  CHECK(refusal(specs, {}) == "The model has 1 inputs, but 0 were given.");
  const std::vector<OpTime> ops = op_times({{{"a", "conv", "CPU", {1.0, 3.0}}, {"b", "b", "CPU", {}}}, {4000000}, {}});
  CHECK(ops.size() == 1 && ops[0].p50_ms == 2.0 && ops[0].share == 0.5);
}

void check_litert_events() {
  using litert::ProfilerEvent;
  std::vector<ProfilerEvent> events;
  const std::uint64_t runs[3][4] = {{100, 10, 20, 30}, {300, 12, 22, 32}, {200, 11, 21, 31}};
  for (const auto& run : runs) {
    const std::vector<ProfilerEvent> one = {{"LiteRT::Run", 1, 5},  {"Invoke", 1, run[0]}, {"Conv", 8, run[1]},
                                            {"SOFTMAX", 2, run[2]}, {"Conv", 8, run[3]},   {"Invoke", 32, 1}};
    events.insert(events.end(), one.begin(), one.end());
  }
  const OpProfile found = litert::read_events(events);
  CHECK(found.totals_ns == (std::vector<std::int64_t>{100000, 300000, 200000}));
  CHECK(found.rows.size() == 3 && found.rows[2].name == "Conv #2" && found.rows[2].unit == "XNNPACK");
  CHECK(found.rows[1].name == "SOFTMAX #1" && found.rows[1].unit == "CPU" && found.rows[1].times_ms.size() == 3);
  const OpProfile strange = litert::read_events({{"", 12345, 7}});
  CHECK(strange.rows.empty() && strange.note && strange.note->find("laid out differently") != std::string::npos);
  CHECK(litert::read_events({}).note == "LiteRT recorded no runs.");
}

void write(json::Writer& to, const json::Value& value) {
  switch (value.type) {
    case json::Type::Null: return to.null();
    case json::Type::Bool: return to.boolean(value.boolean);
    case json::Type::Int: return to.integer(value.integer);
    case json::Type::Float: return to.number(value.number);
    case json::Type::String: return to.string(value.text);
    case json::Type::Array:
      to.begin_array();
      for (const json::Value& item : value.items) write(to, item);
      return to.end_array();
    case json::Type::Object:
      to.begin_object();
      for (const auto& [name, member] : value.members) to.key(name), write(to, member);
      return to.end_object();
  }
}

JobResult blank() {
  JobResult result;
  result.engine = "litert";
  return result;
}

std::string reencoded(const char* path) {
  json::Writer to;
  write(to, json::parse(content(path)));
  return to.text();
}

// FILE: warmup_min_runs warmup_min_s warmup_max_s min_runs min_s max_s max_samples, then the runs' durations in ns,
// the last of which goes on for ever.
std::string loop(const char* path) {
  std::istringstream text(content(path));
  Plan plan;
  std::size_t max_samples = 0;
  text >> plan.warmup_min_runs >> plan.warmup_min_seconds >> plan.warmup_max_seconds >> plan.min_runs >>
      plan.min_seconds >> plan.max_seconds >> max_samples;
  std::vector<Nanoseconds> durations;
  for (Nanoseconds duration = 0; text >> duration;) durations.push_back(duration);
  Nanoseconds now = 0;
  std::size_t index = 0;
  const auto run = [&] { now += durations[std::min(index++, durations.size() - 1)]; };
  JobResult result = blank();
  Timed timed = timed_loop(run, plan, [&] { return now; }, max_samples);
  result.warmup_ns = timed.warmup_ns, result.samples_ns = timed.samples_ns, result.note = timed.note;
  result.warmup_stable = timed.warmup_stable, result.timed_out = timed.timed_out;
  return encode(result);
}

std::string npy(const char* path) {
  const InputStack stack(path);
  std::string text = npy_head(*stack.sample(0).type, [&] {
    std::vector<std::int64_t> shape{stack.count()};
    for (const std::int64_t size : stack.sample(0).shape) shape.push_back(size);
    return shape;
  }());
  for (std::int64_t i = 0; i < stack.count(); ++i) {
    const Array value = stack.sample(i);
    text.append(value.data.begin(), value.data.end());
  }
  return text;
}

std::string answer(const std::string& what, const char* path) {
  if (what == "reencode") return reencoded(path);
  if (what == "sha256") return sha256_of(path);
  if (what == "npy") return npy(path);
  if (what == "loop") return loop(path);
  if (what == "golden-result") return encode(golden_result());
  JobResult result = blank();
  if (what == "state") result.state_before = read_state(path);
  if (what == "job") result.note = read_job(content(path), "0.1.0").artifact;
  return encode(result);
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 3) {
    try {
      const std::string text = answer(arguments[1], arguments[2]);
      std::fwrite(text.data(), 1, text.size(), stdout);
      return 0;
    } catch (const Failure& failure) {
      std::printf("%s: %s", failure.kind.c_str(), failure.what());
      return 3;
    }
  }
  check_json();
  check_jobs();
  check_sha256();
  check_npy();
  check_loop();
  check_spoiled();
  check_modes();
  check_litert_events();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

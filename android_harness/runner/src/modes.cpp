#include "modes.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "failure.h"
#include "files.h"
#include "loop.h"
#include "memory.h"
#include "npy.h"
#include "state.h"

namespace edgekit {
namespace {

constexpr int kMemoryRuns = 3;

template <typename T>
std::string joined(const std::vector<T>& values, const char* between) {
  std::string text;
  for (const T& value : values) {
    if (!text.empty()) text += between;
    if constexpr (std::is_same_v<T, std::string>) text += value;
    else text += std::to_string(value);
  }
  return text;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::vector<std::string> sizes;
  for (const std::int64_t size : shape) sizes.push_back(size < 0 ? "?" : std::to_string(size));
  return sizes.empty() ? "scalar" : joined(sizes, "x");
}

void bind_checked(Engine& engine, const std::vector<Array>& inputs) {
  check_inputs(engine.specs(), inputs);
  engine.bind(inputs);
}

std::vector<Array> sample_of(const std::vector<std::unique_ptr<InputStack>>& stacks, std::int64_t index) {
  std::vector<Array> inputs;
  for (const auto& stack : stacks) inputs.push_back(stack->sample(index));
  return inputs;
}

std::vector<Array> first_sample(const Job& job) { return sample_of(open_inputs(job.inputs), 0); }

int threads_of(const Job& job) { return static_cast<int>(job.threads); }

JobResult run_describe(const Job& job, Engine& engine, JobResult result) {
  engine.load(job.artifact, threads_of(job));
  for (const InputSpec& spec : engine.specs()) {
    if (std::any_of(spec.shape.begin(), spec.shape.end(), [](std::int64_t size) { return size < 0; })) {
      throw usage("Input " + spec.name + " has no fixed shape: " + shape_text(spec.shape) + ".", job.artifact,
                  "Convert the model with fixed shapes.");
    }
    result.inputs.push_back({spec.name, spec.shape, spec.dtype});
  }
  return result;
}

void check_same_kind(const OutputStack& stack, const Array& value, std::size_t k, std::int64_t index, const Job& job) {
  if (stack.fits(value)) return;
  throw Failure("runtime",
                "Output " + std::to_string(k) + " of sample " + std::to_string(index) + " is " + value.type->name +
                    " " + shape_text(value.shape) + ", unlike that of sample 0.",
                job.artifact, "edgekit compares outputs of one fixed shape; convert the model with fixed shapes.");
}

JobResult run_outputs(const Job& job, Engine& engine, JobResult result) {
  if (!job.outputs_dir) throw usage("A job of mode outputs names no outputs_dir.", job.artifact);
  const auto stacks = open_inputs(job.inputs);
  const std::int64_t count = stacks[0]->count();
  engine.load(job.artifact, threads_of(job));
  std::vector<std::unique_ptr<OutputStack>> written;
  for (std::int64_t index = 0; index < count; ++index) {
    bind_checked(engine, sample_of(stacks, index));
    engine.run();
    const std::vector<Array> values = engine.outputs();
    for (std::size_t k = 0; k < values.size(); ++k) {
      if (index == 0) {
        make_folders(*job.outputs_dir);
        written.push_back(std::make_unique<OutputStack>(*job.outputs_dir, k, count, values[k]));
      }
      check_same_kind(*written.at(k), values[k], k, index, job);
      written[k]->write(index, values[k]);
    }
  }
  for (const auto& stack : written) result.outputs.push_back(stack->finish());
  return result;
}

Nanoseconds timed(const Run& action) {
  const Nanoseconds begin = monotonic_raw();
  action();
  return monotonic_raw() - begin;
}

JobResult run_measure(const Job& job, Engine& engine, JobResult result) {
  const std::vector<Array> inputs = first_sample(job);
  const Run load = [&] { engine.load(job.artifact, threads_of(job)); };
  const bool evicted = evict(job.artifact);
  const Nanoseconds cold = timed(load);
  bind_checked(engine, inputs);
  result.load_cold_ns = evicted ? cold : 0;
  result.first_ns = timed([&] { engine.run(); });
  result.load_warm_ns = timed(load);
  bind_checked(engine, inputs);
  result.state_before = read_state();
  if (!evicted) result.state_before.missing.emplace_back(kColdCache);
  Timed found = timed_loop([&] { engine.run(); }, job.plan, monotonic_raw);
  result.warmup_ns = std::move(found.warmup_ns);
  result.warmup_stable = found.warmup_stable;
  result.samples_ns = std::move(found.samples_ns);
  result.timed_out = found.timed_out;
  result.overhead_ns = overhead_ns(monotonic_raw);
  result.state_after = read_state();
  result.note = found.note;
  return result;
}

JobResult run_memory(const Job& job, Engine& engine, JobResult result) {
  const std::vector<Array> inputs = first_sample(job);
  settle_heap();
  result.baseline_rss_bytes = resident_bytes();
  const bool was_reset = reset_peak();
  engine.load(job.artifact, threads_of(job));
  bind_checked(engine, inputs);
  for (int i = 0; i < kMemoryRuns; ++i) engine.run();
  const Peak peak = peak_bytes(was_reset);
  result.peak_rss_bytes = peak.bytes;
  result.note = peak.note;
  return result;
}

JobResult run_profile(const Job& job, Engine& engine, JobResult result) {
  if (job.plan.min_runs < 1 || job.plan.min_runs > static_cast<std::int64_t>(kMaxEvents)) {
    throw usage("A profile needs between 1 and " + std::to_string(kMaxEvents) + " runs.", job.artifact);
  }
  engine.load(job.artifact, threads_of(job));
  bind_checked(engine, first_sample(job));
  OpProfile found = engine.profile(static_cast<int>(job.plan.min_runs));
  result.ops = op_times(found);
  result.samples_ns = std::move(found.totals_ns);
  result.note = found.note;
  return result;
}

}  // namespace

JobResult run_mode(const Job& job, Engine& engine, const JobResult& blank) {
  if (job.mode == "describe") return run_describe(job, engine, blank);
  if (job.mode == "outputs") return run_outputs(job, engine, blank);
  if (job.mode == "measure") return run_measure(job, engine, blank);
  if (job.mode == "memory") return run_memory(job, engine, blank);
  return run_profile(job, engine, blank);
}

void pin(const std::vector<std::int64_t>& affinity) {
  cpu_set_t allowed, wanted;
  CPU_ZERO(&allowed);
  CPU_ZERO(&wanted);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    throw usage("This system can't bind a process to cores.", "affinity", "Ask for none.");
  }
  bool fits = !affinity.empty();
  for (const std::int64_t core : affinity) {
    if (core < 0 || core >= CPU_SETSIZE || !CPU_ISSET(static_cast<std::size_t>(core), &allowed)) fits = false;
    else CPU_SET(static_cast<std::size_t>(core), &wanted);
  }
  if (fits && sched_setaffinity(0, sizeof wanted, &wanted) == 0) return;
  std::vector<std::int64_t> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<std::size_t>(core), &allowed)) cores.push_back(core);
  }
  throw usage("Cores [" + joined(affinity, ", ") + "] were asked for, but this process may only use [" +
                  joined(cores, ", ") + "].",
              "affinity", "Choose among the cores that the process may use.");
}

std::string now_utc() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  char date[32], text[64];
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text, sizeof text, "%s.%03d+00:00", date, static_cast<int>(now.tv_nsec / 1'000'000));
  return text;
}

void check_inputs(const std::vector<InputSpec>& specs, const std::vector<Array>& inputs) {
  if (specs.size() != inputs.size()) {
    std::vector<std::string> names;
    for (const InputSpec& spec : specs) names.push_back(spec.name);
    throw usage("The model has " + std::to_string(specs.size()) + " inputs, but " + std::to_string(inputs.size()) +
                    " were given.",
                joined(names, ", "), "Give one input file per model input, in the model's order.");
  }
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const InputSpec& spec = specs[i];
    const Array& value = inputs[i];
    const bool fits = std::equal(spec.shape.begin(), spec.shape.end(), value.shape.begin(), value.shape.end(),
                                 [](std::int64_t wanted, std::int64_t have) { return wanted < 0 || wanted == have; });
    if (fits && spec.dtype == value.type->name) continue;
    throw usage("Input " + spec.name + " expects " + spec.dtype + " " + shape_text(spec.shape) + ", not " +
                    value.type->name + " " + shape_text(value.shape) + ".",
                spec.name, "Make the inputs with the shape and dtype that the model was converted for.");
  }
}

std::vector<OpTime> op_times(const OpProfile& found) {
  std::vector<OpTime> ops;
  const double total_ms = found.totals_ns.empty() ? 0.0 : median(found.totals_ns) / 1e6;
  for (const OpRow& row : found.rows) {
    if (row.times_ms.empty()) continue;
    const double p50 = median(row.times_ms);
    ops.push_back({row.name, row.type, row.unit, p50, total_ms > 0 ? p50 / total_ms : 0.0, 1});
  }
  return ops;
}

}  // namespace edgekit

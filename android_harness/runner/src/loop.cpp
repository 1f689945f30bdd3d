#include "loop.h"

#include <time.h>

#include <algorithm>
#include <cmath>

namespace edgekit {
namespace {

constexpr double kStableShare = 0.02;
// A window holds at least this many runs, and a quarter of the warm-up so far once that is more.
constexpr std::size_t kMinWindow = 5;
constexpr std::size_t kOverheadRuns = 2'000;
constexpr Nanoseconds kSecond = 1'000'000'000;

// Seconds of a plan in nanoseconds; what does not fit is as good as for ever.
Nanoseconds nanoseconds(double seconds) {
  const double limit = 9e18;
  return static_cast<Nanoseconds>(std::clamp(seconds * static_cast<double>(kSecond), -limit, limit));
}

std::size_t at_least_zero(std::int64_t runs) { return runs > 0 ? static_cast<std::size_t>(runs) : 0; }

struct Bounds {
  std::size_t min_runs;
  Nanoseconds min_ns, max_ns;
};

// Run until both minima are reached, or the maximum, or the storage is full; at least once. Answers how often.
std::size_t fill(const Run& run, const Clock& clock, Nanoseconds* storage, std::size_t capacity, const Bounds& bounds) {
  std::size_t index = 0;
  const Nanoseconds begin = clock();
  while (index < capacity) {
    const Nanoseconds start = clock();
    run();
    const Nanoseconds end = clock();
    storage[index++] = end - start;
    const Nanoseconds elapsed = end - begin;
    if (elapsed >= bounds.max_ns || (index >= bounds.min_runs && elapsed >= bounds.min_ns)) break;
  }
  return index;
}

void warm_up(const Run& run, const Plan& plan, const Clock& clock, std::size_t max_samples, Timed& timed) {
  std::vector<Nanoseconds> storage(max_samples);
  std::size_t done = 0, target = std::max<std::size_t>(at_least_zero(plan.warmup_min_runs), 1);
  Nanoseconds spent = 0;
  const Nanoseconds limit = nanoseconds(plan.warmup_max_seconds), at_least = nanoseconds(plan.warmup_min_seconds);
  while (true) {
    const Nanoseconds begin = clock();
    const Bounds bounds{target - done, std::max<Nanoseconds>(0, at_least - spent), limit - spent};
    done += fill(run, clock, storage.data() + done, max_samples - done, bounds);
    spent += clock() - begin;
    timed.warmup_stable = is_stable(storage.data(), done);
    if (timed.warmup_stable || spent >= limit || done >= max_samples) break;
    // The check costs time between runs, so it comes after every tenth of the warm-up rather than after every run.
    target = done + std::max(kMinWindow, done / 10);
  }
  timed.warmup_ns.assign(storage.begin(), storage.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace

Nanoseconds monotonic_raw() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

Timed timed_loop(const Run& run, const Plan& plan, const Clock& clock, std::size_t max_samples) {
  Timed timed;
  std::vector<Nanoseconds> storage(max_samples);
  warm_up(run, plan, clock, max_samples, timed);
  const std::size_t wanted = at_least_zero(plan.min_runs);
  const Bounds bounds{wanted, nanoseconds(plan.min_seconds), nanoseconds(plan.max_seconds)};
  const std::size_t done = fill(run, clock, storage.data(), max_samples, bounds);
  timed.timed_out = done < std::min(wanted, max_samples);
  if (done == max_samples) {
    timed.note = "Stopped at " + std::to_string(max_samples) + " samples, the most that one repeat keeps.";
  }
  storage.resize(done);
  timed.samples_ns = std::move(storage);
  return timed;
}

Nanoseconds overhead_ns(const Clock& clock) {
  std::vector<Nanoseconds> storage(kOverheadRuns);
  storage.resize(fill([] {}, clock, storage.data(), kOverheadRuns, {kOverheadRuns, 0, 10 * kSecond}));
  return static_cast<Nanoseconds>(median(storage));
}

bool is_stable(const Nanoseconds* times, std::size_t count) {
  const std::size_t window = std::max(kMinWindow, count / 4);
  if (count < 2 * window) return false;
  const Nanoseconds* end = times + count;
  const double newer = median(std::vector<Nanoseconds>(end - window, end));
  const double older = median(std::vector<Nanoseconds>(end - 2 * window, end - window));
  return std::abs(newer - older) <= kStableShare * newer;
}

template <typename T>
double median(std::vector<T> values) {
  const std::size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle), values.end());
  const double upper = static_cast<double>(values[middle]);
  if (values.size() % 2 == 1) return upper;
  const T lower = *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle));
  return (static_cast<double>(lower) + upper) / 2.0;
}

template double median(std::vector<Nanoseconds>);
template double median(std::vector<double>);

}  // namespace edgekit

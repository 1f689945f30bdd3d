"""Whether a measurement can be trusted, and why not: a pure function of what was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from edgekit.measure.stats import Summary
from edgekit.records import DeviceState, Plan, Repeat, Verdict

# Half the 95% interval, as a share of the median. With three repeats the interval reaches 2.5 standard deviations of
# the repeats' medians, so a device whose cold starts differ by 1% passes nearly always, and one at 4% hardly ever.
MAX_HALF_WIDTH = 0.05
# Spread of the repeats' medians, as a share of their median.
MAX_REPEAT_SPREAD = 0.05
# Time that the hypervisor kept from this machine, as a share of the measured time.
MAX_STEAL_SHARE = 0.02
# Slowing down within a repeat: the last quarter's median over the first quarter's, less one.
MAX_DRIFT = 0.05
# A core that ends a repeat below this share of its frequency at the start has been slowed.
MIN_FREQUENCY_SHARE = 0.9
_MIN_DRIFT_SAMPLES = 20
# Fewer runs than this say nothing about spread: one run has an interval of no width.
MIN_SAMPLES = 10

# The worst first: a measurement gets the worst verdict that any of its reasons carries.
_SEVERITY: tuple[Verdict, ...] = ("incomparable", "timed-out", "throttled", "noisy", "ok")

Finding = tuple[Verdict, str]


def judge(repeats: Sequence[Repeat], summary: Summary | None, plan: Plan) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and its reasons, as sentences with numbers.

    Args:
        summary: statistics of the same repeats; None if there is no sample.

    ``incomparable``: repeats are missing, or the machine changed its regime. ``timed-out``: a repeat had fewer runs
    than the plan's minimum. ``throttled``: runs slowed down within a repeat and the machine shows that it throttled.
    ``noisy``: the figures vary more than the limits above. ``ok``: none of these.
    """
    findings: list[Finding] = [*_missing(repeats, plan), *_regime(repeats), *_timed_out(repeats, plan)]
    for number, repeat in enumerate(repeats, 1):
        findings += _drifted(number, repeat)
        findings += _stolen(number, repeat)
        if not repeat.warmup_stable:
            findings.append(("noisy", f"Repeat {number}: times were still changing when the warm-up ended."))
    findings += _counted(repeats)
    samples = sum(len(repeat.samples_ns) for repeat in repeats)
    if 0 < samples < MIN_SAMPLES:
        findings.append(("noisy", f"Only {samples} timed runs; at least {MIN_SAMPLES} are needed to know the spread."))
    if plan.repeats == 1 and samples:
        findings.append(("noisy", "One repeat does not show how much the next cold start differs; make at least 3."))
    if summary is not None:
        findings += _varied(summary)
    ordered = sorted(findings, key=lambda finding: _SEVERITY.index(finding[0]))
    worst: Verdict = ordered[0][0] if ordered else "ok"
    return worst, tuple(reason for _, reason in ordered)


def drift(samples_ns: Sequence[int]) -> float | None:
    """Median of the last quarter over that of the first, less one; None with too few samples to tell."""
    if len(samples_ns) < _MIN_DRIFT_SAMPLES:
        return None
    quarter = len(samples_ns) // 4
    return median(samples_ns[-quarter:]) / median(samples_ns[:quarter]) - 1


def _missing(repeats: Sequence[Repeat], plan: Plan) -> list[Finding]:
    if len(repeats) >= plan.repeats:
        return []
    return [("incomparable", f"{len(repeats)} of {plan.repeats} repeats finished.")]


def _regime(repeats: Sequence[Repeat]) -> list[Finding]:
    facts: tuple[tuple[str, Callable[[DeviceState], object]], ...] = (
        ("governor", lambda state: state.governor),
        ("highest frequencies (kHz)", lambda state: state.max_frequencies_khz),
        ("charging", lambda state: state.charging),
    )
    states = [state for repeat in repeats for state in (repeat.state_before, repeat.state_after)]
    found: list[Finding] = []
    for name, read in facts:
        values = list(dict.fromkeys(value for state in states if (value := read(state)) is not None))
        if len(values) > 1:
            changes = " to ".join(str(value) for value in values)
            found.append(("incomparable", f"The machine changed its {name} while it was measured: {changes}."))
    return found


def _timed_out(repeats: Sequence[Repeat], plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    for number, repeat in enumerate(repeats, 1):
        if repeat.timed_out:
            runs = f"{len(repeat.samples_ns)} of {plan.min_runs} runs"
            found.append(("timed-out", f"Repeat {number} reached {plan.max_seconds:g} s after {runs}."))
    return found


def _drifted(number: int, repeat: Repeat) -> list[Finding]:
    slower = drift(repeat.samples_ns)
    if slower is None or slower <= MAX_DRIFT:
        return []
    what = f"Repeat {number} became {slower:.1%} slower from its first to its last quarter"
    cause = _throttled(repeat.state_before, repeat.state_after)
    return [("throttled", f"{what}, and {cause}.")] if cause else [("noisy", f"{what}.")]


def _throttled(before: DeviceState, after: DeviceState) -> str | None:
    if before.throttle_count is not None and after.throttle_count is not None:
        events = after.throttle_count - before.throttle_count
        if events > 0:
            return f"the machine counted {events} throttling events"
    cool, warm = before.thermal_status, after.thermal_status
    if cool is not None and warm is not None and warm > cool:
        return f"its thermal status rose from {cool} to {warm}"
    if before.frequencies_khz and after.frequencies_khz:
        start, end = median(before.frequencies_khz), median(after.frequencies_khz)
        if end < MIN_FREQUENCY_SHARE * start:
            return f"its cores went from {start / 1000:.0f} MHz to {end / 1000:.0f} MHz"
    return None


def _stolen(number: int, repeat: Repeat) -> list[Finding]:
    before, after = repeat.state_before.steal_ms, repeat.state_after.steal_ms
    # The states are read right before the warm-up and right after the last run.
    measured_ms = (sum(repeat.warmup_ns) + sum(repeat.samples_ns)) / 1e6
    if before is None or after is None or measured_ms <= 0:
        return []
    share = (after - before) / measured_ms
    if share <= MAX_STEAL_SHARE:
        return []
    return [("noisy", f"Repeat {number}: the hypervisor took away {share:.1%} of the measured time.")]


def _counted(repeats: Sequence[Repeat]) -> list[Finding]:
    """Counted instructions are exact: without times beside them, they have to be the same in every run."""
    counts = {count for repeat in repeats for count in repeat.counts if not repeat.samples_ns}
    if len(counts) < 2:
        return []
    return [("noisy", f"The runs took from {min(counts):,} to {max(counts):,} instructions; they should be equal.")]


def _varied(summary: Summary) -> list[Finding]:
    found: list[Finding] = []
    half = (summary.ci95_ms[1] - summary.ci95_ms[0]) / 2 / summary.p50_ms
    if half > MAX_HALF_WIDTH:
        found.append(("noisy", f"The 95% interval is ±{half:.1%} of the median; the limit is ±{MAX_HALF_WIDTH:.1%}."))
    if summary.repeat_spread is not None and summary.repeat_spread > MAX_REPEAT_SPREAD:
        text = f"The repeats' medians are {summary.repeat_spread:.1%} apart; the limit is {MAX_REPEAT_SPREAD:.0%}."
        found.append(("noisy", text))
    return found

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgekit.measure.stats import summarise
from edgekit.measure.verdict import drift, judge
from edgekit.records import DeviceState, Plan, Repeat, Verdict

MS = 1_000_000
CALM = DeviceState(steal_ms=100.0, throttle_count=2, frequencies_khz=(2_000_000, 2_000_000), governor="schedutil")
STEADY = tuple(10 * MS + (i % 7) * 1000 for i in range(100))
RISING = tuple(int(10 * MS * (1 + 0.002 * i)) for i in range(100))


def make(samples: tuple[int, ...] = STEADY, *, after: dict[str, Any] | None = None, **changes: Any) -> Repeat:
    facts: dict[str, Any] = {
        "samples_ns": samples, "warmup_ns": (), "load_cold_ns": 1, "load_warm_ns": 1, "first_ns": 1, "overhead_ns": 90,
        "timed_out": False, "warmup_stable": True, "started": "2026-01-01T00:00:00+00:00", "state_before": CALM,
        "state_after": msgspec.structs.replace(CALM, **(after or {})), **changes,
    }  # fmt: skip
    return Repeat(**facts)


def judged(*repeats: Repeat, plan: Plan | None = None) -> tuple[Verdict, str]:
    summary = summarise([repeat.samples_ns for repeat in repeats]) if repeats else None
    verdict, reasons = judge(repeats, summary, plan or Plan(repeats=max(1, len(repeats))))
    return verdict, " ".join(reasons)


def test_a_calm_measurement_is_ok_without_reasons() -> None:
    assert judged(make(), make(), make()) == ("ok", "")


SLOWER = tuple(value + MS for value in STEADY)
WILD = tuple(10 * MS if i // 12 % 2 else 12 * MS for i in range(96))


@pytest.mark.parametrize(
    ("repeats", "verdict", "words"),
    [
        ([make(RISING, after={"throttle_count": 5})], "throttled", "counted 3 throttling events"),
        ([make(RISING, after={"frequencies_khz": (1_500_000, 1_500_000)})], "throttled", "2000 MHz to 1500 MHz"),
        ([make(RISING, state_before=msgspec.structs.replace(CALM, thermal_status=0), after={"thermal_status": 2})],
         "throttled", "thermal status rose from 0 to 2"),
        ([make(RISING)], "noisy", "slower from its first to its last quarter."),
        ([make(RISING, after={"frequencies_khz": (1_900_000, 1_900_000)})], "noisy", "slower"),
        ([make(after={"throttle_count": 5})] * 2, "ok", ""),  # counters alone: the runs did not slow down
        ([make(), make(SLOWER), make()], "noisy", "medians are 10.0% apart; the limit is 5%"),
        ([make(WILD)], "noisy", "95% interval"),
        ([make()], "noisy", "One repeat does not show how much the next cold start differs"),
        ([make(), make(tuple(value * 104 // 100 for value in STEADY))], "noisy", "95% interval"),
        ([make(after={"steal_ms": 130.0})], "noisy", "took away 3.0%"),
        ([make(after={"steal_ms": 110.0})] * 2, "ok", ""),
        ([make(state_before=DeviceState(), state_after=DeviceState())] * 2, "ok", ""),
        ([make(warmup_stable=False)], "noisy", "still changing when the warm-up ended"),
        ([make(STEADY[:31], timed_out=True)], "timed-out", "150 s after 31 of 50 runs"),
        ([make(), make(state_before=msgspec.structs.replace(CALM, governor="powersave"))], "incomparable", "governor"),
        ([make(after={"charging": False}, state_before=msgspec.structs.replace(CALM, charging=True))], "incomparable",
         "charging"),
    ],
)  # fmt: skip
def test_each_fault_has_its_verdict_and_its_number(repeats: list[Repeat], verdict: Verdict, words: str) -> None:
    found, reasons = judged(*repeats)
    assert found == verdict, reasons
    assert words in reasons
    assert bool(reasons) is (verdict != "ok")


def test_missing_repeats_are_incomparable_whatever_else() -> None:
    assert judged(make(), plan=Plan(repeats=3)) == ("incomparable", "1 of 3 repeats finished.")
    assert judged(plan=Plan(repeats=3)) == ("incomparable", "0 of 3 repeats finished.")


def test_the_worst_verdict_wins_and_leads_the_reasons() -> None:
    throttled = make(RISING, after={"throttle_count": 5}, warmup_stable=False)
    verdict, reasons = judge([throttled], summarise([RISING]), Plan(repeats=2))
    assert verdict == "incomparable"
    assert reasons[0] == "1 of 2 repeats finished."
    assert "throttling" in reasons[1]
    assert any("warm-up" in reason for reason in reasons[2:])


def test_drift() -> None:
    assert drift([10] * 19) is None
    assert drift([10] * 20) == 0
    assert drift([10] * 10 + [11] * 10) == pytest.approx(0.1)
    assert drift([10] * 39 + [1000]) == 0, "one late outlier is no drift"


def test_a_handful_of_runs_is_never_ok() -> None:
    few = make((5 * MS,) * 3)
    verdict, reasons = judged(few, plan=Plan(min_runs=1, min_seconds=0.0, repeats=1))
    assert verdict == "noisy"
    assert "Only 3 timed runs" in reasons


def test_counted_instructions_have_to_be_equal() -> None:
    def counted(*counts: int) -> Repeat:
        return make((), counts=counts)

    assert judge([counted(7, 7), counted(7, 7)], None, Plan(repeats=2)) == ("ok", ())
    verdict, (reason,) = judge([counted(7, 7), counted(7, 1234)], None, Plan(repeats=2))
    assert verdict == "noisy"
    assert "7 to 1,234 instructions" in reason

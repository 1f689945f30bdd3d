"""The order of the rounds, and what happens on a device that does not hold still: none here throttles when asked to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgekit.device.device import Conditions
from edgekit.errors import IncomparableError
from edgekit.gate import rounds as gate
from edgekit.gate import speed
from edgekit.gate.budget import Budget, Limits, ModelBudget, Regression
from edgekit.gate.decide import Disturbed
from edgekit.gate.rounds import Bench, Side
from edgekit.job import Job, JobResult
from edgekit.measure import session
from edgekit.measure.plan import Candidate
from edgekit.records import Artifact, ClockRegime, DeviceInfo, DeviceState, Parity, Plan, Push

INFO = DeviceInfo(spec="adb:1", name="phone", profile=None, transport="adb", state="ready", engines=("litert",))
COOL = DeviceState(thermal_status=0, governor="walt")


def side(name: str) -> Side:
    artifact = Artifact(sha256=name * 64, bytes=10, format="litert", precision="fp32", path=f"/{name}.tflite",
                        model=name, exported_sha256=None, parity=Parity(passed=True))  # fmt: skip
    return Side(Candidate(artifact, ()))


class ScriptedPhone:
    """Answers each job with steady times; from the process ``at`` on it behaves as ``trouble`` says."""

    def __init__(self, trouble: str = "", at: int = 0, until: int = 10**9, info: DeviceInfo = INFO) -> None:
        self.trouble, self.at, self.until, self._info = trouble, at, until, info
        self.ran: list[str] = []
        self.clocks: list[ClockRegime] = []

    def info(self) -> DeviceInfo:
        return self._info

    def state(self) -> DeviceState:
        return COOL

    @contextmanager
    def conditions(self, threads: int, clocks: ClockRegime) -> Iterator[Conditions]:
        held: ClockRegime = "free" if self.trouble == "unpinned" else clocks
        yield Conditions(clock_regime=held, note="the phone did not follow" if held != clocks else None)

    def push(self, artifact: Artifact, inputs: Sequence[str] = ()) -> Push:
        return Push(bytes_sent=0, seconds=0.0)

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        number = len(self.ran)
        self.ran.append(Path(job.artifact).stem + ("" if job.mode == "measure" else f" {job.mode}"))
        hit = self.at <= number < self.until
        fields: dict[str, Any] = {"samples_ns": (1_000_000,) * 40, "state_before": COOL, "state_after": COOL}
        if hit and self.trouble == "throttled":
            fields["samples_ns"] = (1_000_000,) * 20 + (1_500_000,) * 20
            fields["state_after"] = DeviceState(thermal_status=2, governor="walt")
        if hit and self.trouble == "governor":
            fields["state_before"] = fields["state_after"] = DeviceState(thermal_status=0, governor="powersave")
        if hit and self.trouble == "slow":
            fields |= {"timed_out": True, "samples_ns": (1_000_000,) * 3}
        if job.mode == "memory":
            fields = {"peak_rss_bytes": 5000 + number, "baseline_rss_bytes": 1000}
        return JobResult(harness="native", harness_version="1", engine="litert", runtime_version="1",
                         threads=job.threads, warmup_stable=True, **fields)  # fmt: skip


def bench(phone: ScriptedPhone, seconds: float = 60.0) -> Bench:
    return Bench(phone, INFO, Conditions(), 1, lambda _text: None, seconds)


def test_the_order_within_the_rounds_alternates() -> None:
    phone = ScriptedPhone()
    made = list(islice(gate.rounds(bench(phone), side("a"), side("b")), 4))
    assert phone.ran == ["a", "b", "b", "a", "a", "b", "b", "a"] and len(made) == 4


def test_the_candidate_alone_is_measured_alone() -> None:
    phone = ScriptedPhone()
    made = list(islice(gate.rounds(bench(phone), None, side("b")), 2))
    assert phone.ran == ["b", "b"] and all(base is None for base, _ in made)


def test_no_round_begins_after_the_time_is_over() -> None:
    assert list(gate.rounds(bench(ScriptedPhone(), seconds=0.0), side("a"), side("b"))) == []


@pytest.mark.parametrize("trouble", ["throttled", "slow"])
def test_a_disturbed_round_is_made_again(trouble: str) -> None:
    phone = ScriptedPhone(trouble, at=2, until=4)
    made = list(islice(gate.rounds(bench(phone), side("a"), side("b")), 3))
    # The second round keeps its order: what is disturbed must not decide which file goes first.
    assert phone.ran == ["a", "b", "b", "a", "b", "a", "a", "b"]
    assert all(len(set(repeat.samples_ns)) == 1 for pair in made for repeat in pair if repeat is not None)


def test_a_device_that_rests_warm_is_waited_for_once_a_pass_and_after_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    phone = ScriptedPhone("throttled", at=4, until=5)
    waited: list[int] = []

    def wait(read: Any, progress: Any) -> str:
        waited.append(len(phone.ran))
        return "Measured at 45.0 °C: it stopped cooling above 35 °C."

    monkeypatch.setattr(session, "wait_until_cool", wait)
    used = bench(phone)
    both = side("a"), side("b")
    assert len(list(islice(gate.rounds(used, *both), 4))) == 4
    assert waited == [0, 6] and len(phone.ran) == 10  # the third round was made again
    assert all("stopped cooling" in str(one.verdict_reasons) for one in (both[0].singles[0], both[0].singles[3]))
    assert gate.merged(both[0]).verdict_reasons[-1].endswith("it stopped cooling above 35 °C.")
    next(gate.rounds(used, *both))
    assert waited == [0, 6, 10]


@pytest.mark.parametrize(("trouble", "processes"), [("throttled", 8), ("slow", 8)])
def test_a_device_that_is_disturbed_all_the_time_is_given_up(trouble: str, processes: int) -> None:
    phone = ScriptedPhone(trouble)
    with pytest.raises(Disturbed):
        list(gate.rounds(bench(phone), side("a"), side("b")))
    assert len(phone.ran) == processes


def test_a_machine_that_changes_its_governor_ends_the_pass_at_once() -> None:
    phone = ScriptedPhone("governor", at=4)
    with pytest.raises(Disturbed, match="governor"):
        list(gate.rounds(bench(phone), side("a"), side("b")))
    assert len(phone.ran) == 6


def judge(phone: ScriptedPhone, **fields: Any) -> speed.Judged:
    model = ModelBudget(name="net", spec="net.pt2", **fields)
    budget = Budget(path="b.toml", baseline="b", model=(model,), clocks="pinned")
    return speed.judge(model, budget, phone, side("a").candidate, side("b").candidate, lambda _text: None)


def test_memory_is_measured_in_turns_and_again_before_it_fails() -> None:
    phone = ScriptedPhone()
    made = judge(phone, regression=Regression(latency=None, p50=None), limits=Limits(peak_rss_bytes=100))
    passes = [name for name in phone.ran if "memory" in name]
    assert passes == ["a memory", "b memory", "b memory", "a memory", "a memory", "b memory"] * 2
    assert [(line.quantity, line.result) for line in made.lines] == [("peak_rss", "ok"), ("peak_rss", "over-budget")]
    assert made.kept[1].peak_rss_bytes is not None and made.kept[1].model_rss_bytes is not None


def test_what_was_measured_becomes_one_measurement_a_side() -> None:
    base, now = judge(ScriptedPhone()).kept
    assert (base.model, now.model) == ("a", "b")
    for one in (base, now):
        assert one.plan == msgspec.structs.replace(gate.PLAN, repeats=10) and len(one.repeats) == 10
        assert one.samples == 400 and one.p50_ms == 1.0 and one.verdict == "ok" and one.clock_regime == "pinned"
    assert base.id != now.id


def test_clocks_that_cannot_be_held_are_not_comparable() -> None:
    with pytest.raises(IncomparableError, match="did not follow"):
        judge(ScriptedPhone("unpinned"))


def test_a_device_that_stays_hot_is_not_comparable_after_two_passes() -> None:
    phone = ScriptedPhone("throttled")
    with pytest.raises(IncomparableError, match="thermal status"):
        judge(phone)
    assert len(phone.ran) == 16


def test_a_device_that_cools_down_between_the_passes_is_judged() -> None:
    phone = ScriptedPhone("throttled", until=8)
    assert judge(phone).lines[0].result == "ok"


def test_an_emulated_device_has_no_latency() -> None:
    emulated = msgspec.structs.replace(INFO, emulated=True)
    made = judge(ScriptedPhone(info=emulated))
    assert [(line.quantity, line.result) for line in made.lines] == [("latency", "not-checked"), ("peak_rss", "ok")]
    for fields in ({"limits": Limits(p50_ms=3.0)}, {"given": ("latency",)}):
        with pytest.raises(IncomparableError, match="emulated"):
            judge(ScriptedPhone(info=emulated), **fields)
    off = {"given": ("latency",), "regression": Regression(latency=None)}
    assert judge(ScriptedPhone(info=emulated), **off).lines[0].result == "not-checked"


@pytest.mark.parametrize(
    ("engines", "fields", "bound"),
    [
        ("litert", {"limits": Limits(instructions=5)}, "limits: instructions"),
        ("litert", {"given": ("sram",)}, "regression: sram"),
        ("edgekit-mcu", {"limits": Limits(p99_ms=5.0)}, "limits: p99_ms"),
        ("edgekit-mcu", {"given": ("peak_rss",)}, "regression: peak_rss"),
    ],
)
def test_a_bound_that_the_device_has_no_figure_for_is_refused(engines: str, fields: dict[str, Any], bound: str) -> None:
    phone = ScriptedPhone(info=msgspec.structs.replace(INFO, engines=(engines,)))
    with pytest.raises(IncomparableError, match="can't be judged on adb:1") as caught:
        judge(phone, **fields)
    assert caught.value.where.endswith(bound) and bound in caught.value.next_step and phone.ran == []


def test_the_plan_is_a_short_one() -> None:
    plan = gate.PLAN
    assert plan.warmup_max_seconds < Plan().warmup_max_seconds and plan.min_seconds < Plan().min_seconds

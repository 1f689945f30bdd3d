"""The timed loop against a clock that only moves when the test says so."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from itertools import chain, cycle, repeat

import pytest

from edgekit.harness.clock import monotonic_clock
from edgekit.harness.loop import is_stable, overhead_ns, timed_loop
from edgekit.records import Plan

MS = 1_000_000


class Machine:
    """A clock and a run that takes the next of the given durations; reading the clock takes no time."""

    def __init__(self, durations_ns: Iterable[int]) -> None:
        self.now = 0
        self.collecting: list[bool] = []
        self._durations: Iterator[int] = iter(durations_ns)

    def clock(self) -> int:
        return self.now

    def run(self) -> None:
        self.collecting.append(gc.isenabled())
        self.now += next(self._durations)


def plan(**changes: float) -> Plan:
    return Plan(**changes)  # type: ignore[arg-type] # counts are passed as int


def test_warm_up_lasts_for_both_minima_of_runs_and_seconds() -> None:
    quick = Machine(repeat(1 * MS))
    timed = timed_loop(quick.run, plan(warmup_min_runs=5, warmup_min_seconds=0.5), quick.clock)
    assert timed.warmup_stable
    assert 500 <= len(timed.warmup_ns) < 560

    slow = Machine(repeat(1000 * MS))
    timed = timed_loop(slow.run, plan(warmup_min_runs=12, warmup_min_seconds=0.5), slow.clock)
    assert len(timed.warmup_ns) == 12


def test_warm_up_goes_on_until_the_time_stops_falling() -> None:
    falling = [int(10 * MS * (1 + 2.0 ** (-i / 10))) for i in range(200)]
    machine = Machine(chain(falling, repeat(10 * MS)))
    timed = timed_loop(machine.run, plan(warmup_min_runs=5, warmup_min_seconds=0.0), machine.clock)
    assert timed.warmup_stable
    assert len(timed.warmup_ns) > 30, "the median was still falling by more than 2% per window"
    assert timed.warmup_ns == tuple(falling[: len(timed.warmup_ns)])
    assert max(timed.samples_ns) < 11.5 * MS


def test_a_time_that_never_settles_is_capped_and_said_so() -> None:
    ever_slower = (int(10 * MS * 1.05**i) for i in range(10_000))
    machine = Machine(ever_slower)
    timed = timed_loop(machine.run, plan(warmup_max_seconds=3.0, min_runs=1, min_seconds=0.0), machine.clock)
    assert not timed.warmup_stable
    assert 3000 * MS <= sum(timed.warmup_ns) <= 3000 * MS * 1.06


def test_every_sample_is_kept_as_it_was() -> None:
    durations = [100 * MS, 101 * MS, 100 * MS, 99 * MS, 100 * MS]
    machine = Machine(cycle(durations))
    timed = timed_loop(machine.run, plan(min_runs=50, min_seconds=1.0), machine.clock)
    assert len(timed.samples_ns) == 50
    start = len(timed.warmup_ns)
    assert timed.samples_ns == tuple(durations[(start + i) % 5] for i in range(50))
    assert (timed.timed_out, timed.note) == (False, None)


def test_timing_lasts_for_both_minima() -> None:
    machine = Machine(repeat(1 * MS))
    timed = timed_loop(machine.run, plan(min_runs=50, min_seconds=1.0), machine.clock)
    assert len(timed.samples_ns) == 1000


def test_the_cap_ends_timing_between_runs() -> None:
    machine = Machine(repeat(40_000 * MS))
    timed = timed_loop(machine.run, plan(min_runs=50, max_seconds=150.0, warmup_max_seconds=20.0), machine.clock)
    assert timed.timed_out
    assert len(timed.samples_ns) == 4
    assert len(timed.warmup_ns) == 1


def test_storage_is_bounded_and_said_so() -> None:
    machine = Machine(repeat(1000))
    timed = timed_loop(machine.run, plan(min_seconds=1.0), machine.clock, max_samples=300)
    assert len(timed.samples_ns) == 300
    assert not timed.timed_out
    assert timed.note is not None and "300 samples" in timed.note


def test_the_collector_is_off_during_the_runs_and_back_on_after_an_error() -> None:
    machine = Machine([1 * MS] * 7)
    assert gc.isenabled()
    with pytest.raises(StopIteration):
        timed_loop(machine.run, plan(), machine.clock)
    assert set(machine.collecting) == {False}
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("times", "stable"),
    [
        ([100] * 9, False),
        ([100] * 10, True),
        ([102] * 5 + [100] * 5, True),
        ([103] * 5 + [100] * 5, False),
        ([97] * 5 + [100] * 5, False),
        ([500] * 20 + [100] * 20, True),
        ([500] * 20 + [100] * 19 + [900], True),
    ],
)
def test_is_stable(times: list[int], stable: bool) -> None:
    assert is_stable(times) is stable


def test_overhead_is_that_of_the_loop() -> None:
    clock, note = monotonic_clock()
    assert note is None
    assert 0 < overhead_ns(clock) < 100_000

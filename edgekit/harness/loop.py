"""The timed loop: warm up until the machine has settled, then keep every sample. It knows nothing of runtimes."""

from __future__ import annotations

import gc
import statistics
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgekit.harness.clock import Clock
from edgekit.records import Plan

# Two successive windows of the warm-up agree when their medians differ by no more than this share of the newer one.
STABLE_SHARE = 0.02
# A window holds at least this many runs, and a quarter of the warm-up so far once that is more.
MIN_WINDOW = 5
# Storage is allocated before timing starts. A model of 5 microseconds fills one second with this many runs.
MAX_SAMPLES = 200_000
_OVERHEAD_RUNS = 2_000
_NS = 1_000_000_000


@dataclass(frozen=True)
class Timed:
    """What the loop saw, in nanoseconds per run. ``timed_out`` means fewer runs than the plan's minimum."""

    warmup_ns: tuple[int, ...]
    warmup_stable: bool
    samples_ns: tuple[int, ...]
    timed_out: bool
    note: str | None


def timed_loop(run: Callable[[], object], plan: Plan, clock: Clock, *, max_samples: int = MAX_SAMPLES) -> Timed:
    """Warm up, then time ``run`` by the plan.

    The warm-up ends when all hold: ``warmup_min_runs`` runs, ``warmup_min_seconds`` seconds, and the medians of its
    last two windows within 2%; at the latest after ``warmup_max_seconds``, and then it is reported as not stable. The
    timed part ends after ``min_runs`` runs and ``min_seconds`` seconds, at the latest after ``max_seconds``. Both
    limits are read from the clock between runs, so a run in flight is never cut short. The garbage collector is off.
    """
    with _collector_off():
        warmup, stable = _warm_up(run, plan, clock, max_samples)
        samples, timed_out = _sample(run, plan, clock, max_samples)
    full = len(samples) == max_samples
    note = f"Stopped at {max_samples} samples, the most that one repeat keeps." if full else None
    return Timed(tuple(warmup), stable, tuple(samples), timed_out, note)


def overhead_ns(clock: Clock) -> int:
    """Median nanoseconds per run that the timed loop itself costs: the same loop around an empty call.

    Samples are reported as measured; this is stated beside them, not subtracted.
    """
    storage = array("q", bytes(8 * _OVERHEAD_RUNS))
    with _collector_off():
        _fill(_nothing, clock, storage, _OVERHEAD_RUNS, 0, 10 * _NS)
    return int(statistics.median(storage))


def is_stable(times: Sequence[int]) -> bool:
    """Whether the medians of the last two windows of ``times`` agree within :data:`STABLE_SHARE`."""
    window = max(MIN_WINDOW, len(times) // 4)
    if len(times) < 2 * window:
        return False
    newer = statistics.median(times[-window:])
    older = statistics.median(times[-2 * window : -window])
    return abs(newer - older) <= STABLE_SHARE * newer


def _warm_up(run: Callable[[], object], plan: Plan, clock: Clock, max_samples: int) -> tuple[array[int], bool]:
    storage = array("q", bytes(8 * max_samples))
    done, spent = 0, 0
    limit = int(plan.warmup_max_seconds * _NS)
    target = max(plan.warmup_min_runs, 1)
    at_least = int(plan.warmup_min_seconds * _NS)
    while True:
        begin = clock()
        view = memoryview(storage)[done:]
        added = _fill(run, clock, view, target - done, max(0, at_least - spent), limit - spent)
        done, spent = done + added, spent + clock() - begin
        stable = is_stable(storage[:done])
        if stable or spent >= limit or done >= max_samples:
            return storage[:done], stable
        # The check costs time between runs, so it comes after every tenth of the warm-up rather than after every run.
        target = done + max(MIN_WINDOW, done // 10)


def _sample(run: Callable[[], object], plan: Plan, clock: Clock, max_samples: int) -> tuple[array[int], bool]:
    storage = array("q", bytes(8 * max_samples))
    minimum, maximum = int(plan.min_seconds * _NS), int(plan.max_seconds * _NS)
    done = _fill(run, clock, memoryview(storage), plan.min_runs, minimum, maximum)
    return storage[:done], done < min(plan.min_runs, max_samples)


def _fill(
    run: Callable[[], object], clock: Clock, storage: array[int] | memoryview, min_runs: int, min_ns: int, max_ns: int
) -> int:
    """Run until ``min_runs`` and ``min_ns`` are both reached, or ``max_ns``, or the storage is full.

    At least once; the answer is how many runs there were.
    """
    index, capacity = 0, len(storage)
    begin = clock()
    while index < capacity:
        start = clock()
        run()
        end = clock()
        storage[index] = end - start
        index += 1
        elapsed = end - begin
        if elapsed >= max_ns or (index >= min_runs and elapsed >= min_ns):
            break
    return index


def _nothing() -> None:
    return None


@contextmanager
def _collector_off() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

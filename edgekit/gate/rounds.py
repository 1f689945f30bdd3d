"""Interleaved rounds on a device: each side a process of its own, the order within a round alternating."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median

import msgspec

from edgekit.device.device import Conditions, Device
from edgekit.gate.decide import Disturbed, Round
from edgekit.measure.plan import Candidate
from edgekit.measure.session import Say, Session
from edgekit.measure.stats import summarise
from edgekit.measure.verdict import judge
from edgekit.records import DeviceInfo, Measurement, Plan, Repeat

# Many short processes rather than few long ones: most of the doubt lies between processes, not within them. Five times
# the runs per process (1 s) narrowed the spread of their 10th percentiles by 0 to 26% (four files, a shared machine).
PLAN = Plan(warmup_min_runs=5, warmup_min_seconds=0.1, warmup_max_seconds=2.0, min_runs=20, min_seconds=0.2,
            max_seconds=150.0, repeats=1)  # fmt: skip
MEMORY_PASSES = 3
# A pass is given up once more rounds than these, and a third of the good ones, could not be used.
_SPOILT = 3


@dataclass
class Side:
    """One of the two files with everything that was measured of it, one measurement per process.

    ``notes`` are what has to be known of how, in order.
    """

    candidate: Candidate
    singles: list[Measurement] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    models: list[int] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)


@dataclass
class Bench:
    """The device as it is while both sides are measured.

    A device that rests above the limit of the cool ones is ``warm``. It was waited for until it stopped cooling, and to
    do so again before every process would take half a minute each; what warmth does touches both sides alike.
    """

    device: Device
    info: DeviceInfo
    conditions: Conditions
    threads: int
    say: Say
    max_seconds: float
    passes: int = 0
    warm: bool = False

    def repeat(self, side: Side) -> Repeat:
        """One process of one side. Raises EdgekitError as Session.repeat does."""
        session = Session(side.candidate, self.info, PLAN, self.threads)
        made = session.repeat(self.device, self.conditions, lambda _text: None, cool=not self.warm)
        self.warm = self.warm or session.warm
        side.singles.append(made)
        side.notes |= dict.fromkeys(session.notes)
        return made.repeats[-1]


def rounds(bench: Bench, base: Side | None, now: Side) -> Iterator[Round]:
    """Rounds until ``max_seconds`` are over. Without a baseline the candidate is measured alone.

    The order alternates (ABBA), so that a machine that slows down steadily touches both sides alike. A round in which
    a side was throttled or ran out of time is made again.

    Raises:
        Disturbed: too many rounds can't be used, or the machine changed its clocks or its power supply meanwhile.
    """
    bench.passes, bench.warm = bench.passes + 1, False
    again = f", pass {bench.passes}" if bench.passes > 1 else ""
    end = time.monotonic() + bench.max_seconds
    good, spoilt, first = 0, 0, None
    while time.monotonic() < end:
        bench.say(f"round {good + 1}{again}")
        sides = [now] if base is None else [base, now] if good % 2 == 0 else [now, base]
        made = {id(side): bench.repeat(side) for side in sides}
        first = first or made[id(now)]
        verdict, reasons = judge((first, *made.values()), None, PLAN)
        if verdict == "incomparable":
            raise Disturbed(reasons[0])
        if verdict in ("throttled", "timed-out"):
            spoilt, bench.warm = spoilt + 1, False  # it may be cooler later
            if spoilt > _SPOILT + good // 3:
                raise Disturbed(reasons[0])
            first = None if made[id(now)] is first else first
            continue
        good += 1
        yield (None if base is None else made[id(base)], made[id(now)])


def measure_memory(bench: Bench, base: Side | None, now: Side) -> None:
    """Some memory passes of each side, interleaved; what the machine does not tell stays empty."""
    for number in range(MEMORY_PASSES):
        sides = [now] if base is None else [base, now] if number % 2 == 0 else [now, base]
        for side in sides:
            bench.say(f"memory, pass {number + 1} of {MEMORY_PASSES}")
            if not side.singles:
                bench.repeat(side)
            session = Session(side.candidate, bench.info, PLAN, bench.threads, so_far=side.singles[-1])
            made = session.memory(bench.device, bench.conditions, lambda _text: None)
            if made.peak_rss_bytes:
                side.peaks.append(made.peak_rss_bytes)
            if made.model_rss_bytes:
                side.models.append(made.model_rss_bytes)


def merged(side: Side) -> Measurement:
    """Everything that was measured of one side, as one measurement for the store."""
    repeats = tuple(single.repeats[-1] for single in side.singles)
    plan = msgspec.structs.replace(PLAN, repeats=len(repeats))
    timed = [repeat.samples_ns for repeat in repeats if repeat.samples_ns]
    summary = summarise(timed) if timed else None
    verdict, reasons = judge(repeats, summary, plan)
    first = side.singles[0]
    medians = {name: _median([getattr(single, name) for single in side.singles])
               for name in ("first_ms", "load_cold_ms", "load_warm_ms")}  # fmt: skip
    return msgspec.structs.replace(
        first, plan=plan, repeats=repeats, verdict=verdict, verdict_reasons=(*reasons, *side.notes),
        peak_rss_bytes=round(median(side.peaks)) if side.peaks else None,
        model_rss_bytes=round(median(side.models)) if side.models else None,
        **medians, **(asdict(summary) if summary else {}),
    )  # fmt: skip


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None

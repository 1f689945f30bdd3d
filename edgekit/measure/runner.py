"""Measure candidates on a device by the protocol: cold repeats, candidates interleaved, memory in a pass of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from statistics import median
from typing import Any

import msgspec

from edgekit.device import lease
from edgekit.device.device import Device
from edgekit.errors import EdgekitError
from edgekit.harness.state import COLD_CACHE
from edgekit.job import Counted, JobResult
from edgekit.measure.cooldown import wait_until_cool
from edgekit.measure.plan import Candidate, check_plan, job_for, timeout_s
from edgekit.measure.stats import Summary, summarise
from edgekit.measure.verdict import judge
from edgekit.records import ClockRegime, DeviceInfo, Measurement, Plan, Repeat


@dataclass(frozen=True)
class Outcome:
    """What became of one candidate.

    ``measurement`` holds every repeat that finished and is None if none did. ``error`` says what ended the
    measurement early and is None if it is complete; the other candidates were measured all the same.
    """

    candidate: Candidate
    measurement: Measurement | None
    error: EdgekitError | None


def measure(
    candidates: Sequence[Candidate],
    device: Device,
    plan: Plan,
    *,
    threads: int,
    on_repeat: Callable[[Measurement], None],
    progress: Callable[[str], None],
    clocks: ClockRegime = "free",
    wait_s: float = 0.0,
) -> list[Outcome]:
    """Measure every candidate and answer one outcome each, in the order given.

    The order of work is repeat by repeat, each over all candidates, so that a change of the machine touches all of
    them alike. Every repeat is a process of its own. The memory passes come last: a kill then costs a memory figure,
    not samples. The device's lease is held throughout.

    Args:
        on_repeat: called with the measurement as known so far, under one id, after every repeat and after the memory
            pass; until the last repeat its verdict is ``incomparable``. Store it: a kill then loses the run in flight.
        progress: called with one line of text before every step.
        clocks: ``pinned`` asks the device to hold its clocks; what came of that is in each measurement.
        wait_s: how long to wait for another process that measures on the device, in seconds.

    Raises:
        DeviceError: another process measures on the device.
        UsageError: the plan contradicts itself.
    """
    check_plan(plan)
    info = device.info()
    sessions = [_Session(candidate, info, plan, threads) for candidate in candidates]
    with lease.hold(info.spec, wait_s=wait_s), device.conditions(threads, clocks) as conditions:
        affinity = conditions.affinity
        for session in sessions:
            session.clock_regime = conditions.clock_regime
            session.note(conditions.note)
        for number in range(1, plan.repeats + 1):
            for session in sessions:
                _repeat(session, device, affinity, number, on_repeat, progress)
        for session in sessions:
            _memory(session, device, affinity, on_repeat, progress)
    return [Outcome(session.candidate, session.measurement, session.error) for session in sessions]


class _Session:
    """One candidate while it is being measured: its repeats so far and the measurement made from them."""

    def __init__(self, candidate: Candidate, info: DeviceInfo, plan: Plan, threads: int) -> None:
        self.candidate, self.info, self.plan, self.threads = candidate, info, plan, threads
        self.id, self.created = uuid.uuid4().hex, datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.clock_regime: ClockRegime = "free"
        self.repeats: list[Repeat] = []
        self.notes: list[str] = []
        self.measurement: Measurement | None = None
        self.error: EdgekitError | None = None

    @property
    def label(self) -> str:
        artifact = self.candidate.artifact
        return f"{artifact.model} {artifact.format} {artifact.precision}"

    def note(self, text: str | None) -> None:
        if text and text not in self.notes:
            self.notes.append(text)

    def add(self, result: JobResult, affinity: tuple[int, ...] | None) -> Measurement:
        self.note(result.note)
        self.repeats.append(_repeat_of(result))
        self.measurement = _measurement(self, result, affinity)
        return self.measurement


def _repeat(
    session: _Session,
    device: Device,
    affinity: tuple[int, ...] | None,
    number: int,
    on_repeat: Callable[[Measurement], None],
    progress: Callable[[str], None],
) -> None:
    if session.error is not None:
        return
    try:
        job = job_for(session.candidate, "measure", session.plan, threads=session.threads, affinity=affinity)
        session.note(wait_until_cool(device.state, progress))
        progress(f"{session.label}: repeat {number} of {session.plan.repeats}")
        result = device.run(job, timeout_s=timeout_s(session.plan))
    except EdgekitError as error:
        session.error = error
        return
    on_repeat(session.add(result, affinity))


def _memory(
    session: _Session,
    device: Device,
    affinity: tuple[int, ...] | None,
    on_repeat: Callable[[Measurement], None],
    progress: Callable[[str], None],
) -> None:
    if session.error is not None or session.measurement is None or session.measurement.footprint is not None:
        return  # a microcontroller's memory came with its runs
    progress(f"{session.label}: memory")
    try:
        job = job_for(session.candidate, "memory", session.plan, threads=session.threads, affinity=affinity)
        result = device.run(job, timeout_s=timeout_s(session.plan))
    except EdgekitError as error:
        session.error = error
        return
    known = result.baseline_rss_bytes > 0
    notes = len(session.notes)
    session.note(result.note)
    session.measurement = msgspec.structs.replace(
        session.measurement,
        peak_rss_bytes=result.peak_rss_bytes,
        model_rss_bytes=result.peak_rss_bytes - result.baseline_rss_bytes if known else None,
        verdict_reasons=(*session.measurement.verdict_reasons, *session.notes[notes:]),
    )
    on_repeat(session.measurement)


def _repeat_of(result: JobResult) -> Repeat:
    return Repeat(
        samples_ns=result.samples_ns,
        warmup_ns=result.warmup_ns,
        load_cold_ns=result.load_cold_ns,
        load_warm_ns=result.load_warm_ns,
        first_ns=result.first_ns,
        overhead_ns=result.overhead_ns,
        timed_out=result.timed_out,
        warmup_stable=result.warmup_stable,
        started=result.started,
        state_before=result.state_before,
        state_after=result.state_after,
        counts=result.counted.per_run if result.counted else (),
    )


def _measurement(session: _Session, result: JobResult, affinity: tuple[int, ...] | None) -> Measurement:
    repeats = session.repeats
    timed = [repeat.samples_ns for repeat in repeats if repeat.samples_ns]
    summary = summarise(timed) if timed else None
    verdict, reasons = judge(repeats, summary, session.plan)
    cold = [repeat.load_cold_ns for repeat in repeats if COLD_CACHE not in repeat.state_before.missing]
    return msgspec.structs.replace(
        _identity(session, result),
        **_figures(repeats, summary, result.counted),
        verdict=verdict,
        verdict_reasons=(*reasons, *session.notes),
        affinity=affinity,
        first_ms=_median_ms([repeat.first_ns for repeat in repeats if repeat.first_ns]),
        load_cold_ms=_median_ms([value for value in cold if value]),
        load_warm_ms=_median_ms([repeat.load_warm_ns for repeat in repeats if repeat.load_warm_ns]),
        overhead_ns=int(median(repeat.overhead_ns for repeat in repeats)),
        repeats=tuple(repeats),
    )


def _figures(repeats: Sequence[Repeat], summary: Summary | None, counted: Counted | None) -> dict[str, Any]:
    """What the runs came to: times where there are any, and what a microcontroller counted."""
    figures: dict[str, Any] = {} if summary is None else asdict(summary)
    if counted is None:
        return figures
    counts = [count for repeat in repeats for count in repeat.counts]
    figures.setdefault("samples", len(counts))
    figures |= {"counter": counted.counter, counted.counter: round(median(counts)) if counts else None}
    if counted.footprint is not None:
        figures |= {"footprint": counted.footprint, "sram_bytes": counted.footprint.sram_bytes,
                    "flash_bytes": counted.footprint.flash_bytes}  # fmt: skip
    return figures


def _identity(session: _Session, result: JobResult) -> Measurement:
    """What was measured, where and by what; without figures it is comparable with nothing."""
    artifact, info = session.candidate.artifact, session.info
    return Measurement(
        id=session.id,
        created=session.created,
        artifact_sha256=artifact.sha256,
        model=artifact.model,
        format=artifact.format,
        precision=artifact.precision,
        device=info.spec,
        device_name=info.name,
        os_build=info.os_build,
        soc=info.soc,
        engine=result.engine,
        runtime_version=result.runtime_version,
        harness_version=result.harness_version,
        harness=result.harness,
        verdict="incomparable",
        emulated=info.emulated,
        clock_regime=session.clock_regime,
        threads=result.threads,
        plan=session.plan,
    )


def _median_ms(values_ns: Sequence[int]) -> float | None:
    return median(values_ns) / 1e6 if values_ns else None

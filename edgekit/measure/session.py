"""One candidate while it is being measured: its repeats so far, and the measurement made from them.

A session can begin from a measurement that was interrupted, and goes on after the repeats that it has.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from statistics import median
from typing import Any

import msgspec

from edgekit.device.device import Conditions, Device
from edgekit.harness.state import COLD_CACHE
from edgekit.job import Counted, JobResult
from edgekit.measure.cooldown import wait_until_cool
from edgekit.measure.plan import Candidate, job_for, timeout_s
from edgekit.measure.stats import Summary, summarise
from edgekit.measure.verdict import judge
from edgekit.records import ClockRegime, DeviceInfo, Measurement, Plan, Repeat

Say = Callable[[str], None]


class Session:
    """The repeats of one candidate on one device, made one at a time by whoever decides on their order.

    Args:
        so_far: a measurement of the same candidate under the same plan that lacks repeats or the memory pass; its id
            is kept and its repeats are not made again.
    """

    def __init__(
        self, candidate: Candidate, info: DeviceInfo, plan: Plan, threads: int, so_far: Measurement | None = None
    ) -> None:
        self.candidate, self.info, self.plan, self.threads = candidate, info, plan, threads
        self.id = so_far.id if so_far else uuid.uuid4().hex
        self.created = so_far.created if so_far else datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.clock_regime: ClockRegime = so_far.clock_regime if so_far else "free"
        self.repeats: list[Repeat] = list(so_far.repeats) if so_far else []
        self.measurement = so_far
        self.warm = False  # whether the device was not cool when the last repeat began, although it was waited for
        self._notes: list[str] = _notes_of(so_far) if so_far else []

    @property
    def label(self) -> str:
        """Model, format and precision, for progress lines."""
        artifact = self.candidate.artifact
        return f"{artifact.model} {artifact.format} {artifact.precision}"

    @property
    def repeats_done(self) -> bool:
        """Whether every repeat of the plan has been made."""
        return len(self.repeats) >= self.plan.repeats

    @property
    def memory_done(self) -> bool:
        """Whether the memory is known; a microcontroller's came with its runs."""
        found = self.measurement
        return found is not None and (found.footprint is not None or found.peak_rss_bytes is not None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be known of how it was measured."""
        return tuple(self._notes)

    def note(self, text: str | None) -> None:
        """Keep a sentence among the measurement's reasons."""
        if text and text not in self._notes:
            self._notes.append(text)

    def repeat(self, device: Device, conditions: Conditions, progress: Say, *, cool: bool = True) -> Measurement:
        """Make the next repeat, in a process of its own, once the device is cool; without ``cool`` at once.

        Raises:
            EdgekitError: the runtime refused the file, the device was lost, or it took too long.
        """
        self.clock_regime = conditions.clock_regime
        self.note(conditions.note)
        job = job_for(self.candidate, "measure", self.plan, threads=self.threads, affinity=conditions.affinity)
        if cool:
            warm = wait_until_cool(device.state, progress)
            self.warm = warm is not None
            self.note(warm)
        progress(f"{self.label}: repeat {len(self.repeats) + 1} of {self.plan.repeats}")
        result = device.run(job, timeout_s=timeout_s(self.plan))
        self.note(result.note)
        self.repeats.append(_repeat_of(result))
        self.measurement = _measurement(self, result, conditions.affinity)
        return self.measurement

    def memory(self, device: Device, conditions: Conditions, progress: Say) -> Measurement:
        """Measure the memory, in a pass of its own; there has to be a repeat before.

        Raises:
            EdgekitError: as :meth:`repeat`.
        """
        if self.measurement is None:
            raise ValueError("the memory pass comes after a repeat")
        progress(f"{self.label}: memory")
        job = job_for(self.candidate, "memory", self.plan, threads=self.threads, affinity=conditions.affinity)
        result = device.run(job, timeout_s=timeout_s(self.plan))
        known = result.baseline_rss_bytes > 0
        said = len(self._notes)
        self.note(result.note)
        self.measurement = msgspec.structs.replace(
            self.measurement,
            peak_rss_bytes=result.peak_rss_bytes,
            model_rss_bytes=result.peak_rss_bytes - result.baseline_rss_bytes if known else None,
            verdict_reasons=(*self.measurement.verdict_reasons, *self._notes[said:]),
        )
        return self.measurement


def _notes_of(so_far: Measurement) -> list[str]:
    """What was noted while it was measured: its reasons that don't follow from its figures."""
    judged = judge(so_far.repeats, _summary(so_far.repeats), so_far.plan)[1]
    return [reason for reason in so_far.verdict_reasons if reason not in judged]


def _summary(repeats: Sequence[Repeat]) -> Summary | None:
    timed = [repeat.samples_ns for repeat in repeats if repeat.samples_ns]
    return summarise(timed) if timed else None


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


def _measurement(session: Session, result: JobResult, affinity: tuple[int, ...] | None) -> Measurement:
    repeats = session.repeats
    summary = _summary(repeats)
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


def _identity(session: Session, result: JobResult) -> Measurement:
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

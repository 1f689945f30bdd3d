"""What edgekit asks of a device: a seam of five methods, whatever the transport."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from edgekit.job import Job, JobResult
from edgekit.records import Artifact, ClockRegime, DeviceInfo, DeviceState, Push


@dataclass(frozen=True)
class Conditions:
    """Under what a device is measured: the cores to run on (None leaves the scheduler free), and its clocks."""

    affinity: tuple[int, ...] | None = None
    clock_regime: ClockRegime = "free"
    note: str | None = None


class Device(Protocol):
    """One device that runs jobs. Every method may raise DeviceError when the device is lost."""

    def info(self) -> DeviceInfo:
        """Who it is and what it can run. Quick: no runtime is imported and nothing is measured."""

    def state(self) -> DeviceState:
        """Its clocks, temperatures and load now; what it does not tell is in ``missing``."""

    def conditions(self, threads: int, clocks: ClockRegime) -> AbstractContextManager[Conditions]:
        """Cores and clocks for a measurement with so many threads; clocks that were set are restored at the end.

        Raises UsageError where clocks can't be pinned by design. A device that should but does not follow is measured
        ``free``, and the conditions say so.
        """

    def push(self, artifact: Artifact, inputs: Sequence[str] = ()) -> Push:
        """Bring the artifact, and these input files, to where :meth:`run` finds them, and say what that took."""

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        """Run one job in a fresh process. Raises DeadlineError and the errors of the harness."""

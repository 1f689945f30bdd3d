"""What edgekit asks of a device: a seam of five methods, whatever the transport."""

from __future__ import annotations

from typing import Protocol

from edgekit.job import Job, JobResult
from edgekit.records import Artifact, DeviceInfo, DeviceState, Push


class Device(Protocol):
    """One device that runs jobs. Every method may raise DeviceError when the device is lost."""

    def info(self) -> DeviceInfo:
        """Who it is and what it can run. Quick: no runtime is imported and nothing is measured."""

    def state(self) -> DeviceState:
        """Its clocks, temperatures and load now; what it does not tell is in ``missing``."""

    def affinity(self, threads: int) -> tuple[int, ...] | None:
        """The cores to run ``threads`` threads on; None leaves the scheduler free."""

    def push(self, artifact: Artifact) -> Push:
        """Bring the artifact to where :meth:`run` finds it, and say what that took."""

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        """Run one job in a fresh process. Raises DeadlineError and the errors of the harness."""

"""The machine that edgekit itself runs on, as a device."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgekit.device import lease
from edgekit.device.affinity import choose_cores
from edgekit.device.device import Conditions
from edgekit.errors import DeviceError, UsageError
from edgekit.harness import state
from edgekit.job import NATIVE_ENGINES, Job, JobResult
from edgekit.records import Artifact, ClockRegime, DeviceInfo, DeviceState, Push

SPEC = "host"


class HostDevice:
    """Runs jobs in child processes of this machine.

    Args:
        root: where ``proc``, ``sys`` and ``etc`` are found.
        native: run them by the native runner, the program that measures on phones, and not by the Python harness.
    """

    def __init__(self, root: Path = Path("/"), *, native: bool = False) -> None:
        self._root, self._native = root, native

    def info(self) -> DeviceInfo:
        """This machine: name is the processor's; ``state`` is ``busy`` while its lease is held."""
        from edgekit.harness.engines.table import installed

        cpu = state.parse_cpu_model(self._text("proc/cpuinfo")) or platform.processor() or platform.machine()
        held = lease.holder(SPEC)
        return DeviceInfo(
            spec=SPEC,
            name=cpu,
            profile=None,
            transport="local",
            state="ready" if held is None else "busy",
            abi=platform.machine() or None,
            os_build=self._os_build(),
            soc=None,
            ram_bytes=state.parse_memory_bytes(self._text("proc/meminfo"), "MemTotal"),
            cores=os.cpu_count(),
            lease=None if held is None else str(held),
            engines=NATIVE_ENGINES if self._native else installed(),
        )

    def state(self) -> DeviceState:
        """Clocks, temperatures and load now."""
        return state.read_state(self._root)

    @contextmanager
    def conditions(self, threads: int, clocks: ClockRegime) -> Iterator[Conditions]:
        """The fastest cores among those that this process may use. The clocks are left alone."""
        if clocks != "free":
            raise UsageError(
                "edgekit does not pin the clocks of this machine.", where="--clocks",
                next_step="Leave it out; or set the governor yourself and say so where you quote the figure.",
            )  # fmt: skip
        cores = None
        if hasattr(os, "sched_getaffinity"):
            cores = choose_cores(state.max_frequencies_khz(self._root), threads, os.sched_getaffinity(0))
        yield Conditions(affinity=cores)

    def push(self, artifact: Artifact, inputs: Sequence[str] = ()) -> Push:
        """Nothing is sent: the file is here. It is checked to be; its sha256 is verified before every run."""
        begin = time.perf_counter()
        if not Path(artifact.path).exists():
            raise DeviceError(f"{artifact.path} does not exist.", where=artifact.path, next_step="Convert it again.")
        return Push(bytes_sent=0, seconds=time.perf_counter() - begin)

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        """Run the job in a fresh child process; see :func:`edgekit.harness.launch.run_job`."""
        from edgekit.harness.launch import run_job

        if self._native:
            from edgekit.device.native import run_native

            return run_native(job, timeout_s=timeout_s)
        return run_job(job, timeout_s=timeout_s)

    def _text(self, name: str) -> str | None:
        try:
            return (self._root / name).read_text()
        except OSError:
            return None

    def _os_build(self) -> str:
        release = state.parse_os_release(self._text("etc/os-release"))
        kernel = f"{platform.system()} {platform.release()}"
        return f"{release} ({kernel})" if release else kernel

"""Jobs by the native runner on this machine: the program that measures on phones and Linux boards."""

from __future__ import annotations

import platform
import sys

from edgekit.device.runner_files import Abi, find_bundle
from edgekit.errors import DeviceError
from edgekit.harness.launch import run_job
from edgekit.job import Job, JobResult

_ABI_OF_MACHINE: dict[str, Abi] = {"x86_64": "x86_64", "aarch64": "arm64-v8a"}


def host_abi() -> Abi:
    """The ABI of this machine's runner.

    Raises:
        DeviceError: the native runner does not run on this system.
    """
    abi = _ABI_OF_MACHINE.get(platform.machine())
    if sys.platform != "linux" or abi is None:
        raise DeviceError(
            f"The native runner runs on Linux on x86-64 and arm64, not on {sys.platform} {platform.machine()}.",
            where="host",
            next_step="Leave out --engine native.",
        )
    return abi


def run_native(job: Job, *, timeout_s: float | None = None) -> JobResult:
    """Run one job in a fresh process of the native runner; it ends with this process.

    Raises:
        DeviceError: the runner is not built, or not the one that was built.
        EdgekitError: see :func:`edgekit.harness.launch.run_job`.
    """
    return run_job(job, timeout_s=timeout_s, program=(*find_bundle(host_abi()).start(), "--die-with-parent"))

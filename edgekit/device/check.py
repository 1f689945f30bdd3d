"""Parity on the device: the golden inputs run there, on every deploy, before anything is measured."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert import parity
from edgekit.device.device import Device
from edgekit.errors import ParityError
from edgekit.job import ENGINE_OF_FORMAT, Job
from edgekit.records import Artifact, DeviceParity, Golden
from edgekit.version import __version__

_TIMEOUT_S = 600.0


def check_exact(
    artifact: Artifact, inputs: Sequence[str], expected: Sequence[str], device: Device, threads: int = 1
) -> DeviceParity:
    """Run the inputs on the device and compare with the expected outputs, bit by bit.

    Raises:
        ParityError: they differ; the message says where and by how much.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-") as directory:
        actual = _outputs(artifact, tuple(inputs), device, directory, threads)
    for number, (ours, path) in enumerate(zip(actual, expected, strict=True)):
        theirs = np.load(path)
        if not np.array_equal(ours, theirs):
            off = np.abs(ours.astype(np.float64) - theirs)
            raise ParityError(
                f"Output {number} on this device is not LiteRT's: {int((off > 0).sum())} of {off.size} values differ, "
                f"by at most {off.max():g}.",
                where=f"{artifact.model} {artifact.format} {artifact.precision}",
                next_step="The same file is bit-equal on the host: suspect the kernels or the memory of the device.",
                max_abs=float(off.max()),
            )
    return DeviceParity(passed=True, bit_equal=True, max_abs=0.0)


def check(
    artifact: Artifact, golden: Golden, device: Device, *, host_outputs: Sequence[Path], threads: int
) -> DeviceParity:
    """Run the golden inputs on the device and compare with PyTorch's outputs, and bit by bit with the host's run.

    Raises:
        ParityError: the device computes something else; the message says by how much.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-") as directory:
        actual = _outputs(artifact, golden.inputs, device, directory, threads)
    judged = parity.compare(actual, [np.load(path) for path in golden.outputs], artifact.precision, golden.sha256)
    if judged.passed is False:
        raise ParityError(
            f"{artifact.format} computes something else on this device than PyTorch: {judged.reason}.",
            where=f"{artifact.model} {artifact.format} {artifact.precision}",
            next_step="The same file passed on the host: suspect the runtime or its kernels on the device.",
            max_abs=judged.max_abs,
        )
    bit_equal = None
    if host_outputs:
        bit_equal = all(np.array_equal(np.load(p), a) for p, a in zip(host_outputs, actual, strict=True))
    return DeviceParity(passed=judged.passed, bit_equal=bit_equal, max_abs=judged.max_abs)


def _outputs(
    artifact: Artifact, inputs: tuple[str, ...], device: Device, directory: str, threads: int
) -> list[npt.NDArray[Any]]:
    job = Job(
        harness_version=__version__,
        mode="outputs",
        engine=ENGINE_OF_FORMAT[artifact.format],
        artifact=artifact.path,
        artifact_sha256=artifact.sha256,
        inputs=inputs,
        outputs_dir=directory,
        threads=threads,
    )
    return [np.load(path) for path in device.run(job, timeout_s=_TIMEOUT_S).outputs]

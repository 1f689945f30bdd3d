"""Parity on the device: the golden inputs run there, on every deploy, before anything is measured."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.convert import parity
from edgekit.device.device import Device
from edgekit.errors import ParityError
from edgekit.job import ENGINE_OF_FORMAT, Job
from edgekit.records import Artifact, DeviceParity, Golden
from edgekit.version import __version__

_TIMEOUT_S = 600.0


def check(
    artifact: Artifact, golden: Golden, device: Device, *, host_outputs: Sequence[Path], threads: int
) -> DeviceParity:
    """Run the golden inputs on the device and compare with PyTorch's outputs, and bit by bit with the host's run.

    Raises:
        ParityError: the device computes something else; the message says by how much.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-") as directory:
        job = Job(
            harness_version=__version__,
            mode="outputs",
            engine=ENGINE_OF_FORMAT[artifact.format],
            artifact=artifact.path,
            artifact_sha256=artifact.sha256,
            inputs=golden.inputs,
            outputs_dir=directory,
            threads=threads,
        )
        actual = [np.load(path) for path in device.run(job, timeout_s=_TIMEOUT_S).outputs]
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

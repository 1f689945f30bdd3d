"""A converted file that was made elsewhere: its record, its inputs, and something to run it on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.convert.cache import Cache, key_of
from edgekit.device.device import Device
from edgekit.errors import UsageError
from edgekit.export.inputs import golden_inputs
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.job import ENGINE_OF_FORMAT, Job
from edgekit.model.request import ARTIFACT_FORMATS
from edgekit.records import Artifact, Parity, TensorSpec
from edgekit.version import __version__

_TIMEOUT_S = 300.0


def artifact_at(path: Path) -> Artifact:
    """The record of a converted file that was made elsewhere; its source, precision and parity are not known.

    Raises:
        UsageError: there is nothing, or its name does not end as one of the formats does.
    """
    kind = ARTIFACT_FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(
            f"{path} is not a converted file.", where=str(path),
            next_step=f"Give a file that ends with {', '.join(ARTIFACT_FORMATS)}, or a model spec.",
        )  # fmt: skip
    precision = "int8" if kind == "mcu" else "unknown"
    return Artifact(
        sha256=sha256_of(path), bytes=bytes_of(path), format=kind, precision=precision, path=str(path), model=path.stem,
        exported_sha256=None, parity=Parity(passed=None, reason="the file was made elsewhere"),
    )  # fmt: skip


def file_inputs(path: Path, format_name: str, device: Device) -> tuple[TensorSpec, ...]:
    """The inputs that the file itself states, read by its runtime in a process of its own.

    Raises:
        RuntimeCrashError: the runtime refuses the file.
        UsageError: an input has no fixed shape.
    """
    job = Job(
        harness_version=__version__,
        mode="describe",
        engine=ENGINE_OF_FORMAT[format_name],
        artifact=str(path),
        artifact_sha256=sha256_of(path),
        inputs=(),
    )
    return device.run(job, timeout_s=_TIMEOUT_S).inputs


def describe_file(path: Path, format_name: str, device: Device, cache: Cache) -> tuple[Artifact, tuple[str, ...]]:
    """The file's record and generated inputs for it: one stack of one sample per input, kept in the cache."""
    artifact = artifact_at(path)

    def fill(folder: Path) -> None:
        specs = file_inputs(path, format_name, device)
        stacks, _source = golden_inputs(specs, directory=None, preprocess=None, count=1, seed=0)
        for index, stack in enumerate(stacks):
            np.save(folder / f"input_{index}.npy", stack, allow_pickle=False)

    folder = cache.ensure("inputs", key_of("inputs", __version__, artifact.sha256), fill)
    count = len(list(folder.glob("input_*.npy")))
    return artifact, tuple(str(folder / f"input_{index}.npy") for index in range(count))

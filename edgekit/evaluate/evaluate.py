"""Accuracy of a converted file, run by its real runtime, and of the PyTorch model that it came from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.device.device import Device
from edgekit.device.foreign import artifact_at
from edgekit.device.host import SPEC as HOST
from edgekit.device.host import HostDevice
from edgekit.errors import RuntimeCrashError, UsageError
from edgekit.evaluate import eager
from edgekit.evaluate.data import Dataset
from edgekit.evaluate.metrics import Metric, metric
from edgekit.job import ENGINE_OF_FORMAT, Job
from edgekit.model.request import LoadRequest, name_of
from edgekit.records import Artifact, Evaluation, Record
from edgekit.version import __version__

NO_COREML = "Core ML runs only on Apple systems"


def evaluate(
    artifact: Artifact | Path,
    dataset: Dataset,
    metrics: str | Sequence[str] = "top1",
    *,
    device: Device | None = None,
    threads: int = 1,
    timeout_s: float | None = None,
) -> tuple[Evaluation, ...]:
    """Runs the file on every sample, and scores its outputs; one record per metric.

    Args:
        device: where it runs, in a process of its own; this machine if None. A file that the device has no runtime
            for, as Core ML's, gets records without a value.
        timeout_s: bounds the whole run, in seconds.

    Raises:
        UsageError: the data or a metric does not fit the model.
        RuntimeCrashError: the runtime crashed or refused the file.
        DeadlineError: it took longer than ``timeout_s``.
    """
    if isinstance(artifact, Path):
        artifact = artifact_at(artifact)
    chosen = _metrics(metrics)
    device = device or HostDevice()
    info = device.info()
    subject = _Subject(
        artifact_sha256=artifact.sha256, model=artifact.model, format=artifact.format, precision=artifact.precision,
        device=info.spec,
    )  # fmt: skip
    if artifact.format == "coreml":
        return tuple(_record(subject, dataset, one, reason=NO_COREML) for one in chosen)
    if artifact.format not in ENGINE_OF_FORMAT:
        raise UsageError(
            f"There is no runtime here for the format '{artifact.format}'.", where=artifact.path,
            next_step=f"Formats that can be run: {', '.join(ENGINE_OF_FORMAT)}.",
        )  # fmt: skip
    if ENGINE_OF_FORMAT[artifact.format] not in info.engines and info.spec != HOST:
        reason = f"{info.spec} has no runtime for {artifact.format} files"
        return tuple(_record(subject, dataset, one, reason=reason) for one in chosen)
    with answers(artifact, dataset, device, threads=threads, timeout_s=timeout_s) as (outputs, version):
        return tuple(_score(subject, dataset, one, outputs, version) for one in chosen)


@contextmanager
def answers(
    artifact: Artifact, dataset: Dataset, device: Device, *, threads: int = 1, timeout_s: float | None = None
) -> Iterator[tuple[list[npt.NDArray[Any]], str]]:
    """The file's outputs for every sample (one array per output, samples first) and the runtime's version.

    The arrays are on the disk, and only there within the block.

    Raises:
        RuntimeCrashError: the runtime crashed, refused the file, or did not answer every sample.
        DeadlineError: it took longer than ``timeout_s``.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-evaluate-") as folder:
        job = Job(
            harness_version=__version__, mode="outputs", engine=ENGINE_OF_FORMAT[artifact.format],
            artifact=artifact.path, artifact_sha256=artifact.sha256, inputs=dataset.inputs, outputs_dir=folder,
            threads=threads,
        )  # fmt: skip
        result = device.run(job, timeout_s=timeout_s)
        yield _outputs(result.outputs, dataset, artifact.path), result.runtime_version


def evaluate_model(
    request: LoadRequest,
    dataset: Dataset,
    metrics: str | Sequence[str] = "top1",
    *,
    threads: int | None = None,
    timeout_s: float | None = None,
) -> tuple[Evaluation, ...]:
    """The same for the PyTorch model, eager, float32, in a process of its own; this process does not import torch.

    Raises:
        ModelError: the model can't be loaded or fails on a sample.
        UsageError: the data or a metric does not fit the model.
        DeadlineError: it took longer than ``timeout_s``.
    """
    chosen = _metrics(metrics)
    subject = _Subject(artifact_sha256=None, model=name_of(request.spec), format="pytorch", precision="fp32")
    with tempfile.TemporaryDirectory(prefix="edgekit-evaluate-") as folder:
        job = eager.EagerJob(request=request, inputs=dataset.inputs, outputs_dir=folder, threads=threads)
        answer = eager.run(job, timeout_s=timeout_s)
        outputs = _outputs(answer.outputs, dataset, request.spec)
        return tuple(_score(subject, dataset, one, outputs, answer.torch_version) for one in chosen)


class _Subject(Record, frozen=True, kw_only=True):
    """What was evaluated."""

    artifact_sha256: str | None
    model: str
    format: str
    precision: str
    device: str = HOST


def _metrics(names: str | Sequence[str]) -> list[Metric]:
    # Resolved before anything runs: a wrong name should not cost an evaluation.
    found = [metric(name) for name in ([names] if isinstance(names, str) else names)]
    if not found:
        raise UsageError("No metric was given.", where="--metric", next_step="Use top1, top5 or a function.")
    return found


def _outputs(paths: Sequence[str], dataset: Dataset, where: str) -> list[npt.NDArray[Any]]:
    found = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
    if not found or any(len(stack) != dataset.count for stack in found):
        raise RuntimeCrashError(
            f"The runtime answered {', '.join(str(stack.shape) for stack in found) or 'no outputs'} for "
            f"{dataset.count} samples.",
            where=where, next_step="Convert the model again with this edgekit.",
        )  # fmt: skip
    return found


def _score(
    subject: _Subject, dataset: Dataset, one: Metric, outputs: Sequence[npt.NDArray[Any]], version: str
) -> Evaluation:
    score = one.compute(outputs, dataset.labels)
    return _record(
        subject, dataset, one, value=score.value, ci95=score.ci95, samples=score.samples, runtime_version=version
    )


def _record(
    subject: _Subject,
    dataset: Dataset,
    one: Metric,
    *,
    value: float | None = None,
    ci95: tuple[float, float] | None = None,
    samples: int = 0,
    reason: str | None = None,
    runtime_version: str = "",
) -> Evaluation:
    return Evaluation(
        artifact_sha256=subject.artifact_sha256, model=subject.model, format=subject.format,
        precision=subject.precision, device=subject.device, dataset=dataset.name,
        dataset_sha256=dataset.sha256, metric=one.name, value=value, ci95=ci95, samples=samples, reason=reason,
        runtime_version=runtime_version,
        created=datetime.now(timezone.utc).isoformat(),
    )  # fmt: skip

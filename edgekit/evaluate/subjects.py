"""Several files and models scored on one data set, in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit.device.device import Device
from edgekit.device.foreign import artifact_at, file_inputs
from edgekit.errors import EdgekitError
from edgekit.evaluate.data import Dataset, load_dataset
from edgekit.evaluate.evaluate import evaluate, evaluate_model
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.model.request import LoadRequest, parse_spec
from edgekit.records import Artifact, Evaluation, Preprocess, TensorSpec


@dataclass(frozen=True)
class EvaluateRequest:
    """Which files and models to score on which data; ``mean`` and ``std`` are for folders of images."""

    subjects: tuple[LoadRequest, ...]
    data: str
    metrics: tuple[str, ...]
    limit: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_fraction: float = 0.875
    threads: int = 1


@dataclass(frozen=True)
class Scored:
    """One score of one subject; ``artifact`` is null for a PyTorch model."""

    spec: str
    artifact: Artifact | None
    evaluation: Evaluation


def evaluate_all(
    request: EvaluateRequest, device: Device, say: Callable[[str], None]
) -> tuple[list[Scored], dict[str, EdgekitError]]:
    """Score every subject on the same prepared data: files by their runtime, models by PyTorch.

    A subject that fails is in the second result, by its spec, and does not stop the others.

    Raises:
        UsageError: the data can't be read or does not fit.
    """
    specs = _common_inputs(request, device)
    made: list[Scored] = []
    errors: dict[str, EdgekitError] = {}
    with load_dataset(request.data, specs, _preprocess(request, specs), limit=request.limit) as dataset:
        for subject in request.subjects:
            say(f"{Path(subject.spec).name}: {dataset.count} samples")
            try:
                made += _evaluate_one(subject, dataset, request, device)
            except EdgekitError as error:
                errors[subject.spec] = error
    return made, errors


def _evaluate_one(subject: LoadRequest, dataset: Dataset, request: EvaluateRequest, device: Device) -> list[Scored]:
    spec = parse_spec(subject.spec)
    if spec.kind != "artifact" or spec.path is None:
        scores = evaluate_model(subject, dataset, request.metrics, threads=request.threads)
        return [Scored(subject.spec, None, score) for score in scores]
    artifact = artifact_at(Path(spec.path))
    scores = evaluate(artifact, dataset, request.metrics, device=device, threads=request.threads)
    return [Scored(subject.spec, artifact, score) for score in scores]


def _common_inputs(request: EvaluateRequest, device: Device) -> tuple[TensorSpec, ...] | None:
    """The inputs that the first runnable file states; the runtimes refuse data that does not fit another."""
    for subject in request.subjects:
        spec = parse_spec(subject.spec)
        if spec.kind == "artifact" and spec.format in ENGINE_OF_FORMAT and spec.path is not None:
            return file_inputs(Path(spec.path), spec.format, device)
        if subject.input_spec is not None:
            return subject.input_spec
    return None


def _preprocess(request: EvaluateRequest, specs: tuple[TensorSpec, ...] | None) -> Preprocess | None:
    if specs is None or len(specs) != 1 or len(specs[0].shape) != 4:
        return None
    height, width = specs[0].shape[-2:]
    made = Preprocess(height=height, width=width, crop_fraction=request.crop_fraction, source="command line")
    channels = specs[0].shape[1]
    mean = request.mean or (made.mean if channels == 3 else (0.5,) * channels)
    std = request.std or (made.std if channels == 3 else (0.5,) * channels)
    return msgspec.structs.replace(made, mean=mean, std=std)

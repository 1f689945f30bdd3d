"""Is the candidate less accurate? Both files run on the same samples now, and the answers are compared in pairs.

For top-k the pairs decide: of the samples that only one of the two gets right, how many the candidate loses
(Q. McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12, 1947, in its
exact form). Other metrics are compared as values: the same samples went through both, and nothing there is random.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgekit.device.device import Device
from edgekit.evaluate.data import Dataset, load_dataset
from edgekit.evaluate.evaluate import answers
from edgekit.evaluate.metrics import Score, metric
from edgekit.gate.budget import ModelBudget
from edgekit.gate.candidate import Prepared
from edgekit.records import Artifact, Preprocess

Hits = NDArray[np.bool_]
DEFAULT_TOLERANCE = 0.005
_SIGNIFICANT = 0.025
_Z = 1.959964


@dataclass(frozen=True)
class Answers:
    """One file's scores by metric, and which samples it got right by top-k metric."""

    scores: dict[str, Score]
    hits: dict[str, Hits]
    runtime_version: str


@dataclass(frozen=True)
class Drop:
    """How much less accurate the candidate is, in the metric's unit; ``interval`` and ``chance`` for top-k only.

    ``chance`` is McNemar's one-sided probability of so many losses if both files were equally good.
    """

    value: float
    interval: tuple[float, float] | None = None
    chance: float | None = None

    def certain(self) -> bool:
        """Whether it is more than the luck of the samples."""
        return self.chance is None or self.chance <= _SIGNIFICANT


def is_top(name: str) -> bool:
    """Whether a metric counts right answers."""
    return re.fullmatch(r"top-?\d+", name.lower()) is not None


def default_tolerance(name: str) -> float | None:
    """Half a percentage point for top-k; other metrics are shown and not judged unless the budget has a bound."""
    return DEFAULT_TOLERANCE if is_top(name) else None


def open_data(model: ModelBudget, prepared: Prepared) -> Dataset:
    """The model's data, prepared for its inputs.

    Raises:
        UsageError: it can't be read or does not fit.
    """
    assert model.data is not None
    return load_dataset(model.data, prepared.inputs, _preprocess(model, prepared), limit=model.samples)


def _preprocess(model: ModelBudget, prepared: Prepared) -> Preprocess | None:
    """The model's own preprocessing where that is known, else ImageNet's, with what the budget says otherwise."""
    specs, exported = prepared.inputs, prepared.subject.exported
    made = exported.preprocess if exported else None
    if made is None:
        if len(specs) != 1 or len(specs[0].shape) != 4:
            return None
        channels, height, width = specs[0].shape[-3:]
        made = Preprocess(height=height, width=width)
        if channels != 3:
            made = msgspec.structs.replace(made, mean=(0.5,) * channels, std=(0.5,) * channels)
    given = {"mean": model.mean, "std": model.std, "crop_fraction": model.crop_fraction}
    return msgspec.structs.replace(made, **{key: value for key, value in given.items() if value is not None})


def answer(artifact: Artifact, dataset: Dataset, names: tuple[str, ...], device: Device, threads: int) -> Answers:
    """Run a file on every sample and score it.

    Raises:
        UsageError: a metric does not fit the model.
        RuntimeCrashError: the runtime refused the file or a sample.
    """
    metrics = [metric(name) for name in names]
    with answers(artifact, dataset, device, threads=threads) as (outputs, version):
        scores, hits = {}, {}
        for name, one in zip(names, metrics, strict=True):
            scores[name] = one.compute(outputs, dataset.labels)
            if is_top(name):
                single = [one.compute([outputs[0][k : k + 1]], dataset.labels[k : k + 1]) for k in range(dataset.count)]
                hits[name] = np.array([score.value == 1.0 for score in single])
        return Answers(scores, hits, version)


def drop(baseline: Answers, now: Answers, name: str) -> Drop:
    """How much is lost in one metric, of which more is better."""
    value = baseline.scores[name].value - now.scores[name].value
    if name not in baseline.hits:
        return Drop(value)
    lost = int((baseline.hits[name] & ~now.hits[name]).sum())
    won = int((now.hits[name] & ~baseline.hits[name]).sum())
    return Drop(value, _interval(lost, won, len(now.hits[name])), mcnemar(lost, won))


def mcnemar(lost: int, won: int) -> float:
    """The chance of at least ``lost`` of ``lost + won`` fair coins."""
    coins = lost + won
    logs = [math.lgamma(coins + 1) - math.lgamma(k + 1) - math.lgamma(coins - k + 1) for k in range(lost, coins + 1)]
    return min(1.0, math.fsum(math.exp(value - coins * math.log(2)) for value in logs))


def _interval(lost: int, won: int, count: int) -> tuple[float, float]:
    """The 95% interval of a paired difference of shares, each cell raised by one half.

    A. Agresti and Y. Min, Simple improved confidence intervals for comparing matched proportions, Statistics in
    Medicine 24 (2005).
    """
    b, c, n = lost + 0.5, won + 0.5, count + 2
    middle = (b - c) / n
    half = _Z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return max(-1.0, middle - half), min(1.0, middle + half)

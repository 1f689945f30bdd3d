"""How accurate each converted file is, from one source: stored evaluations, the user's table, or published figures.

A comparison has accuracies of one source only. What a source does not know is left out with its reason, never filled
from another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgekit.errors import UsageError
from edgekit.records import Artifact, Evaluation
from edgekit.selection import Quantity

PYTORCH = "pytorch"
# The validation set that published top-1 figures are of, and how many pictures it has.
IMAGENET_SAMPLES = 50_000
# Only these compute what the PyTorch model does, up to rounding.
_AS_THE_MODEL = ("fp32", "fp16")
_LEAST_SHA256 = 6


@dataclass(frozen=True)
class Accuracy:
    """What is known of one file: figures by metric, and reasons for those that are not known."""

    quantities: dict[str, Quantity] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    otherwise: str = "its accuracy is not known"

    def reason(self, metric: str) -> str:
        """Why the metric is not known."""
        return self.reasons.get(metric, self.otherwise)


class Accuracies(Protocol):
    """One source of accuracies. ``notes`` are sentences that belong to whatever is concluded from it."""

    @property
    def notes(self) -> tuple[str, ...]: ...

    def of(self, artifact: Artifact) -> Accuracy:
        """What is known of this file."""


@dataclass(frozen=True)
class Evaluated:
    """Stored evaluations of one data set.

    ``by_artifact`` has those of converted files, ``by_model`` those of PyTorch models, which may stand in for a file
    that was not evaluated.
    """

    dataset: str
    by_artifact: dict[str, dict[str, Evaluation]]
    by_model: dict[str, dict[str, Evaluation]]
    notes: tuple[str, ...] = ()

    def of(self, artifact: Artifact) -> Accuracy:
        own = self.by_artifact.get(artifact.sha256, {})
        found = Accuracy(otherwise=f"it has not been evaluated on {self.dataset}")
        for metric, evaluation in own.items():
            _take(found, metric, evaluation, f"evaluated on {self.dataset}, {evaluation.samples} samples")
        if artifact.precision in _AS_THE_MODEL and artifact.parity.passed:
            for metric, evaluation in self.by_model.get(artifact.model, {}).items():
                if metric not in own:
                    note = f"that of the PyTorch model on {self.dataset}, {evaluation.samples} samples, not of the file"
                    _take(found, metric, evaluation, note)
        return found


def _take(found: Accuracy, metric: str, evaluation: Evaluation, note: str) -> None:
    if evaluation.value is None:
        found.reasons[metric] = f"its evaluation on {evaluation.dataset} has no value: {evaluation.reason}"
        return
    low, high = evaluation.ci95 or (evaluation.value, evaluation.value)
    if evaluation.ci95 is None:
        note += "; no interval is known"
    subject = evaluation.artifact_sha256 or f"{PYTORCH} {evaluation.model}"
    found.quantities[metric] = Quantity(
        value=evaluation.value, low=low, high=high, source="evaluated", note=note,
        evidence=f"{subject} {metric} {evaluation.dataset_sha256} {evaluation.created}",
    )  # fmt: skip


def from_evaluations(
    evaluations: Iterable[Evaluation],
    metrics: Sequence[str],
    *,
    dataset: str | None = None,
    model_stands_in: bool = False,
) -> Evaluated | None:
    """The newest evaluation of each file on one data set; None where there is none of these metrics.

    Args:
        dataset: the data set's name, or the beginning of its sha256.
        model_stands_in: take the PyTorch model's accuracy for an unquantised file that has none of its own and passed
            parity.

    Raises:
        UsageError: there are several data sets and none is named, or none is called so.
    """
    fitting = [one for one in evaluations if one.metric in metrics and (model_stands_in or one.artifact_sha256)]
    sets = {one.dataset_sha256: one.dataset for one in fitting}
    if dataset is not None:
        begins = dataset if len(dataset) >= _LEAST_SHA256 else "-"
        chosen = {sha for sha, name in sets.items() if dataset == name or sha.startswith(begins)}
        if not chosen:
            raise _no_dataset(dataset, sets)
        sets = {sha: name for sha, name in sets.items() if sha in chosen}
    if not sets:
        return None
    if len(sets) > 1:
        listed = ", ".join(f"{name} ({sha[:12]})" for sha, name in sorted(sets.items(), key=lambda pair: pair[1]))
        raise UsageError(
            f"The candidates were evaluated on {len(sets)} data sets: {listed}.", where="--dataset",
            next_step="Accuracies on different data can't be compared: name one with --dataset, by its name or sha256.",
        )  # fmt: skip
    (sha, name), *_ = sets.items()
    by_artifact: dict[str, dict[str, Evaluation]] = {}
    by_model: dict[str, dict[str, Evaluation]] = {}
    for one in sorted((e for e in fitting if e.dataset_sha256 == sha), key=lambda e: e.created):
        if one.artifact_sha256:
            by_artifact.setdefault(one.artifact_sha256, {})[one.metric] = one
        elif one.format == PYTORCH:
            by_model.setdefault(one.model, {})[one.metric] = one
    said = "Where a file was not evaluated, the PyTorch model's accuracy stands in for it, as asked for."
    return Evaluated(name, by_artifact, by_model, (said,) if by_model else ())


def _no_dataset(dataset: str, sets: dict[str, str]) -> UsageError:
    listed = ", ".join(f"{name} ({sha[:12]})" for sha, name in sorted(sets.items(), key=lambda pair: pair[1]))
    return UsageError(
        f"No candidate was evaluated on the data set {dataset!r}.", where="--dataset",
        next_step=f"There are evaluations on {listed}." if listed else "edgekit evaluate FILE --data DATA makes one.",
    )  # fmt: skip


@dataclass(frozen=True)
class Published:
    """The zoo's published ImageNet top-1 figures, for files that are not quantised.

    The published figure is one draw of a model's accuracy: its interval is Wilson's for the validation set's 50,000
    pictures, which is what another sample of as many would give; how it was preprocessed and run is its source's.
    """

    shares: dict[str, tuple[float, str]]
    interval: Callable[[int, int], tuple[float, float]]

    @property
    def notes(self) -> tuple[str, ...]:
        """That these are not measurements."""
        return (
            "The accuracies are published figures, not measurements: they hold for the published weights and "
            "preprocessing, before conversion.",
        )

    def of(self, artifact: Artifact) -> Accuracy:
        known = self.shares.get(artifact.model)
        if known is None:
            return Accuracy(otherwise=f"the zoo has no published top1 of {artifact.model}")
        if artifact.precision not in _AS_THE_MODEL:
            return Accuracy(otherwise=f"the published top1 is the float model's, not one of {artifact.precision}")
        share, source = known
        low, high = self.interval(round(share * IMAGENET_SAMPLES), IMAGENET_SAMPLES)
        quantity = Quantity(
            value=share, low=low, high=high, source="published", note=f"published: {source}",
            evidence=f"published {artifact.model}",
        )  # fmt: skip
        return Accuracy({"top1": quantity}, otherwise="only top1 is published")


def published() -> Published:
    """The figures of the zoo's catalogue."""
    from edgekit.evaluate.metrics import wilson
    from edgekit.model.zoo import catalog

    shares = {e.name: (e.top1 / 100, e.top1_source or "") for e in catalog.entries() if e.top1 is not None}
    return Published(shares, wilson)

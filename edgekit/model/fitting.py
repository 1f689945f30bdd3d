"""Which architecture a state dict belongs to, told by the names and shapes of its tensors alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgekit.errors import EdgekitError
from edgekit.model import zoo
from edgekit.model.request import ModelSpec

if TYPE_CHECKING:
    from edgekit.model.zoo import Entry

Shapes = Mapping[str, tuple[int, ...]]

# What looking for a better fitting model may cost; each candidate is built without memory for its weights.
SEARCH_SECONDS = 5.0
_MOST_BUILT = 12
# Statistics of batch norms are in a state dict, but are no parameters.
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
# Says nothing of the architecture, and older checkpoints lack it.
_COUNTER = "num_batches_tracked"
_SAME_SIZE = 0.05


@dataclass(frozen=True)
class Fit:
    """A state dict beside a model: ``same`` tensors of ``total`` have the model's name and shape."""

    same: int
    total: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def complete(self) -> bool:
        """Whether the state dict fills the model exactly."""
        return not (self.missing or self.unexpected or self.mismatched)

    def classes(self) -> tuple[int, int] | None:
        """(classes of the file, classes of the model) if nothing but a classifier's number of classes differs."""
        if self.missing or self.unexpected or not 1 <= len(self.mismatched) <= 4:
            return None
        pairs = {(theirs[0], ours[0]) for _, theirs, ours in self.mismatched if theirs and ours}
        same_rest = all(theirs[1:] == ours[1:] for _, theirs, ours in self.mismatched)
        return pairs.pop() if len(pairs) == 1 and same_rest else None


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> Shapes:
    """Names and shapes; what is no tensor is left out."""
    return {key: tuple(value.shape) for key, value in tensors.items() if isinstance(value, torch.Tensor)}


def compare(file: Shapes, own: Shapes) -> Fit:
    """How the tensors of a file fit a model's."""
    shared = [key for key in own if key in file]
    mismatched = tuple((key, file[key], own[key]) for key in shared if file[key] != own[key])
    counted = [key for key in own if not key.endswith(_COUNTER)]
    return Fit(
        same=sum(file.get(key) == own[key] for key in counted),
        total=len(counted),
        missing=tuple(key for key in counted if key not in file),
        unexpected=tuple(key for key in file if key not in own),
        mismatched=mismatched,
    )


def better(spec: ModelSpec, file: Shapes) -> list[str]:
    """Models of the zoo or of timm, other than ``spec``, that the file fills but for a number of classes.

    Looked for among those of the same family and those of the same size, within SEARCH_SECONDS.
    """
    deadline = time.monotonic() + SEARCH_SECONDS
    found = []
    for name, module in _candidates(spec, file, deadline):
        fit = compare(file, shapes_of(module.state_dict()))
        classes = fit.classes()
        if fit.complete:
            found.append(name)
        elif classes is not None:
            found.append(f"{name}?num_classes={classes[0]}")
    return found[:3]


def _candidates(spec: ModelSpec, file: Shapes, deadline: float) -> Iterator[tuple[str, torch.nn.Module]]:
    for name in _names(spec, file)[:_MOST_BUILT]:
        if time.monotonic() > deadline:
            return
        try:
            with torch.device("meta"):
                yield name, _build(name)
        except (EdgekitError, RuntimeError, NotImplementedError):  # not every model can be built without memory
            continue


def _build(name: str) -> torch.nn.Module:
    from edgekit.model import timm_source
    from edgekit.model.zoo import source

    kind, _, rest = name.partition(":")
    if kind == "zoo":
        return source.build(zoo.find(rest), {})
    return timm_source.build(ModelSpec(kind="timm", text=name, name=rest), 0)


def _names(spec: ModelSpec, file: Shapes) -> list[str]:
    """Candidates, the likeliest first: same family and size, same size, same family, then timm's nearest names."""
    parameters = sum(_numel(shape) for key, shape in file.items() if not key.endswith(_STATISTICS))
    asked = (spec.name or "").partition("?")[0]
    known = {entry.name: entry for entry in zoo.available()}
    family = known[asked].family if asked in known else None

    def distance(entry: Entry) -> float:
        return abs((entry.params or 0) - parameters) / max(parameters, 1)

    near = [e for e in known.values() if e.name != asked and (distance(e) < _SAME_SIZE or e.family == family)]
    near.sort(key=lambda e: (distance(e) >= _SAME_SIZE, e.family != family, distance(e)))
    names = [f"zoo:{entry.name}" for entry in near[: _MOST_BUILT // 2 if spec.kind == "timm" else _MOST_BUILT]]
    if spec.kind == "timm":
        from edgekit.model import timm_source

        names += [f"timm:{name}" for name in timm_source.nearest(asked) if name != asked]
    return names


def _numel(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count

"""Which of a model's weights a converted file holds otherwise than the model does.

A file keeps weights under names and in layouts of its own, so they are recognised by their values: a parameter is in
the file if a constant of the same size holds the same values in some arrangement of the axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.export.graph_signature import InputKind

from edgekit.convert.arrange import Arrangement, Extent, agreeing, closest, extent

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Array = npt.NDArray[Any]

# Relative to a tensor's largest value: what another way of folding a batch norm changes, and what float16 rounds away.
_EQUAL, _EQUAL_HALF = 1e-5, 2e-3
# A constant that shares fewer of its values with a parameter is not that parameter.
_SAME_SHARE = 0.5
_MOST_COMPARED = 16


@dataclass(frozen=True)
class Changed:
    """A parameter whose constant in the file has ``count`` other values; ``value`` is the file's, laid out as ours."""

    parameter: str
    node: str
    constant: str
    count: int
    largest: float
    value: Array

    def sentence(self) -> str:
        """What differs, in words."""
        return (
            f"the file's constant '{self.constant}' differs from the model's {self.parameter} in {self.count} of "
            f"{self.value.size} values, by up to {self.largest:.3g}"
        )


@dataclass(frozen=True)
class Weights:
    """Of ``total`` parameters, ``present`` are in the file as they are; ``changed`` in the order of their first use."""

    total: int
    present: int
    changed: tuple[Changed, ...]

    def sentence(self) -> str | None:
        """What differs, in words; null if nothing is known to."""
        if self.total >= 4 and self.present < self.total / 2:
            return (
                f"only {self.present} of the model's {self.total} weight tensors are in the file: it was made from "
                "other weights, or stores them in another form"
            )
        if not self.changed:
            return None
        more = len(self.changed) - 1
        return self.changed[0].sentence() + (f"; {more} more constants differ" if more else "")


@dataclass(frozen=True)
class _Tensor:
    name: str
    value: Array
    extent: Extent
    tolerance: float


def compare(program: ExportedProgram, constants: Iterable[tuple[str, Array]]) -> Weights:
    """Compare the weights of a program with a file's constants (floating-point numbers only)."""
    kept = [_tensor(name, value) for name, value in constants]
    users = dict(_parameters(program))
    tensors = {**program.state_dict, **program.constants}
    ours = [_tensor(name, tensors[name].detach().numpy()) for name in users]
    ours = [tensor for tensor in ours if tensor.extent.low < tensor.extent.high]  # a constant tensor identifies nothing
    used: set[int] = set()
    missing = []
    for tensor in ours:
        places = [index for index, other in enumerate(kept) if _equal(tensor, other)]
        used.update(places)
        if not places:
            missing.append(tensor)
    rest = [other for index, other in enumerate(kept) if index not in used]
    found: list[Changed | None] = []
    # With most weights missing, the file is of other weights: pairing them up would say nothing.
    if len(missing) <= _MOST_COMPARED:
        found = [_changed(tensor, users[tensor.name], rest) for tensor in missing]
    changed = tuple(entry for entry in found if entry is not None)
    return Weights(len(ours), len(ours) - len(missing), changed)


def _tensor(name: str, value: Array) -> _Tensor:
    tolerance = _EQUAL_HALF if value.dtype == np.float16 else _EQUAL
    single = value.astype(np.float32, copy=False)
    return _Tensor(name, single, extent(single), tolerance)


def _parameters(program: ExportedProgram) -> Iterator[tuple[str, str]]:
    """The names of the floating-point weights and of the first node that uses each, in the order of that."""
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    place = {node: index for index, node in enumerate(program.graph.nodes)}
    found = []
    for node, spec in zip(placeholders, program.graph_signature.input_specs, strict=True):
        value = node.meta.get("val")
        weight = spec.kind is not InputKind.USER_INPUT and isinstance(value, torch.Tensor) and spec.target is not None
        if weight and value.dtype.is_floating_point and value.numel() and node.users:
            first = min(node.users, key=lambda user: place[user])
            found.append((place[first], str(spec.target), first.name))
    yield from ((name, user) for _, name, user in sorted(found))


def _equal(ours: _Tensor, theirs: _Tensor) -> bool:
    bound = theirs.tolerance * ours.extent.peak
    if not ours.extent.near(theirs.extent, bound):
        return False
    if agreeing(ours.value, theirs.value, bound) is not None:
        return True
    # Some layouts are no mere order of axes (a transposed convolution's groups): then equal values have to do.
    return bool(np.all(np.abs(np.sort(ours.value, axis=None) - np.sort(theirs.value, axis=None)) <= bound))


def _changed(ours: _Tensor, node: str, rest: Sequence[_Tensor]) -> Changed | None:
    """The constant that is this parameter but for some of its values."""
    best: tuple[Arrangement, float, _Tensor] | None = None
    for other in rest:
        if other.extent.size == ours.extent.size:
            found, share = closest(ours.value, other.value, other.tolerance * ours.extent.peak)
            if share >= _SAME_SHARE and (best is None or share > best[1]):
                best = (found, share, other)
    if best is None:
        return None
    found, _, other = best
    with np.errstate(all="ignore"):
        difference = np.abs(found.ours - found.theirs)
        other_values = int(np.sum(~(difference <= other.tolerance * ours.extent.peak)))
    return Changed(ours.name, node, other.name, other_values, float(difference.max()), found.restored())

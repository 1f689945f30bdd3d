"""The first tensor of PyTorch's that a converted file does not compute, from the values inside the file itself.

Method: the file is run operator by operator on the golden input with the largest error, and each of its values is
looked for among PyTorch's intermediate tensors, by size and values in any arrangement of the axes; names are not
needed, and neither is a second conversion. A tensor of PyTorch's is right if a value of the file agrees with it, or if
a right one depends on it: converters fuse operators, so that not every tensor exists in the file. The first one that is
not right, in execution order, is where the file leaves the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from edgekit.convert import divergence, eager, parity
from edgekit.convert.arrange import Extent, agreeing, closest, extent
from edgekit.convert.files.trace import trace
from edgekit.records import Divergence, Tolerance

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.export.provenance import NodeOrigin

Array = npt.NDArray[Any]

# PyTorch's tensors that are held at once; of a larger model they are thinned out, and searched again in between.
MAX_REFERENCE_BYTES = 1 << 30
# How far behind the first wrong tensor to look for the one that the file shows (convolution, batch norm, activation).
_FUSED = 4
_CANDIDATES = 6
# A value is a tensor that went wrong if this share of it is right, or if it still points the same way.
_ALIKE_SHARE, _ALIKE_COSINE = 0.25, 0.9


@dataclass(frozen=True)
class Case:
    """A file that failed parity: the program as its backend got it, and the sample with the largest error."""

    program: ExportedProgram
    origins: Mapping[str, NodeOrigin]
    format_name: str
    path: Path
    sample: Sequence[Array]
    tolerance: Tolerance


@dataclass(frozen=True)
class _Seen:
    """One value of the file: what it agrees with among PyTorch's tensors."""

    name: str
    size: int
    agrees: tuple[str, ...]


@dataclass(frozen=True)
class _Pair:
    """A tensor of PyTorch's beside a value of the file; ``share`` of the values are equal within the tolerance."""

    name: str
    index: int
    share: float
    figures: dict[str, Any]


@dataclass
class _Matcher:
    """Looks for the file's values among some of PyTorch's tensors."""

    reference: Mapping[str, Array]
    tolerance: Tolerance
    extents: dict[str, Extent] = field(default_factory=dict)
    seen: list[_Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = {name: extent(value) for name, value in self.reference.items() if value.size}
        # A tensor of one number throughout agrees with any other such tensor: that says nothing.
        self.extents = {name: found for name, found in known.items() if found.low < found.high}

    def see(self, name: str, _op: str, value: Array) -> None:
        single = value.astype(np.float32, copy=False)
        own = extent(single)
        agrees = tuple(key for key, wanted in self.extents.items() if self._agrees(single, own, key, wanted))
        self.seen.append(_Seen(name, value.size, agrees))

    def _agrees(self, value: Array, own: Extent, key: str, wanted: Extent) -> bool:
        bound = self.tolerance.max_abs * wanted.peak
        if not wanted.near(own, bound):
            return False
        found = agreeing(self.reference[key], value, bound)
        if found is None:
            return False
        figures = parity.figures(found.theirs[None], found.ours[None], self.tolerance)
        return parity.within(figures, self.tolerance)


def locate(case: Case) -> Divergence | None:
    """The first tensor that the file does not compute, or null if it computes all of them.

    Raises:
        RuntimeCrashError: the file can't be run operator by operator.
    """
    program = case.program
    sizes = eager.sizes(program)
    window, known = eager.comparable(program), None
    while window:
        picked = _thinned(window, sizes)
        matcher = _Matcher(eager.values(program, picked, case.sample), case.tolerance)
        trace(case.format_name, case.path, case.sample, matcher.see)
        right = eager.with_ancestors(program, (name for seen in matcher.seen for name in seen.agrees))
        wrong = next((name for name in picked if name not in right), None)
        if wrong is None:
            break
        known = (wrong, matcher.seen)
        # Between the last tensor that is right and this one there may be others that were thinned out.
        index = picked.index(wrong)
        window = window[window.index(picked[index - 1]) + 1 if index else 0 : window.index(wrong)]
    return None if known is None else _described(case, *known)


def _thinned(names: Sequence[str], sizes: Mapping[str, int]) -> list[str]:
    """All names, or evenly spaced ones whose tensors fit into memory together."""
    step = max(1, -(-sum(sizes[name] for name in names) // MAX_REFERENCE_BYTES))
    picked = list(names[::step])
    return picked if picked[-1] == names[-1] else [*picked, names[-1]]


def _described(case: Case, wrong: str, seen: Sequence[_Seen]) -> Divergence:
    """The divergence with its figures: those of the first value in the file that is this tensor or one behind it."""
    possible = _successors(case.program, wrong)
    reference = eager.values(case.program, possible, case.sample)
    kept = _values_at(case, _candidates(case.program, wrong, seen, {value.size for value in reference.values()}))
    pairs = [
        _compared(case, name, reference[name], index, kept[index])
        for index in sorted(kept)
        for name in possible
        if reference[name].size == kept[index].size
    ]
    # Decomposed operators have values of the right size that are no tensor of PyTorch's.
    clear = [pair for pair in pairs if pair.share >= _ALIKE_SHARE or pair.figures["cosine"] >= _ALIKE_COSINE]
    first = min((pair.index for pair in clear), default=None)
    pairs = pairs if first is None else [pair for pair in clear if pair.index == first]
    best = max(pairs, key=lambda pair: (pair.share, np.nan_to_num(pair.figures["cosine"])), default=None)
    made = divergence.describe(wrong, case.origins, best.figures if best else {})
    if best is None:
        return made
    return msgspec.structs.replace(
        made, file_value=seen[best.index].name, figures_of=None if best.name == wrong else best.name
    )


def _compared(case: Case, name: str, wanted: Array, index: int, value: Array) -> _Pair:
    found, share = closest(wanted, value, case.tolerance.max_abs * float(np.abs(wanted).max()))
    return _Pair(name, index, share, parity.figures(found.theirs[None], found.ours[None], case.tolerance))


def _candidates(program: ExportedProgram, wrong: str, seen: Sequence[_Seen], sizes: set[int]) -> set[int]:
    """The file's values that may be the wrong tensor: the first of each size behind what it is made from."""
    before = eager.with_ancestors(program, [wrong])
    start = max((index + 1 for index, entry in enumerate(seen) if before.intersection(entry.agrees)), default=0)
    found: dict[int, list[int]] = {size: [] for size in sizes}
    for index, entry in enumerate(seen[start:], start):
        if entry.size in found and not entry.agrees and len(found[entry.size]) < _CANDIDATES:
            found[entry.size].append(index)
    return {index for indices in found.values() for index in indices}


def _values_at(case: Case, wanted: set[int]) -> dict[int, Array]:
    """The file's values of these numbers, in the order of the trace."""
    kept: dict[int, Array] = {}
    count = itertools.count()

    def keep(_name: str, _op: str, value: Array) -> None:
        index = next(count)
        if index in wanted:
            kept[index] = value.astype(np.float32)

    trace(case.format_name, case.path, case.sample, keep)
    return kept


def _successors(program: ExportedProgram, name: str) -> list[str]:
    """The tensor and those that follow it while nothing else uses them: what a converter may fuse with it."""
    node = next(node for node in program.graph.nodes if node.name == name)
    names, known = [name], set(eager.comparable(program))
    while len(names) < _FUSED and len(node.users) == 1:
        (node,) = node.users
        if node.name in known:
            names.append(node.name)
    return names

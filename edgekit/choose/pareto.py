"""The candidates that no other one certainly beats, over one axis or several.

b dominates a if it is certainly not worse on any axis and certainly better on one, see :mod:`edgekit.choose.doubt`.
That is transitive: with ``|a|`` for the half-widths, ``b - a + |b, a| <= 0`` and ``c - b + |c, b| <= 0`` add up to
``c - a + |c| + |a| <= 0``. So whatever is dominated is dominated by a member of the front, and only those are compared.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgekit.choose.doubt import Point, excess

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Axes = tuple[Point, ...]
# So many of the front are tried on everyone first; whoever beat somebody last is tried first.
_QUICK = 48
# From so many points on, arrays are quicker than loops.
_MANY = 1500
_SAMPLE = 512
_BLOCK = 256


def dominates(b: Axes, a: Axes) -> bool:
    """Whether ``b`` is certainly not worse than ``a`` anywhere, and certainly better somewhere."""
    better = False
    for one, other in zip(b, a, strict=True):
        if one.value > other.value:
            return False
        bound = excess(one, other)
        if bound > 0:
            return False
        better = better or bound < 0
    return better


def front(points: Sequence[Axes]) -> list[int]:
    """Indices, ascending, of the points that no other one dominates; every point has the same axes, at least one."""
    if not points:
        return []
    if len(points[0]) == 1:
        return _on_one_axis([axes[0] for axes in points])
    # Whoever dominates a point has a lower or equal value on every axis, and so comes before it in this order.
    order = sorted(range(len(points)), key=lambda index: tuple(axis.value for axis in points[index]))
    return sorted(_by_arrays(points, order) if len(order) > _MANY else _by_loops(points, order))


def _by_loops(points: Sequence[Axes], order: Sequence[int]) -> list[int]:
    """The front, of points in this order."""
    quick: list[Axes] = []
    found: list[int] = []
    for index in order:
        axes = points[index]
        for place, other in enumerate(quick):
            if dominates(other, axes):
                quick.insert(0, quick.pop(place))
                break
        else:
            if any(dominates(points[other], axes) for other in found):
                continue
            found.append(index)
            if len(quick) == _QUICK:
                quick.pop()
            quick.append(axes)
    return found


def _by_arrays(points: Sequence[Axes], order: Sequence[int]) -> list[int]:
    """The same for many points: those that a sample's front dominates fall out first."""
    import numpy as np

    table = _Table(points, order)
    left = np.arange(len(order))
    step = max(1, len(order) // _SAMPLE)
    sample = _by_loops([points[index] for index in order[::step]], range(len(order[::step])))
    for place in sample:
        left = left[~table.beaten(np.array([place * step]), left)]
    kept = np.empty(0, dtype=np.intp)
    for start in range(0, len(left), _BLOCK):
        block = left[start : start + _BLOCK]
        for begin in range(0, len(kept), _BLOCK * 8):
            block = block[~table.beaten(kept[begin : begin + _BLOCK * 8], block)]
        among = _by_loops([points[order[place]] for place in block.tolist()], range(len(block)))
        kept = np.concatenate([kept, block[among]])
    return [order[place] for place in kept.tolist()]


class _Table:
    """The points as arrays, in a given order."""

    def __init__(self, points: Sequence[Axes], order: Sequence[int]) -> None:
        import numpy as np

        self.figures = np.array([[axis[:3] for axis in points[index]] for index in order])
        numbers: dict[str | None, int] = {None: -1}
        self.evidence = np.array(
            [[numbers.setdefault(axis.evidence, len(numbers)) for axis in points[index]] for index in order]
        )

    def beaten(self, ones: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of the others, of shape (n,), any of the ones, of shape (k,), dominates."""
        import numpy as np

        worst = np.full((len(ones), len(others)), -math.inf)
        best = np.full((len(ones), len(others)), math.inf)
        for axis in range(self.figures.shape[1]):
            one, other = self.figures[ones, axis][:, None], self.figures[others, axis][None, :]
            bound = one[..., 0] - other[..., 0] + np.hypot(one[..., 2], other[..., 1])
            figure = self.evidence[ones, axis][:, None]
            bound[(figure >= 0) & (figure == self.evidence[others, axis][None, :])] = 0.0
            np.maximum(worst, bound, out=worst)
            np.minimum(best, bound, out=best)
        beaten: NDArray[np.bool_] = np.any((worst <= 0) & (best < 0), axis=0)
        return beaten


def _on_one_axis(points: Sequence[Point]) -> list[int]:
    """On one axis ``b`` beats ``a`` if ``b.value + |b.above, a.below| < a.value``.

    Of the possible ``b`` only those matter than which no other has both a lower value and a shorter ``above``.
    """
    stairs: list[Point] = []
    for one in sorted(points, key=lambda p: (p.value, p.above)):
        if not stairs or one.above < stairs[-1].above:
            stairs.append(one)
    values = [one.value for one in stairs]
    found = []
    for index, a in enumerate(points):
        lower = stairs[: bisect_left(values, a.value)]
        if not any(b.value + math.hypot(b.above, a.below) < a.value for b in lower):
            found.append(index)
    return found

"""Whether two tensors hold the same values in another arrangement: layouts differ between frameworks.

A format may store a tensor with its axes in another order, or with some of them merged. Two tensors of equal size
agree if one of them, with its axes permuted, reads the same from its first to its last value as the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# More axes than this (of a size above one) are only compared in their own order.
_MOST_AXES = 4
_PROBES = 257


@dataclass(frozen=True)
class Extent:
    """What no rearrangement changes: number of values, smallest, largest, mean."""

    size: int
    low: float
    high: float
    mean: float

    @property
    def peak(self) -> float:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    def near(self, other: Extent, bound: float) -> bool:
        """Whether tensors of these extents can be equal within ``bound`` in every value."""
        if self.size != other.size:
            return False
        pairs = ((self.low, other.low), (self.high, other.high), (self.mean, other.mean))
        return all(abs(ours - theirs) <= bound for ours, theirs in pairs)


def extent(value: Array) -> Extent:
    """The extent of a tensor that is not empty."""
    with np.errstate(all="ignore"):  # a value that is not finite is near to nothing
        return Extent(value.size, float(value.min()), float(value.max()), float(value.mean(dtype=np.float64)))


@dataclass(frozen=True)
class Arrangement:
    """Two tensors side by side: ``ours`` and ``theirs`` are flat and hold what belongs together at the same place."""

    ours: Array
    theirs: Array
    _shape: tuple[int, ...]
    _order: tuple[int, ...] | None

    def restored(self) -> Array:
        """The other tensor's values in the shape and order of the first one."""
        if self._order is None:
            return self.theirs.reshape(self._shape)
        permuted = self.theirs.reshape([self._shape[axis] for axis in self._order])
        return permuted.transpose(np.argsort(self._order))


def arrangements(value: Array, other: Array) -> Iterator[Arrangement]:
    """Every arrangement of two tensors of equal size that may be meant, the likeliest first."""
    flat = other.reshape(-1)
    for order in _orders(value):
        yield Arrangement(value.transpose(order).reshape(-1), flat, value.shape, order)
    flat = value.reshape(-1)
    for order in list(_orders(other))[1:]:
        yield Arrangement(flat, other.transpose(order).reshape(-1), value.shape, None)


def agreeing(value: Array, other: Array, bound: float) -> Arrangement | None:
    """The first arrangement in which no value differs by more than ``bound``, or null."""
    for found in arrangements(value, other):
        step = max(1, len(found.ours) // _PROBES)
        if _within(found.ours[::step], found.theirs[::step], bound) and _within(found.ours, found.theirs, bound):
            return found
    return None


def closest(value: Array, other: Array, bound: float) -> tuple[Arrangement, float]:
    """The arrangement in which the most values are equal within ``bound``, with their share (0 to 1).

    Where several are alike in that, the one with the highest correlation.
    """
    best: Arrangement | None = None
    score = (-1.0, -np.inf)
    for found in arrangements(value, other):
        with np.errstate(all="ignore"):
            same = float(np.mean(np.abs(found.ours - found.theirs) <= bound))
            product = np.vdot(found.ours.astype(np.float64), found.theirs.astype(np.float64))
        if best is None or (round(same, 3), float(np.nan_to_num(product))) > score:
            best, score = found, (round(same, 3), float(np.nan_to_num(product)))
    assert best is not None
    return best, score[0]


def _within(ours: Array, theirs: Array, bound: float) -> bool:
    return bool(np.all(np.abs(ours - theirs) <= bound))


def _orders(value: Array) -> Iterator[tuple[int, ...]]:
    """Orders of the axes, the own one first, then channels last; axes of size one stay where they are."""
    own = tuple(range(value.ndim))
    yield own
    moving = [axis for axis in own if value.shape[axis] > 1]
    if not 2 <= len(moving) <= _MOST_AXES:
        return
    for order in sorted(itertools.permutations(moving), key=lambda o: o != (*moving[1:], moving[0])):
        made = list(own)
        for place, axis in zip(moving, order, strict=True):
            made[place] = axis
        if tuple(made) != own:
            yield tuple(made)

"""Strided loops: as few dimensions as possible for the kernels that walk through memory by strides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.graph import Operator
from edgekit.convert.mcu.lower.context import Context


def dense_strides(shape: Sequence[int], item: int = 1) -> list[int]:
    """Bytes from one position to the next along each dimension of a dense array of ``item``-byte elements."""
    return [item * math.prod(shape[i + 1 :]) for i in range(len(shape))]


def broadcast_strides(shape: Sequence[int], output: Sequence[int]) -> list[int]:
    """Strides with which an int8 operand of ``shape`` is read for every position of ``output``; 0 where it repeats.

    Raises:
        ValueError: it can't be broadcast to that shape.
    """
    if len(shape) > len(output):
        raise ValueError(f"{tuple(shape)} can't be broadcast to {tuple(output)}")
    padded = [1] * (len(output) - len(shape)) + list(shape)
    if any(own not in (1, wanted) for own, wanted in zip(padded, output, strict=True)):
        raise ValueError(f"{tuple(shape)} can't be broadcast to {tuple(output)}")
    return [0 if own == 1 else stride for own, stride in zip(padded, dense_strides(padded), strict=True)]


def merge(dims: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """The same walk in few dimensions: those of size 1 go, and neighbours become one where all strides fit."""
    kept: list[int] = []
    walks: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(dims):
        if size == 1:
            continue
        if kept and all(walk[-1] == own[axis] * size for walk, own in zip(walks, strides, strict=True)):
            kept[-1] *= size
            for walk, own in zip(walks, strides, strict=True):
                walk[-1] = own[axis]
            continue
        kept.append(size)
        for walk, own in zip(walks, strides, strict=True):
            walk.append(own[axis])
    return kept, walks


def fixed_rank(
    operator: Operator, context: Context, rank: int, dims: Sequence[int], *strides: Sequence[int]
) -> list[list[int]]:
    """``dims`` and ``strides`` with leading dimensions of size 1 up to ``rank``; refuses more than ``rank``."""
    if len(dims) > rank:
        raise context.refuse(operator, f"its loops take {len(dims)} dimensions where {rank} fit")
    missing = rank - len(dims)
    return [[1] * missing + list(dims), *([0] * missing + list(walk) for walk in strides)]


def numbered(**arrays: Sequence[int]) -> dict[str, int]:
    """The record's fields of arrays: ``dims=[2, 3]`` is ``dims_0``, ``dims_1``."""
    return {f"{name}_{i}": int(value) for name, values in arrays.items() for i, value in enumerate(values)}


def walk_distance(dims: Sequence[int], reads: Sequence[int], writes: Sequence[int], run: int, start: int) -> int:
    """Overlap distance of a copy that goes through ``dims`` in order, ``run`` bytes at a time, without reading ahead.

    ``start`` is the first write's place less the first read's, each counted from its buffer's begin.
    """
    return distance(positions(dims, reads), positions(dims, writes) + start, run)


def positions(dims: Sequence[int], strides: Sequence[int]) -> npt.NDArray[np.int64]:
    """Where a walk through ``dims`` in order gets to, in bytes from where it begins: one after the other."""
    found = np.zeros(tuple(dims), np.int64)
    for axis, (size, stride) in enumerate(zip(dims, strides, strict=True)):
        shape = [1] * len(dims)
        shape[axis] = size
        found += stride * np.arange(size, dtype=np.int64).reshape(shape)
    return found.reshape(-1)


def distance(reads: npt.NDArray[np.int64], writes: npt.NDArray[np.int64], run: int) -> int:
    """Overlap distance of a kernel that reads from ``reads[i]`` on and then writes ``run`` bytes at ``writes[i]``.

    ``reads`` are the lowest bytes that step i needs; within a step, bytes go from low to high on both sides.
    """
    farthest = int((writes - reads).max())
    if reads.size > 1:
        still_needed = np.minimum.accumulate(reads[::-1])[::-1][1:]
        farthest = max(farthest, int((writes[:-1] + run - still_needed).max()))
    return max(0, farthest)

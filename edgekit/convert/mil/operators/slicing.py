"""Operators that take parts of a tensor by position, or extend it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from edgekit.convert.mil.call import Call

# MIL's mode -> numpy's.
_PAD_MODES: dict[str, Literal["reflect", "edge"]] = {"reflect": "reflect", "replicate": "edge"}


def slice_by_index(call: Call) -> Tensor:
    """x[begin:end:stride] per axis, by numpy's rules."""
    # numpy, because torch has no negative strides.
    return _from_numpy(call.tensor("x").numpy()[_slices(call)])


def slice_update(call: Call) -> Tensor:
    """x with x[begin:end:stride] replaced."""
    x, update = call.tensor("x").numpy().copy(), call.tensor("update").numpy()
    part = x[_slices(call)]
    x[_slices(call)] = update.reshape(part.shape)
    return torch.from_numpy(x)


def slice_by_size(call: Call) -> Tensor:
    """``size`` elements from ``begin`` on, per axis; a size of -1 takes the rest."""
    x, begin, size = call.tensor("x"), call.integers("begin"), call.integers("size")
    if not len(begin) == len(size) == x.dim():
        raise call.wrong(f"slices {list(x.shape)} from {begin} by {size}")
    for axis, (first, count) in enumerate(zip(begin, size, strict=True)):
        first = first + x.shape[axis] if first < 0 else first
        x = x.narrow(axis, first, x.shape[axis] - first if count == -1 else count)
    return x


def crop(call: Call) -> Tensor:
    """The last two axes without so many elements at their ends."""
    x = call.tensor("x")
    top, bottom = call.integers("crop_height")
    left, right = call.integers("crop_width")
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def pad(call: Call) -> Tensor:
    """The last axes extended by a constant, by reflection without the edge, or by the edge's values."""
    x, amounts, mode = call.tensor("x"), call.integers("pad"), call.text("mode", "constant")
    if len(amounts) % 2 or len(amounts) > 2 * x.dim() or min(amounts, default=0) < 0:
        raise call.wrong(f"pads {list(x.shape)} by {amounts}")
    widths = [(0, 0)] * (x.dim() - len(amounts) // 2) + list(zip(amounts[::2], amounts[1::2], strict=True))
    call.reserve([size + before + after for size, (before, after) in zip(x.shape, widths, strict=True)])
    if mode == "constant":
        return _from_numpy(np.pad(x.numpy(), widths, constant_values=call.number("constant_val", 0.0)))
    if mode not in _PAD_MODES:
        raise call.lacking(f"with mode {mode}")
    limit = 1 if mode == "reflect" else 0
    if any(max(pair) > size - limit for size, pair in zip(x.shape, widths, strict=True)):
        raise call.wrong(f"pads {list(x.shape)} by {amounts}, more than there is to {mode}")
    return _from_numpy(np.pad(x.numpy(), widths, mode=_PAD_MODES[mode]))


def sliding_windows(call: Call) -> Tensor:
    """All windows of ``size`` along an axis, ``stride`` apart; the window is a new axis behind it."""
    x, size = call.tensor("x"), call.integer("size")
    axis = call.integer("axis") % max(x.dim(), 1)
    windows = x.unfold(axis, size, call.integer("stride", 1))
    call.reserve(windows.shape)
    return windows.movedim(-1, axis + 1)


def _slices(call: Call) -> tuple[slice | int, ...]:
    rank = call.tensor("x").dim()
    begin, end = call.integers("begin"), call.integers("end")
    stride = call.integers("stride", [1] * rank)
    masks = [call.booleans(name, [False] * rank) for name in ("begin_mask", "end_mask", "squeeze_mask")]
    given: list[Sequence[int]] = [begin, end, stride, *masks]
    if any(len(values) != rank for values in given) or 0 in stride:
        raise call.wrong(f"slices {rank} axes from {begin} to {end} by {stride}")
    return tuple(
        (0 if masks[0][i] else begin[i])
        if masks[2][i]
        else slice(None if masks[0][i] else begin[i], None if masks[1][i] else end[i], stride[i])
        for i in range(rank)
    )


def _from_numpy(values: Any) -> Tensor:
    """A tensor of its own; ``np.array`` keeps rank 0 and undoes negative strides."""
    return torch.from_numpy(np.array(values, order="C"))

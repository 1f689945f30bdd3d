"""Pools in one, two and three spatial dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.convert.mil.call import Call
from edgekit.convert.mil.operators.geometry import Pads, flat_pads, per_dimension, window_pads


@dataclass(frozen=True)
class _Windows:
    """``pads`` are the stated ones; ``extra`` is what ceil_mode appends so that the last window is whole."""

    kernel: list[int]
    strides: list[int]
    pads: Pads
    extra: Pads


def max_pool(call: Call) -> Tensor:
    """The largest element of each window; padding never wins."""
    x = call.tensor("x")
    windows = _windows(call, x)
    whole = [(before, after + more) for (before, after), (_, more) in zip(windows.pads, windows.extra, strict=True)]
    padded = functional.pad(x, flat_pads(whole), value=-math.inf)
    function = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[len(windows.kernel) - 1]
    return function(padded, windows.kernel, windows.strides)


def avg_pool(call: Call) -> Tensor:
    """The mean of each window. Padding counts as zeros unless it is excluded; what ceil_mode appends never counts."""
    x = call.tensor("x")
    windows = _windows(call, x)
    ones = torch.ones([1, 1, *x.shape[2:]])
    if not call.boolean("exclude_padding_from_average", False):
        ones = functional.pad(ones, flat_pads(windows.pads), value=1.0)
        counted = functional.pad(ones, flat_pads(windows.extra))
    else:
        counted = functional.pad(functional.pad(ones, flat_pads(windows.pads)), flat_pads(windows.extra))
    return _sums(x, windows) / _sum_windows(counted, windows)


def l2_pool(call: Call) -> Tensor:
    """The square root of the sum of squares of each window."""
    x = call.tensor("x")
    return torch.sqrt(_sums(torch.square(x), _windows(call, x)))


def _windows(call: Call, x: Tensor) -> _Windows:
    count = x.dim() - 2
    if not 1 <= count <= 3:
        raise call.wrong(f"has an input of {list(x.shape)}")
    kernel, strides = per_dimension(call, "kernel_sizes", count), per_dimension(call, "strides", count)
    sizes = list(x.shape[2:])
    pads = window_pads(call, sizes, kernel, strides)
    extra, out = [], []
    for size, (before, after), window, stride in zip(sizes, pads, kernel, strides, strict=True):
        room = before + size + after - window
        number = room // stride + 1
        if call.boolean("ceil_mode", False):
            number = -(-room // stride) + 1
            if (number - 1) * stride >= size + before and before + after > 0:
                number -= 1
        extra.append((0, max(0, (number - 1) * stride - room)))
        out.append(number)
    padded = [s + sum(p) + sum(e) for s, p, e in zip(sizes, pads, extra, strict=True)]
    call.reserve([*x.shape[:2], *padded])
    call.reserve([*x.shape[:2], *out], work=math.prod([*x.shape[:2], *out, *kernel]))
    return _Windows(kernel, strides, pads, extra)


def _sums(x: Tensor, windows: _Windows) -> Tensor:
    padded = functional.pad(functional.pad(x, flat_pads(windows.pads)), flat_pads(windows.extra))
    return _sum_windows(padded, windows)


def _sum_windows(x: Tensor, windows: _Windows) -> Tensor:
    if len(windows.kernel) == 3:
        return functional.avg_pool3d(x, windows.kernel, windows.strides, divisor_override=1)
    if len(windows.kernel) == 2:
        return functional.avg_pool2d(x, windows.kernel, windows.strides, divisor_override=1)
    tall = functional.avg_pool2d(x.unsqueeze(-1), [*windows.kernel, 1], [*windows.strides, 1], divisor_override=1)
    return tall.squeeze(-1)

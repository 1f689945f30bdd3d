"""Convolutions in one, two and three spatial dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from edgekit.convert.mil.call import Call
from edgekit.convert.mil.operators.geometry import flat_pads, paired, per_dimension, window_pads


def conv(call: Call) -> Tensor:
    """Cross-correlation of (N, C, *D) with weights (C_out, C/groups, *K)."""
    x, weight, bias = call.tensor("x"), call.tensor("weight"), call.optional("bias")
    sizes, kernel = _spatial(call, x, weight)
    strides, dilations = per_dimension(call, "strides", len(sizes)), per_dimension(call, "dilations", len(sizes))
    extents = _extents(kernel, dilations)
    pads = window_pads(call, sizes, extents, strides)
    padded = [before + size + after for size, (before, after) in zip(sizes, pads, strict=True)]
    out = [(size - extent) // stride + 1 for size, extent, stride in zip(padded, extents, strides, strict=True)]
    call.reserve([*x.shape[:2], *padded])
    shape = [x.shape[0], weight.shape[0], *out]
    call.reserve(shape, work=math.prod(shape) * math.prod(weight.shape[1:]))
    symmetric = all(before == after for before, after in pads)
    if not symmetric:
        x = functional.pad(x, flat_pads(pads))
    function = (functional.conv1d, functional.conv2d, functional.conv3d)[len(sizes) - 1]
    padding = [before for before, _ in pads] if symmetric else [0] * len(sizes)
    return function(x, weight, bias, strides, padding, dilations, call.integer("groups", 1))


def conv_transpose(call: Call) -> Tensor:
    """Transposed convolution of (N, C, *D) with weights (C, C_out/groups, *K): all of it, then cut to the output."""
    x, weight, bias = call.tensor("x"), call.tensor("weight"), call.optional("bias")
    sizes, kernel = _spatial(call, x, weight)
    strides, dilations = per_dimension(call, "strides", len(sizes)), per_dimension(call, "dilations", len(sizes))
    groups = call.integer("groups", 1)
    full = [
        (size - 1) * stride + extent
        for size, stride, extent in zip(sizes, strides, _extents(kernel, dilations), strict=True)
    ]
    starts, lengths = _window(call, sizes, strides, full)
    channels = weight.shape[1] * groups
    call.reserve([x.shape[0], channels, *full], work=x.numel() * math.prod(weight.shape[1:]))
    call.reserve([x.shape[0], channels, *lengths])
    function = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[len(sizes) - 1]
    y = function(x, weight, None, strides, 0, 0, groups, dilations)
    cuts = [(-start, start + length - size) for start, length, size in zip(starts, lengths, full, strict=True)]
    y = functional.pad(y, flat_pads(cuts))  # a negative amount cuts
    return y if bias is None else y + bias.reshape([-1, *[1] * len(sizes)])


def _window(
    call: Call, sizes: Sequence[int], strides: Sequence[int], full: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Where the output starts in the full result, and its spatial sizes."""
    kind = call.text("pad_type", "valid").lower()
    pads = paired(call, call.integers("pad", [0] * (2 * len(sizes))), len(sizes))
    if kind not in ("valid", "same", "custom"):
        raise call.wrong(f"has the unknown pad_type {kind!r}")
    if call.has("output_shape"):
        lengths = call.integers("output_shape")[2:]
        if len(lengths) != len(sizes):
            raise call.wrong(f"has an output_shape with {len(lengths)} spatial sizes")
    elif kind == "same":
        lengths = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    elif kind == "custom":
        lengths = [size - before - after for size, (before, after) in zip(full, pads, strict=True)]
    else:
        lengths = list(full)
    if kind == "same":
        starts = [max(0, size - length) // 2 for size, length in zip(full, lengths, strict=True)]
    else:
        starts = [before if kind == "custom" else 0 for before, _ in pads]
    return starts, lengths


def _spatial(call: Call, x: Tensor, weight: Tensor) -> tuple[list[int], list[int]]:
    """The spatial sizes of the input and of the weights."""
    if not 3 <= x.dim() <= 5 or weight.dim() != x.dim():
        raise call.wrong(f"has an input of {list(x.shape)} with weights of {list(weight.shape)}")
    return list(x.shape[2:]), list(weight.shape[2:])


def _extents(kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    return [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]

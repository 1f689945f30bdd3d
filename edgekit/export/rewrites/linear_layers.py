"""Convolutions and linear layers as linear maps: which positions of the input they read, and their sum as one layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from edgekit.export.rewrites import match
from edgekit.export.rewrites.linear_terms import Context

_aten = torch.ops.aten
_DIRECT = {_aten.conv1d.default: 1, _aten.conv2d.default: 2, _aten.conv3d.default: 3}
_NAMED = {_aten.conv1d.padding: 1, _aten.conv2d.padding: 2, _aten.conv3d.padding: 3}
_LINEAR = _aten.linear.default
_TARGET = {0: _LINEAR, 1: _aten.conv1d.default, 2: _aten.conv2d.default, 3: _aten.conv3d.default}
LAYERS = (*_DIRECT, *_NAMED, _aten.convolution.default, _LINEAR)

# A converter may store weights as float16, whose smallest normal number this is; a layer below it stays as it is.
_SMALLEST_PEAK = 2.0**-14

Tensor = torch.Tensor


@dataclass(frozen=True)
class Taps:
    """The positions along one axis that one output reads: ``start + k * step`` for k < count, relative to its own."""

    start: int
    step: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.step * (self.count - 1)

    def joined(self, other: Taps) -> Taps:
        """The sparsest taps that hold both."""
        start, end = min(self.start, other.start), max(self.end, other.end)
        strides = [abs(self.start - other.start)]
        strides += [taps.step for taps in (self, other) if taps.count > 1]
        step = math.gcd(*strides) or 1
        return Taps(start, step, (end - start) // step + 1)


@dataclass(frozen=True)
class Geometry:
    """What a layer reads; no ``taps`` at all is a linear layer over the last axis."""

    strides: tuple[int, ...]
    taps: tuple[Taps, ...]
    groups: int
    inputs: int
    outputs: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates per output value."""
        return self.inputs // self.groups * math.prod(taps.count for taps in self.taps)

    @property
    def axis(self) -> int:
        """Where the channels are: axis 1, or the last one."""
        return 1 if self.taps else -1

    def joined(self, other: Geometry) -> Geometry | None:
        """The smallest layer that can hold both; null where their outputs are at different places."""
        if (self.strides, self.inputs, self.outputs) != (other.strides, other.inputs, other.outputs):
            return None
        taps = tuple(a.joined(b) for a, b in zip(self.taps, other.taps, strict=True))
        return Geometry(self.strides, taps, math.gcd(self.groups, other.groups), self.inputs, self.outputs)

    def gives(self, source: tuple[int, ...], result: tuple[int, ...]) -> bool:
        """Whether the convolution with equal padding on both sides turns the one shape into the other."""
        sizes = zip(self.taps, self.strides, source[2:], result[2:], strict=True) if self.taps else ()
        return all(
            taps.start <= 0 and (size - 2 * taps.start - (taps.end - taps.start) - 1) // stride + 1 == out
            for taps, stride, size, out in sizes
        )


@dataclass(frozen=True)
class Layer:
    """One call of a convolution or linear layer whose weight it alone reads."""

    node: Node
    source: Node
    weight: Node
    bias: Node | None
    geometry: Geometry


def identity(channels: int, axes: int) -> Geometry:
    """What ``x`` itself reads of x."""
    return Geometry((1,) * axes, (Taps(0, 1, 1),) * axes, channels, channels, channels)


def parse(context: Context, node: Node) -> Layer | None:
    """The layer that this node calls; null if it is none, not float32, or not free to change."""
    if not match.is_call(node, LAYERS) or not match.is_float32(node):
        return None
    source, weight, bias = (match.argument(node, name) for name in ("input", "weight", "bias"))
    if not match.is_float32(source, weight) or not context.parameters.private(weight):
        return None
    if bias is not None and context.value(bias) is None:
        return None
    shape = match.shape(weight) or ()
    rank = node.meta["val"].dim()
    if node.target is _LINEAR:
        geometry: Geometry | None = Geometry((), (), 1, shape[1], shape[0]) if len(shape) == 2 and rank >= 2 else None
    else:
        geometry = _convolution(node, shape) if rank == len(shape) else None
    return None if geometry is None else Layer(node, source, weight, bias, geometry)


def _convolution(node: Node, shape: tuple[int, ...]) -> Geometry | None:
    axes = len(shape) - 2
    if node.target is _aten.convolution.default and match.argument(node, "transposed"):
        return None
    strides, dilations = (_per_axis(match.argument(node, name), axes) for name in ("stride", "dilation"))
    padding = match.argument(node, "padding")
    if isinstance(padding, str):
        totals = [0 if padding == "valid" else d * (k - 1) for d, k in zip(dilations, shape[2:], strict=True)]
        if any(total % 2 for total in totals):
            return None
        padding = [total // 2 for total in totals]
    taps = zip(_per_axis(padding, axes), dilations, shape[2:], strict=True)
    groups = match.argument(node, "groups")
    found = tuple(Taps(-pad, dilation, count) for pad, dilation, count in taps)
    return Geometry(strides, found, groups, shape[1] * groups, shape[0])


def _per_axis(values: Any, axes: int) -> tuple[int, ...]:
    listed = [values] if isinstance(values, int) else list(values)
    return tuple(listed * axes) if len(listed) == 1 else tuple(listed)


def empty_kernel(geometry: Geometry) -> Tensor:
    """Zeros of shape (outputs, inputs / groups, *taps), float64."""
    counts = [taps.count for taps in geometry.taps]
    return torch.zeros(geometry.outputs, geometry.inputs // geometry.groups, *counts, dtype=torch.float64)


def add_kernel(total: Tensor, geometry: Geometry, kernel: Tensor, own: Geometry) -> None:
    """Add a kernel of the smaller geometry ``own`` to ``total``, in place, where it reads the same positions."""
    places = [
        slice((a.start - b.start) // b.step, (a.end - b.start) // b.step + 1, max(a.step // b.step, 1))
        for a, b in zip(own.taps, geometry.taps, strict=True)
    ]
    view = total[(slice(None), slice(None), *places)]
    if own.groups == geometry.groups:
        view += kernel
        return
    rows = torch.arange(geometry.outputs)
    own_inputs, inputs = own.inputs // own.groups, geometry.inputs // geometry.groups
    first = rows // (own.outputs // own.groups) * own_inputs - rows // (geometry.outputs // geometry.groups) * inputs
    columns = first[:, None] + torch.arange(own_inputs)[None]
    view.index_put_((rows[:, None], columns), kernel, accumulate=True)


def identity_kernel(weight: Tensor, geometry: Geometry) -> Tensor:
    """The kernel of ``weight * x`` with one weight per channel, or one for all; float64."""
    return weight.expand(geometry.outputs).reshape(-1, 1, *(1 for _ in geometry.taps))


def arguments(geometry: Geometry) -> tuple[Any, tuple[Any, ...]]:
    """The operator for this geometry, and its arguments after the bias."""
    target = _TARGET[len(geometry.taps)]
    if not geometry.taps:
        return target, ()
    pads, steps = [-taps.start for taps in geometry.taps], [taps.step for taps in geometry.taps]
    return target, (list(geometry.strides), pads, steps, geometry.groups)


def is_representable(kernels: Sequence[Tensor], merged: Tensor) -> bool:
    """Whether the new weights survive being stored as float16 as well as the old ones did."""
    peak = float(merged.abs().max())
    small_before = all(float(kernel.abs().max()) < _SMALLEST_PEAK for kernel in kernels)
    return math.isfinite(peak) and (peak >= _SMALLEST_PEAK or small_before)

"""Reading a pooling operator over the last two axes, and the window that each position of its result covers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, known, match

_aten = torch.ops.aten


@dataclass(frozen=True)
class Axis:
    """Windows along one axis; ``count`` of them, as torch counts them."""

    size: int
    count: int
    kernel: int
    stride: int
    padding: int
    dilation: int = 1

    @property
    def after(self) -> int:
        """How far the last window reaches beyond the end of the input; negative if it ends before it."""
        return (self.count - 1) * self.stride + self.dilation * (self.kernel - 1) + 1 - self.padding - self.size

    @property
    def padded(self) -> bool:
        """Whether a window reaches beyond the input."""
        return self.padding > 0 or self.after > 0

    def covered(self, with_padding: bool) -> list[int]:
        """How many positions each window covers: of the input, or of the input and the stated padding."""
        margin = self.padding if with_padding else 0
        starts = [index * self.stride - self.padding for index in range(self.count)]
        return [min(start + self.kernel, self.size + margin) - max(start, -margin) for start in starts]


@dataclass(frozen=True)
class Pool:
    """A pool over the rows and the columns of ``source``."""

    source: Node
    axes: tuple[Axis, Axis]
    ceil_mode: bool


def read(node: Node, target: Any) -> Pool | None:
    """The pool that a node is, if it calls ``target`` on a float32 tensor (N, C, H, W) of a fixed shape."""
    if not match.is_call(node, (target,)) or not match.is_float32(node, node.args[0]):
        return None
    source: Any = node.args[0]
    before, after = match.shape(source) or (), match.shape(node) or ()
    if len(before) != 4:
        return None
    kernel = _pair(match.argument(node, "kernel_size"))
    stride = _pair(match.argument(node, "stride") or kernel)
    padding = _pair(match.argument(node, "padding"))
    dilation = (1, 1) if target is _aten.avg_pool2d.default else _pair(match.argument(node, "dilation"))
    rows, columns = (Axis(before[i + 2], after[i + 2], kernel[i], stride[i], padding[i], dilation[i]) for i in range(2))
    return Pool(source, (rows, columns), bool(match.argument(node, "ceil_mode")))


def _pair(value: Any) -> tuple[int, int]:
    values: Sequence[int] = value if isinstance(value, (tuple, list)) else (value,)
    return values[0], values[-1]


def maxima(node: Node) -> Node | None:
    """The first of an adaptive max pool's two results, if the second, the indices, is not read."""
    read_ones = [user for user in node.users if user.users]
    if len(read_ones) != 1 or read_ones[0].target is not operator.getitem or read_ones[0].args[1] != 0:
        return None
    return read_ones[0]


def erase(program: ExportedProgram, node: Node) -> None:
    """Remove a node whose results nobody reads, with the operators that took them apart."""
    for user in list(node.users):
        program.graph.erase_node(user)
    program.graph.erase_node(node)


def average(program: ExportedProgram, node: Node, pool: Pool, factors: Sequence[torch.Tensor]) -> Node:
    """Write before ``node`` the average over whole windows of the input with zeros around it, times a factor.

    Args:
        factors: per axis one factor for each window, float64; their product is applied.
    """
    rows, columns = pool.axes
    around = [max(0, amount) for axis in (columns, rows) for amount in (axis.padding, axis.after)]
    result = pool.source
    if any(around):
        result = graph.call(program, node, _aten.constant_pad_nd.default, result, around)
    kernel, stride = [axis.kernel for axis in pool.axes], [axis.stride for axis in pool.axes]
    result = graph.call(program, node, _aten.avg_pool2d.default, result, kernel, stride)
    factor = torch.outer(factors[0], factors[1])
    if bool((factor == 1).all()):
        return result
    if bool((factor == factor[0, 0]).all()):
        factor = factor[:1, :1]
    constant = known.constant(program, "pool", factor[None, None].float())
    return graph.call(program, node, _aten.mul.Tensor, result, constant)


def averages_of_covered(pool: Pool, with_padding: bool) -> list[torch.Tensor]:
    """The factors for :func:`average` by which each window is divided by the positions that it covers only."""
    return [axis.kernel / torch.tensor(axis.covered(with_padding), dtype=torch.float64) for axis in pool.axes]

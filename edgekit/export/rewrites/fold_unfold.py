"""``unfold``, ``fold`` and ``Tensor.unfold`` by convolutions, permutations of rank 4, and padded sums.

- Patches that don't overlap are a reshape and two permutations, both ways; nothing is computed.
- Overlapping patches are a depthwise convolution whose kernels are the unit vectors: each result is one input times
  one, plus zeros. Equal bit by bit for finite inputs.
- Overlapping patches are added up again one kernel position at a time, in torch's own order. With a stride, the
  positions that meet on the same rows and columns are summed apart (as a transposed convolution's phases are), then
  interleaved.

ExecuTorch and litert-torch turn both into gathers and scatters by computed indices, which no delegate takes; the
runtimes refuse the scatter where patches overlap. coremltools refuses overlapping ``fold`` and ``Tensor.unfold``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, known, match
from edgekit.export.rewrites.aliasing import Aliases

REASON = "patches are gathered and scattered by indices, which no delegate takes and some runtimes refuse"
# The patches are equal bit by bit; a product that reads them in another order of memory may round differently.
BOUND = 2e-6
# Beyond this a Tensor.unfold with overlapping windows is left alone: it is one slice per window or position.
_MOST_SLICES = 64

_aten = torch.ops.aten


@dataclass(frozen=True)
class _Axis:
    """Patches along one axis of ``size``: ``count`` of them, ``kernel`` positions each."""

    size: int
    kernel: int
    dilation: int
    padding: int
    stride: int

    @property
    def count(self) -> int:
        return (self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def tiles(self) -> bool:
        """Whether the patches follow each other without gap or overlap."""
        return self.kernel == self.stride and self.dilation == 1


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many operators were replaced."""
    changed, aliases = 0, Aliases(program)
    (output,) = (n for n in program.graph.nodes if n.op == "output")
    for node in list(program.graph.nodes):
        if not match.is_call(node, _OPERATORS) or not match.is_float32(node, node.args[0]):
            continue
        # What stands for it may share the source's memory where the operator doesn't, and the other way round.
        if not aliases.written(node) and aliases.same_value_at(node.all_input_nodes, output):
            result = _OPERATORS[node.target](_Writer(program, node))
            changed += result is not None and graph.replace(program, node, result)
    if changed:
        graph.finish(program)
    return changed


class _Writer:
    """Writes what stands for one node, before it."""

    def __init__(self, program: ExportedProgram, node: Node) -> None:
        source: Any = node.args[0]
        self._program, self._node, self._source = program, node, source
        self._shape: tuple[int, ...] = match.shape(source) or ()

    def _call(self, target: Any, *args: Any) -> Node:
        return graph.call(self._program, self._node, target, *args)

    def _reshape(self, x: Any, *shape: int) -> Node:
        return x if match.shape(x) == shape else self._call(_aten.reshape.default, x, list(shape))

    def _permute(self, x: Node, *axes: int) -> Node:
        return self._call(_aten.permute.default, x, list(axes))

    def _axes(self, sizes: Any) -> tuple[_Axis, _Axis]:
        names = ("kernel_size", "dilation", "padding", "stride")
        pairs = [match.argument(self._node, name) for name in names]
        rows, columns = (_Axis(sizes[axis], *(pair[axis if len(pair) > 1 else 0] for pair in pairs)) for axis in (0, 1))
        return rows, columns

    def _fit(self, x: Node, start: tuple[int, int], size: tuple[int, int]) -> Node:
        """The window of the last two axes that begins at ``start``; zeros where it reaches beyond the tensor."""
        height, width = (match.shape(x) or ())[-2:]
        around = [-start[1], start[1] + size[1] - width, -start[0], start[0] + size[0] - height]
        for axis, first, last, length in ((2, around[2], around[3], height), (3, around[0], around[1], width)):
            if first < 0 or last < 0:
                x = self._call(_aten.slice.Tensor, x, axis, max(0, -first), length + min(0, last))
        if any(amount > 0 for amount in around):
            x = self._call(_aten.constant_pad_nd.default, x, [max(0, amount) for amount in around])
        return x

    def unfold(self) -> Node | None:
        """(N, C, H, W) to (N, C * kernel, patches)."""
        if len(self._shape) != 4:
            return None
        n, c, *sizes = self._shape
        rows, columns = self._axes(sizes)
        kernel, patches = rows.kernel * columns.kernel, rows.count * columns.count
        if rows.tiles and columns.tiles:
            covered = (rows.count * rows.kernel, columns.count * columns.kernel)
            x = self._fit(self._source, (-rows.padding, -columns.padding), covered)
            x = self._reshape(x, n * c * rows.count, rows.kernel, columns.count, columns.kernel)
            x = self._reshape(self._permute(x, 0, 1, 3, 2), n * c, rows.count, kernel, columns.count)
            return self._reshape(self._permute(x, 0, 2, 1, 3), n, c * kernel, patches)
        unit = torch.eye(kernel).reshape(kernel, 1, rows.kernel, columns.kernel).repeat(c, 1, 1, 1)
        weight = known.constant(self._program, "unfold", unit)
        both = [[getattr(axis, name) for axis in (rows, columns)] for name in ("stride", "padding", "dilation")]
        return self._reshape(
            self._call(_aten.conv2d.default, self._source, weight, None, *both, c), n, c * kernel, patches
        )

    def fold(self) -> Node | None:
        """(N, C * kernel, patches) to (N, C, H, W)."""
        if len(self._shape) != 3:
            return None
        rows, columns = self._axes(match.argument(self._node, "output_size"))
        kernel = rows.kernel * columns.kernel
        n, c = self._shape[0], self._shape[1] // kernel
        x = self._reshape(self._source, n * c, kernel, rows.count, columns.count)
        if rows.tiles and columns.tiles:
            x = self._reshape(
                self._permute(x, 0, 2, 1, 3), n * c * rows.count, rows.kernel, columns.kernel, columns.count
            )
            x = self._permute(x, 0, 1, 3, 2)
            x = self._reshape(x, n * c, 1, rows.count * rows.kernel, columns.count * columns.kernel)
        else:
            x = self._interleave(x, rows, columns)
        x = self._fit(x, (rows.padding, columns.padding), (rows.size, columns.size))
        return self._reshape(x, n, c, rows.size, columns.size)

    def _interleave(self, x: Node, rows: _Axis, columns: _Axis) -> Node:
        """(N, kernel, patches down, patches across) to (N, 1, H', W') with the padding, a little larger at the end."""
        n = (match.shape(x) or ())[0]
        height, width = (math.ceil((a.size + 2 * a.padding) / a.stride) for a in (rows, columns))
        lines = []
        for row in range(rows.stride):
            phases = [
                self._phase(x, (rows, columns), (row, column), (height, width)) for column in range(columns.stride)
            ]
            line = self._stack([self._reshape(p, n, height, width, 1) for p in phases], 3)
            lines.append(self._reshape(line, n, height, 1, width * columns.stride))
        return self._reshape(self._stack(lines, 2), n, 1, height * rows.stride, width * columns.stride)

    def _stack(self, parts: list[Node], axis: int) -> Node:
        return parts[0] if len(parts) == 1 else self._call(_aten.cat.default, parts, axis)

    def _phase(self, x: Node, axes: tuple[_Axis, _Axis], phase: tuple[int, int], size: tuple[int, int]) -> Node:
        """The sum at every stride-th row and column from ``phase`` on: (N, 1, *size)."""
        total: Node | None = None
        for position in range(axes[0].kernel * axes[1].kernel):
            at = divmod(position, axes[1].kernel)
            steps = [divmod(axis.dilation * index, axis.stride) for axis, index in zip(axes, at, strict=True)]
            if tuple(rest for _, rest in steps) != phase:
                continue
            term = self._call(_aten.slice.Tensor, x, 1, position, position + 1)
            term = self._fit(term, (-steps[0][0], -steps[1][0]), size)
            total = term if total is None else self._call(_aten.add.Tensor, total, term)
        if total is None:  # the stride is larger than the patch
            n = (match.shape(x) or ())[0]
            total = known.constant(self._program, "gap", torch.zeros(n, 1, *size))
        return total

    def windows(self) -> Node | None:
        """``Tensor.unfold``: windows along one axis, whose positions become a last axis."""
        rank = len(self._shape)
        axis = match.argument(self._node, "dimension") % max(rank, 1)
        size, step = match.argument(self._node, "size"), match.argument(self._node, "step")
        if rank == 0:
            return None
        count = (self._shape[axis] - size) // step + 1
        if size == step:
            x = self._call(_aten.slice.Tensor, self._source, axis, 0, count * size)
            x = self._reshape(x, *self._shape[:axis], count, size, *self._shape[axis + 1 :])
            return self._axis_last(x, axis + 1)
        if count > _MOST_SLICES:
            return None
        parts = []
        for start in range(0, count * step, step):
            part = self._call(_aten.slice.Tensor, self._source, axis, start, start + size)
            parts.append(self._reshape(part, *self._shape[:axis], 1, size, *self._shape[axis + 1 :]))
        return self._axis_last(self._stack(parts, axis), axis + 1)

    def _axis_last(self, x: Node, axis: int) -> Node:
        return self._permute(x, *(a for a in range(len(match.shape(x) or ())) if a != axis), axis)


_OPERATORS: dict[Any, Callable[[_Writer], Node | None]] = {
    _aten.im2col.default: _Writer.unfold,
    _aten.col2im.default: _Writer.fold,
    _aten.unfold.default: _Writer.windows,
}

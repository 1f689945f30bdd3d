"""Resizes one axis at a time: as products with constant matrices, or as selections of rows and columns.

Every interpolation of torch sums weighted pixels, and its two-dimensional weights are products of one per axis. A
matrix's columns are what torch makes of the unit vectors, in float32, so that it holds exactly the weights that the
operator uses, with its rounding of coordinates, clamping and antialiasing. The nearest ones pick pixels; which, is what
torch makes of the numbers 0, 1, 2 and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, known, match
from edgekit.export.rewrites.aliasing import Aliases

_aten = torch.ops.aten
_ANTIALIASED = (_aten._upsample_bilinear2d_aa, _aten._upsample_bicubic2d_aa)


class Resize(NamedTuple):
    """A resize of the last axes, which the tuples describe in order; ``scales`` are those that the model states."""

    source: Node
    packet: Any
    sizes: tuple[int, ...]
    targets: tuple[int, ...]
    scales: tuple[float | None, ...]
    align_corners: bool | None

    def stated(self, axis: int) -> bool:
        """Whether the model states a scale for the axis that is not the ratio of its sizes.

        torch then places the samples by the stated scale: 13 rows by 0.5 are 6 rows, two input rows apart.
        """
        scale = self.scales[axis]
        return not self.align_corners and scale is not None and self.sizes[axis] * scale != self.targets[axis]


def read(node: Node, packets: tuple[Any, ...]) -> Resize | None:
    """The resize that a node is, if it calls one of the operators on a float32 tensor of a fixed shape.

    Args:
        packets: operators without overload, such as ``torch.ops.aten.upsample_bicubic2d``.
    """
    overloads = {getattr(packet, name): packet for packet in packets for name in ("vec", "default")}
    if not match.is_call(node, overloads) or not match.is_float32(node, node.args[0]):
        return None
    source: Any = node.args[0]
    packet: Any = overloads[node.target]
    if packet in _ANTIALIASED and node.meta["val"].shape[-1] == 1:
        return None  # torch 2.13 gets the rows of a result one pixel wide wrong; that is the reference all the same
    axes = source.meta["val"].dim() - 2
    names = {declared.name for declared in node.target._schema.arguments}  # type: ignore[union-attr]  # an overload
    return Resize(
        source=source,
        packet=packet,
        sizes=tuple(source.meta["val"].shape[2:]),
        targets=tuple(node.meta["val"].shape[2:]),
        scales=_scales(node, names, axes),
        align_corners=match.argument(node, "align_corners") if "align_corners" in names else None,
    )


def _scales(node: Node, names: set[str], axes: int) -> tuple[float | None, ...]:
    if "scale_factors" in names:
        return tuple(match.argument(node, "scale_factors") or (None,) * axes)
    if "scales" in names:
        return (match.argument(node, "scales"),)
    return match.argument(node, "scales_h"), match.argument(node, "scales_w")


def matrices(resize: Resize) -> list[torch.Tensor]:
    """The weights along each axis: float32, (size after, size before)."""
    return [_matrix(resize, axis) for axis in range(len(resize.sizes))]


def _matrix(resize: Resize, axis: int) -> torch.Tensor:
    before, after, scale = resize.sizes[axis], resize.targets[axis], resize.scales[axis]
    flags = [] if resize.align_corners is None else [resize.align_corners]
    unit = torch.eye(before)
    if len(resize.sizes) == 1:
        made: torch.Tensor = resize.packet.default(unit[:, None], [after], *flags, scale)
    else:
        # Along the last axis, whichever it is, because of the fault that ``read`` names.
        made = resize.packet.default(unit[:, None, None], [1, after], *flags, None, scale)
    return made.reshape(before, after).t().contiguous()


def products(program: ExportedProgram, node: Node, source: Node, weights: Sequence[torch.Tensor]) -> Node:
    """Multiply the last axes of ``source`` by constant matrices, before ``node``; answers ``source`` if all are units.

    Args:
        weights: one matrix per axis from the third on, in order: (size after, size before).
    """
    result, rank = source, len(weights) + 2
    # The axis that shrinks most, or grows least, goes first: the second product is over what the first one left.
    for axis in sorted(range(rank - 2), key=lambda a: weights[a].shape[0] / weights[a].shape[1]):
        matrix = weights[axis]
        if matrix.shape[0] == matrix.shape[1] and torch.equal(matrix, torch.eye(len(matrix))):
            continue
        constant = known.constant(program, "resize", matrix)
        swap = [*range(axis + 2), rank - 1, axis + 2]
        if axis + 3 < rank:
            result = graph.call(program, node, _aten.permute.default, result, swap)
        result = graph.call(program, node, _aten.linear.default, result, constant)
        if axis + 3 < rank:
            result = graph.call(program, node, _aten.permute.default, result, swap)
    return result


def source_indices(packet: Any, before: int, after: int, scale: float | None = None) -> list[int]:
    """For each of ``after`` positions the one of ``before`` that a nearest resize of torch reads.

    Args:
        packet: a nearest resize, such as ``torch.ops.aten.upsample_nearest2d``; those of one and of two axes differ in
            what they make of a stated scale.
    """
    positions = torch.arange(float(before))  # exact: float32 holds every integer up to 2**24
    if packet in (_aten.upsample_nearest1d, _aten._upsample_nearest_exact1d):
        picked = packet.default(positions[None, None], [after], scale)
    else:
        picked = packet.default(positions[None, None, None], [1, after], None, scale)
    return [int(position) for position in picked.flatten()]


def rows(resize: Resize) -> list[list[int]]:
    """Which position of each axis a nearest resize reads, for every position of its result."""
    axes = zip(resize.sizes, resize.targets, resize.scales, strict=True)
    return [source_indices(resize.packet, before, after, scale) for before, after, scale in axes]


def is_plain(resize: Resize) -> bool:
    """Whether every axis keeps its size or grows by a whole factor."""
    whole = all(after % before == 0 for before, after in zip(resize.sizes, resize.targets, strict=True))
    return whole and not any(map(resize.stated, range(len(resize.sizes))))


def selections(program: ExportedProgram, node: Node, resize: Resize) -> Node:
    """Write a nearest resize before ``node`` as selections along each axis."""
    result = resize.source
    for axis, indices in enumerate(rows(resize)):
        if indices != list(range(resize.sizes[axis])):
            index = known.constant(program, "nearest", torch.tensor(indices))
            result = graph.call(program, node, _aten.index_select.default, result, axis + 2, index)
    return result


def replace(program: ExportedProgram, node: Node, source: Node, result: Node, aliases: Aliases) -> bool:
    """Put ``result`` in the node's place; whether that was done.

    An operator that changes nothing of its ``source`` goes, unless the copy that it makes is needed.
    """
    if result is source:
        (output,) = (n for n in program.graph.nodes if n.op == "output")
        if aliases.written(node) or not aliases.same_value_at([result], output):
            return False
    return graph.replace(program, node, result)

"""Zeros around a map in front of a max pool, as a concatenation with zeros.

ONNX Runtime 1.31 (its optimiser Pad_Fusion) moves the padding into the pool, where it counts as minus infinity instead
of 0: a window whose values are all negative then gives the largest of them (HGNetV2's stem). Concatenating copies the
same values, so the result is equal in every bit.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, known, match

REASON = "ONNX Runtime fuses zero padding into a max pool as minus infinity"
BOUND = 0.0

_aten = torch.ops.aten
_PADS = (_aten.pad.default, _aten.constant_pad_nd.default)
_MAX_POOLS = (_aten.max_pool2d.default, _aten.max_pool2d_with_indices.default)
# What is never negative loses nothing by the fusion.
_NEVER_NEGATIVE = (_aten.relu.default, _aten.relu_.default, _aten.relu6.default, _aten.sigmoid.default)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many paddings were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        sides = _sides(node)
        if sides is not None and any(match.is_call(user, _MAX_POOLS) for user in node.users):
            changed += graph.replace(program, node, _joined(program, node, sides))
    if changed:
        graph.finish(program)
    return changed


def _sides(node: Node) -> list[int] | None:
    """Left, right, top and bottom of a padding of a 4-D float32 map with zeros; null for any other node."""
    if not match.is_call(node, _PADS) or not match.is_float32(node, node.args[0]):
        return None
    source, sides = node.args[0], match.argument(node, "pad")
    value = match.argument(node, "value")
    constant = node.target is _PADS[1] or match.argument(node, "mode") == "constant"
    if not constant or value not in (None, 0) or match.is_call(source, _NEVER_NEGATIVE):
        return None
    fits = len(match.shape(node) or ()) == 4 and len(sides) in (2, 4) and min(sides) >= 0
    return [*sides, 0, 0][:4] if fits else None


def _joined(program: ExportedProgram, node: Node, sides: list[int]) -> Node:
    made = node.args[0]
    assert isinstance(made, Node)
    for axis, (before, after) in ((3, sides[:2]), (2, sides[2:])):
        parts = [_zeros(program, made, axis, before), made, _zeros(program, made, axis, after)]
        present = [part for part in parts if part is not None]
        if len(present) > 1:
            made = graph.call(program, node, _aten.cat.default, present, axis)
    return made


def _zeros(program: ExportedProgram, like: Node, axis: int, size: int) -> Node | None:
    if not size:
        return None
    shape = list(match.shape(like) or ())
    shape[axis] = size
    return known.constant(program, "zeros", torch.zeros(shape))

"""Drop an ``expand`` that only feeds element-wise operators: they broadcast by themselves.

Exact. On XNNPACK an expand stays outside the delegate and splits the partition (20 of them in EfficientFormerV2-S0); in
MobileViTv2 LiteRT's converter (litert-torch 0.10) moves a layout change past one and then refuses the product's shapes.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph

REASON = "element-wise operators broadcast by themselves; the expand splits delegates"
BOUND = 0.0

_aten = torch.ops.aten
_EXPANDS = (_aten.expand.default, _aten.expand_as.default)
_BROADCASTING = (_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor,
                 _aten.maximum.default, _aten.minimum.default)  # fmt: skip


def _same_without(user: Node, node: Node, source: Node) -> bool:
    """Whether the user's result has the same shape when it reads the source directly."""
    if user.op != "call_function" or user.target not in _BROADCASTING:
        return False
    operands = [source if arg is node else arg for arg in user.args[:2]]
    shapes = [tuple(o.meta["val"].shape) for o in operands if isinstance(o, Node)]
    together = tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]
    return together == tuple(user.meta["val"].shape)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many expands went."""
    removed = 0
    for node in list(program.graph.nodes):
        if node.op != "call_function" or node.target not in _EXPANDS or not node.users:
            continue
        source = node.args[0]
        if isinstance(source, Node) and all(_same_without(user, node, source) for user in node.users):
            removed += graph.replace(program, node, source)
    if removed:
        graph.finish(program)
    return removed

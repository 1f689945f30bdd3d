"""Remove operators that hand their input on unchanged: ``alias``, ``detach``, dropout and drop path in eval mode.

Exact: each of them returns its first argument's values. Core ML refuses ``alias`` (GhostNetV2 has it where a slice
takes everything), ``bernoulli_`` in a drop path stopped EfficientFormerV2 (snap-research/EfficientFormer#36), and a
removed node is one less for every pass.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph

REASON = "hands its input on unchanged; some converters refuse it"
BOUND = 0.0

_aten = torch.ops.aten
_ALWAYS = (_aten.alias.default, _aten.detach.default, _aten.detach_.default, _aten.lift_fresh_copy.default)
# operator -> index of its ``train`` argument
_UNLESS_TRAINING = {
    _aten.dropout.default: 2,
    _aten.dropout_.default: 2,
    _aten.feature_dropout.default: 2,
    _aten.alpha_dropout.default: 2,
}


def _is_identity(node: Node) -> bool:
    if node.op != "call_function":
        return False
    if node.target in _ALWAYS:
        return True
    index = _UNLESS_TRAINING.get(node.target)  # type: ignore[call-overload]  # most targets are not in the table
    return index is not None and node.args[index] is False


def apply(program: ExportedProgram) -> int:
    """Remove in place; returns how many nodes went."""
    removed = 0
    for node in list(program.graph.nodes):
        source = node.args[0] if node.args else None
        if _is_identity(node) and isinstance(source, Node):
            removed += graph.replace(program, node, source)
    if removed:
        graph.finish(program)
    return removed

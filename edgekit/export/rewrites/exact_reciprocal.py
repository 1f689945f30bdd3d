"""Write a reciprocal, which is also what ``1 / x`` and ``c / x`` export to, as a division of one.

Bit-equal: torch computes the reciprocal as that division. coremltools 9 writes Core ML's ``inverse`` with its default
epsilon and so computes ``1 / (x + 1e-4)``: the file converts and is silently wrong where x is small (by 1% at 0.01,
by infinity at -1e-4). XNNPACK delegates a division, but no reciprocal.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match

REASON = "Core ML's reciprocal adds 1e-4 to its argument; XNNPACK delegates a division, but no reciprocal"
BOUND = 0.0

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many reciprocals became divisions."""
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, (_aten.reciprocal.default,)) or not match.is_float32(node.args[0]):
            continue
        one = graph.constant(program, "one", torch.ones(()))
        changed += graph.replace(program, node, graph.call(program, node, _aten.div.Tensor, one, node.args[0]))
    if changed:
        graph.finish(program)
    return changed

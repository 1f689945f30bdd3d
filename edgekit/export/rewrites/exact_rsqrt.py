"""Write a reciprocal square root as a division of one by the square root.

torch computes it so on x86; elsewhere its own instruction may differ in the last place. coremltools 9 writes Core ML's
``rsqrt`` with its default epsilon and so computes ``1 / sqrt(x + 1e-12)``: silently wrong where x is of that size, as
in the normalisation of a vector that is almost zero.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match

REASON = "Core ML's rsqrt adds 1e-12 to its argument"
BOUND = 5e-7

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many reciprocal square roots were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, (_aten.rsqrt.default,)) or not match.is_float32(node.args[0]):
            continue
        one = graph.constant(program, "one", torch.ones(()))
        root = graph.call(program, node, _aten.sqrt.default, node.args[0])
        changed += graph.replace(program, node, graph.call(program, node, _aten.div.Tensor, one, root))
    if changed:
        graph.finish(program)
    return changed

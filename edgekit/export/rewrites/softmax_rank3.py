"""Run a softmax over the last axis of a rank-4 tensor as rank 3: reshape, softmax, reshape.

Exact: the rows of the softmax are the same. XNNPACK (executorch 1.5.1) keeps the tensors between two convolutions in
channels-last order and runs a softmax between them over the innermost axis *in memory*, which is then the channels: the
file converts and is silently wrong (talking-head attention, EfficientFormerV2). A reshape forces the logical order.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph

REASON = "XNNPACK runs a rank-4 softmax between convolutions over the wrong axis"
BOUND = 0.0

_aten = torch.ops.aten
_SOFTMAX = (_aten.softmax.int, _aten._softmax.default)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many softmaxes were reshaped."""
    changed = 0
    for node in list(program.graph.nodes):
        if node.op != "call_function" or node.target not in _SOFTMAX:
            continue
        shape = tuple(node.meta["val"].shape)
        if len(shape) != 4 or node.args[1] not in (-1, 3):
            continue
        flat = graph.call(program, node, _aten.reshape.default, node.args[0], [shape[0] * shape[1], *shape[2:]])
        rows = graph.call(program, node, node.target, flat, -1, *node.args[2:])
        changed += graph.replace(program, node, graph.call(program, node, _aten.reshape.default, rows, list(shape)))
    if changed:
        graph.finish(program)
    return changed

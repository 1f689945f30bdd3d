"""Pools that round their size up (``ceil_mode``) where that changes nothing, without it.

Exact: no window hangs over, because the windows end where the input does, or because the one that would hang over
starts beyond the input and torch leaves it out (aten/native/Pool.h, ``pooling_output_shape_pad_lr``). coremltools 9
keeps that one, and the result has another shape; litert-torch writes it into a file that the runtime can't load; and
XNNPACK takes no average pool that rounds up, whatever comes of it.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match, pools

REASON = "Core ML gives a pool that rounds up a window too many, and LiteRT's runtime can't load it"
BOUND = 0.0

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools no longer round up."""
    changed = 0
    for node in list(program.graph.nodes):
        pool = pools.read(node, _aten.max_pool2d.default) or pools.read(node, _aten.avg_pool2d.default)
        if pool is None or not pool.ceil_mode or any(axis.after > axis.padding for axis in pool.axes):
            continue
        given = {**match.arguments(node), "ceil_mode": False}
        changed += graph.replace(program, node, graph.call(program, node, node.target, *given.values()))
    if changed:
        graph.finish(program)
    return changed

"""Max pools with dilation, as the maximum of shifted slices, one axis at a time.

Exact: the maximum of a window is the maximum over its rows of the maximum over its columns. coremltools 9 refuses
dilation; litert-torch 0.10 writes a window reduction, which no delegate takes. The padding is minus infinity, as torch
defines it.
"""

from __future__ import annotations

import math

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, pools

REASON = "Core ML's converter refuses a max pool's dilation, LiteRT's delegate doesn't take it"
BOUND = 0.0

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        pool = pools.read(node, _aten.max_pool2d.default)
        if pool is None or all(axis.dilation == 1 for axis in pool.axes):
            continue
        changed += graph.replace(program, node, _maximum(program, node, pool))
    if changed:
        graph.finish(program)
    return changed


def _maximum(program: ExportedProgram, node: Node, pool: pools.Pool) -> Node:
    rows, columns = pool.axes
    around = [max(0, amount) for axis in (columns, rows) for amount in (axis.padding, axis.after)]
    result = pool.source
    if any(around):
        result = graph.call(program, node, _aten.constant_pad_nd.default, result, around, -math.inf)
    for place, axis in enumerate(pool.axes, start=2):
        reach = (axis.count - 1) * axis.stride + 1
        starts = range(0, axis.kernel * axis.dilation, axis.dilation)
        parts = [
            graph.call(program, node, _aten.slice.Tensor, result, place, start, start + reach, axis.stride)
            for start in starts
        ]
        result = parts[0]
        for part in parts[1:]:
            result = graph.call(program, node, _aten.maximum.default, result, part)
    return result

"""Adaptive average pools as plain ones where the sizes divide, else as products with constant matrices.

Window i of n covers the positions from floor(i * size / n) to ceil((i + 1) * size / n) (aten/native/AdaptivePooling.h),
so its mean is a product of one mean per axis; equal up to the order of sums. XNNPACK takes neither form; litert-torch
0.10 gathers windows of unequal length. A pool to one pixel stays: it is a mean, which both take. The resize of mode
``area`` is this operator too.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match, resample
from edgekit.export.rewrites.aliasing import Aliases

REASON = "no delegate takes an adaptive average pool to more than one pixel"
BOUND = 2e-6

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools were replaced."""
    changed, aliases = 0, Aliases(program)
    for node in list(program.graph.nodes):
        source = node.args[0] if match.is_call(node, (_aten.adaptive_avg_pool2d.default,)) else None
        if not isinstance(source, Node) or not match.is_float32(node, source) or node.meta["val"].dim() != 4:
            continue
        before, after = source.meta["val"].shape[2:], node.meta["val"].shape[2:]
        if tuple(after) != (1, 1):
            result = _written(program, node, source, list(zip(before, after, strict=True)))
            changed += resample.replace(program, node, source, result, aliases)
    if changed:
        graph.finish(program)
    return changed


def _written(program: ExportedProgram, node: Node, source: Node, sizes: list[tuple[int, int]]) -> Node:
    if all(before % after == 0 for before, after in sizes) and any(before != after for before, after in sizes):
        kernel = [before // after for before, after in sizes]
        return graph.call(program, node, _aten.avg_pool2d.default, source, kernel, kernel)
    weights = [
        _aten.adaptive_avg_pool1d.default(torch.eye(before), [after]).t().contiguous() for before, after in sizes
    ]
    return resample.products(program, node, source, weights)

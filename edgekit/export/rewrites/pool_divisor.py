"""Average pools with a divisor of their own (``divisor_override``), as a plain average times a constant.

``sum / d = (sum / k) * (k / d)`` with k positions per window; equal up to rounding. torch.onnx drops the divisor (the
file converts and is silently wrong), coremltools 9 refuses it, and neither XNNPACK nor LiteRT's delegate takes it.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match, pools

REASON = "a pool's own divisor is dropped by ONNX's converter, refused by Core ML's and taken by no delegate"
BOUND = 5e-7

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        pool = pools.read(node, _aten.avg_pool2d.default)
        divisor = match.argument(node, "divisor_override") if pool is not None else None
        if pool is not None and divisor is not None:
            rows, columns = pool.axes
            factors = [torch.full((axis.count,), float(axis.kernel), dtype=torch.float64) for axis in (rows, columns)]
            factors[0] = factors[0] / divisor
            changed += graph.replace(program, node, pools.average(program, node, pool, factors))
    if changed:
        graph.finish(program)
    return changed

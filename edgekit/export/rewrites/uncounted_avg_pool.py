"""Average pools that leave their padding out (``count_include_pad=False``), as padding, a plain average and a factor.

Each window is divided by the positions of the input that it covers, which zeros and a constant factor per window say as
well; equal up to rounding. litert-torch 0.10 writes two window reductions instead, which no delegate takes: the pool of
every PoolFormer block.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match, pools

REASON = "LiteRT writes a pool that leaves its padding out as two window reductions, which no delegate takes"
BOUND = 5e-7

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        pool = pools.read(node, _aten.avg_pool2d.default)
        if pool is None or match.argument(node, "divisor_override") is not None:
            continue
        if not match.argument(node, "count_include_pad") and any(axis.padding for axis in pool.axes):
            factors = pools.averages_of_covered(pool, with_padding=False)
            changed += graph.replace(program, node, pools.average(program, node, pool, factors))
    if changed:
        graph.finish(program)
    return changed

"""Average pools that count their padding, or whose last window hangs over, as padding, a plain average and a factor.

A window that hangs over (``ceil_mode``) is divided by the positions that it covers, which zeros and a constant factor
per window say as well; equal up to rounding. XNNPACK takes neither form; LiteRT (ai-edge-litert 2.3) can't load a file
whose window hangs over and is smaller than its stride.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match, pools

REASON = "XNNPACK takes no average pool that counts its padding or rounds its size up"
BOUND = 5e-7

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        pool = pools.read(node, _aten.avg_pool2d.default)
        if pool is None or match.argument(node, "divisor_override") is not None:
            continue
        counted = match.argument(node, "count_include_pad")
        if pool.ceil_mode or (counted and any(axis.padding for axis in pool.axes)):
            factors = pools.averages_of_covered(pool, with_padding=counted)
            changed += graph.replace(program, node, pools.average(program, node, pool, factors))
    if changed:
        graph.finish(program)
    return changed

"""Max pools that are padded along one axis only, one axis at a time.

Exact: the maximum of a window is the maximum over its rows of the maximum over its columns. The .tflite converter of
litert-torch 0.10 takes such a pool for one with "same" padding along both axes: the file converts, and its result has
another shape.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, pools

REASON = "LiteRT's converter pads a max pool along both axes if it is padded along one"
BOUND = 0.0

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        pool = pools.read(node, _aten.max_pool2d.default)
        if pool is None or any(axis.dilation != 1 for axis in pool.axes):
            continue
        padded = [axis.padded for axis in pool.axes]
        # Along an axis of one-position windows both kinds of padding are none.
        if padded[0] != padded[1] and pool.axes[padded.index(False)].kernel > 1:
            changed += graph.replace(program, node, _by_axis(program, node, pool))
    if changed:
        graph.finish(program)
    return changed


def _by_axis(program: ExportedProgram, node: Node, pool: pools.Pool) -> Node:
    result = pool.source
    for place, axis in enumerate(pool.axes):
        kernel, stride, padding = [1, 1], [1, 1], [0, 0]
        kernel[place], stride[place], padding[place] = axis.kernel, axis.stride, axis.padding
        result = graph.call(
            program, node, _aten.max_pool2d.default, result, kernel, stride, padding, [1, 1], pool.ceil_mode
        )
    return result

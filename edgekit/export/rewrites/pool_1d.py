"""Pools of one axis as pools of two, the first of which is one row.

Exact: a window of one row is the same window. ExecuTorch does it itself, but with operators around it (``unsqueeze``,
``squeeze``) that XNNPACK doesn't take, and for a maximum with the form that also gives indices.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match, pools
from edgekit.export.rewrites.aliasing import Aliases

REASON = "no delegate takes a pool of one axis, or what a converter puts around it"
BOUND = 0.0

_aten = torch.ops.aten
_WINDOWS: dict[Any, tuple[Any, tuple[str, ...]]] = {
    _aten.avg_pool1d.default: (_aten.avg_pool2d.default, ("ceil_mode", "count_include_pad")),
    _aten.max_pool1d.default: (_aten.max_pool2d.default, ("dilation", "ceil_mode")),
}
_ADAPTIVE: dict[Any, Any] = {
    _aten.adaptive_avg_pool1d.default: _aten.adaptive_avg_pool2d.default,
    _aten.adaptive_max_pool1d.default: _aten.adaptive_max_pool2d.default,
}


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools were replaced."""
    changed, aliases = 0, Aliases(program)
    for node in list(program.graph.nodes):
        source: Any = node.args[0] if match.is_call(node, (*_WINDOWS, *_ADAPTIVE)) else None
        result = pools.maxima(node) if node.target is _aten.adaptive_max_pool1d.default else node
        shape = match.shape(source) if source is not None else None
        if source is None or result is None or shape is None or len(shape) != 3 or not match.is_float32(source, result):
            continue
        # The reshapes around it may share memory that the pool's own copy doesn't.
        if not aliases.written(result):
            changed += graph.replace(program, result, _flat(program, result, node, source, shape))
            if result is not node:
                pools.erase(program, node)
    if changed:
        graph.finish(program)
    return changed


def _flat(program: ExportedProgram, before: Node, node: Node, source: Node, shape: tuple[int, ...]) -> Node:
    image = graph.call(program, before, _aten.reshape.default, source, [*shape[:2], 1, shape[2]])
    if node.target in _ADAPTIVE:
        size = [1, *match.argument(node, "output_size")]
        made = graph.call(program, before, _ADAPTIVE[node.target], image, size)
        if node.target is _aten.adaptive_max_pool1d.default:
            made = graph.call(program, before, operator.getitem, made, 0)
    else:
        target, rest = _WINDOWS[node.target]
        kernel = match.argument(node, "kernel_size")
        window = [[1, *kernel], [1, *(match.argument(node, "stride") or kernel)], [0, *match.argument(node, "padding")]]
        others = [match.argument(node, name) for name in rest]
        made = graph.call(
            program, before, target, image, *window, *([1, *o] if isinstance(o, list) else o for o in others)
        )
    return graph.call(program, before, _aten.reshape.default, made, list(match.shape(before) or ()))

"""Adaptive max pools as plain ones where the sizes divide, else as the maxima of slices, one axis at a time.

Exact: window i of n covers the positions from floor(i * size / n) to ceil((i + 1) * size / n)
(aten/native/AdaptivePooling.h), and the maximum of a window is the maximum over its rows of the maximum over its
columns. ExecuTorch and litert-torch refuse the operator; torch.onnx does where the sizes don't divide.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match, pools, resample
from edgekit.export.rewrites.aliasing import Aliases

REASON = "ExecuTorch and LiteRT refuse an adaptive max pool, ONNX's converter one whose sizes don't divide"
BOUND = 0.0
# Each position along an axis that doesn't divide is a slice and a pool.
_MOST_POSITIONS = 64
# LiteRT's delegate takes no longer concatenation.
_MOST_PARTS = 4

_aten = torch.ops.aten


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many pools were replaced."""
    changed, aliases = 0, Aliases(program)
    for node in list(program.graph.nodes):
        source = node.args[0] if match.is_call(node, (_aten.adaptive_max_pool2d.default,)) else None
        result = pools.maxima(node) if isinstance(source, Node) else None
        if not isinstance(source, Node) or result is None or not match.is_float32(result, source):
            continue
        if result.meta["val"].dim() != 4:
            continue
        sizes = list(zip(source.meta["val"].shape[2:], result.meta["val"].shape[2:], strict=True))
        if all(before % after == 0 or after <= _MOST_POSITIONS for before, after in sizes):
            written = _written(program, result, source, sizes)
            if resample.replace(program, result, source, written, aliases):
                pools.erase(program, node)
                changed += 1
    if changed:
        graph.finish(program)
    return changed


def _written(program: ExportedProgram, node: Node, source: Node, sizes: list[tuple[int, int]]) -> Node:
    kernel = [before // after if before % after == 0 else 1 for before, after in sizes]
    result = source
    if kernel != [1, 1]:
        result = graph.call(program, node, _aten.max_pool2d.default, result, kernel, kernel)
    for axis, (before, after) in enumerate(sizes, start=2):
        if before % after:
            windows = [(i * before // after, -(-(i + 1) * before // after)) for i in range(after)]
            result = _joined(program, node, [_maximum(program, node, result, axis, *w) for w in windows], axis)
    return result


def _maximum(program: ExportedProgram, node: Node, source: Node, axis: int, start: int, end: int) -> Node:
    part = graph.call(program, node, _aten.slice.Tensor, source, axis, start, end)
    if end - start == 1:
        return part
    kernel = [end - start if axis == place else 1 for place in (2, 3)]
    return graph.call(program, node, _aten.max_pool2d.default, part, kernel, kernel)


def _joined(program: ExportedProgram, node: Node, parts: list[Node], axis: int) -> Node:
    while len(parts) > 1:
        groups = [parts[i : i + _MOST_PARTS] for i in range(0, len(parts), _MOST_PARTS)]
        parts = [g[0] if len(g) == 1 else graph.call(program, node, _aten.cat.default, g, axis) for g in groups]
    return parts[0]

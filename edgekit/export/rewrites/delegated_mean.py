"""A mean over neighbouring axes as the only one that XNNPACK has: over both spatial axes of an image, which are kept.

The tensor is reshaped to ``before x axes x after``, turned to ``before x after x axes x 1`` and averaged with
``mean((2, 3), keepdim=True)``. Bit-equal in torch as long as the reshapes are views, which they are of contiguous
tensors and of tokens made from an image: the same values are added up in the same order. ``BOUND`` is for other memory
orders, where a copy changes the order. A classifier's head mostly averages tokens (``mean(1)``) or drops the spatial
axes at once (``mean((2, 3))``, EfficientFormerV2); ExecuTorch 1.5 then leaves the mean outside the delegate and makes a
partition of its own for the last layer.

Measured on one x86 core, p50 with the layers beside it: head of 448 x 7 x 7 58 -> 16 us, of 196 x 384 tokens
583 -> 540 us, a mean over the channels of 64 x 56 x 56 364 -> 245 us, over those of 1024 x 64 tokens 115 -> 115 us.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match

REASON = "XNNPACK takes a mean only over both spatial axes, with keepdim=True"
BOUND = 1e-5

_aten = torch.ops.aten
_SPATIAL = [2, 3]


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many means were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        axes = _axes(node)
        if axes is not None:
            changed += graph.replace(program, node, _spatial_mean(program, node, axes))
    if changed:
        graph.finish(program)
    return changed


def _axes(node: Node) -> tuple[int, int] | None:
    """The first axis that a mean is over, and the one after the last; null if it is no such mean, if XNNPACK takes it
    as it is, or if it is over the batch too.
    """
    if not match.is_call(node, (_aten.mean.dim,)) or not match.is_float32(*node.all_input_nodes, node):
        return None
    shape = match.shape(node.all_input_nodes[0]) or ()
    if not math.prod(shape) or not shape:
        return None
    axes = sorted(axis % len(shape) for axis in match.argument(node, "dim") or ())
    if not axes or axes[0] == 0 or axes != list(range(axes[0], axes[-1] + 1)):
        return None
    delegated = len(shape) == 4 and axes == _SPATIAL and match.argument(node, "keepdim")
    return None if delegated else (axes[0], axes[-1] + 1)


def _spatial_mean(program: ExportedProgram, mean: Node, axes: tuple[int, int]) -> Node:
    def call(target: Any, *args: Any) -> Node:
        return graph.call(program, mean, target, *args)

    x = mean.all_input_nodes[0]
    shape = match.shape(x) or ()
    before, width, after = (math.prod(part) for part in (shape[: axes[0]], shape[slice(*axes)], shape[axes[1] :]))
    if after == 1:
        # As channels of one sample, not as so many samples of one channel, which XNNPACK pools one by one.
        x = call(_aten.reshape.default, x, [shape[0], before // shape[0], width, 1])
    else:
        rows = call(_aten.permute.default, call(_aten.reshape.default, x, [before, width, after]), [0, 2, 1])
        x = call(_aten.reshape.default, rows, [before, after, width, 1])
    pooled = call(_aten.mean.dim, x, _SPATIAL, True)
    return call(_aten.reshape.default, pooled, list(match.shape(mean) or ()))

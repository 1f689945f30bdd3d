"""Nearest-neighbour resizes whose factor is not a whole number, as selections of rows and columns.

Exact: output row i is input row floor(i * in / out), in float32 as torch computes it (aten/native/UpSample.h,
``nearest_neighbor_compute_source_index``). LiteRT's converter (litert-torch 0.10) writes such a resize with another
rounding, so GhostNetV2's attention, which grows 3x3 to 7x7, converts and is silently wrong.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph

REASON = "LiteRT rounds a nearest-neighbour resize by a fraction differently from PyTorch"

_aten = torch.ops.aten
_RESIZES = (_aten.upsample_nearest2d.vec, _aten.upsample_nearest2d.default)


def source_indices(size_in: int, size_out: int) -> list[int]:
    """For each output position the input position that torch's ``nearest`` reads."""
    scale = np.float32(size_in) / np.float32(size_out)
    return [min(int(np.floor(np.float32(i) * scale)), size_in - 1) for i in range(size_out)]


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many resizes were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        if node.op != "call_function" or node.target not in _RESIZES:
            continue
        source = node.args[0]
        assert isinstance(source, Node)
        before, after = source.meta["val"].shape[-2:], node.meta["val"].shape[-2:]
        explicit_scales = any(arg is not None for arg in node.args[2:]) and node.args[1] is None
        if explicit_scales or all(b % a == 0 for a, b in zip(before, after, strict=True)):
            continue
        result = source
        for axis, (a, b) in enumerate(zip(before, after, strict=True), start=2):
            if a != b:
                rows = torch.tensor(source_indices(int(a), int(b)))
                index = graph.constant(program, f"nearest_{int(a)}_{int(b)}", rows)
                result = graph.call(program, node, _aten.index_select.default, result, axis, index)
        changed += graph.replace(program, node, result)
    if changed:
        graph.finish(program)
    return changed

"""Nearest-neighbour resizes whose factor is not a whole number, as selections of rows and columns.

Exact: row i of the result is input row floor(i * in / out), or floor(i / scale) where the model states a scale; torch
itself says which (aten/native/UpSample.h, ``nearest_neighbor_compute_source_index``). litert-torch 0.10 writes such a
resize with another rounding, so GhostNetV2's attention, which grows 3x3 to 7x7, converts and is silently wrong; it and
coremltools 9 drop a stated scale.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, resample
from edgekit.export.rewrites.aliasing import Aliases

REASON = "LiteRT rounds a nearest-neighbour resize by a fraction differently; it and Core ML drop a stated scale"
BOUND = 0.0

_aten = torch.ops.aten
_RESIZES = (_aten.upsample_nearest2d,)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many resizes were replaced."""
    changed, aliases = 0, Aliases(program)
    for node in list(program.graph.nodes):
        resize = resample.read(node, _RESIZES)
        if resize is not None and not resample.is_plain(resize):
            result = resample.selections(program, node, resize)
            changed += resample.replace(program, node, resize.source, result, aliases)
    if changed:
        graph.finish(program)
    return changed

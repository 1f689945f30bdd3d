"""``nearest-exact`` resizes as ``nearest`` where the factor is whole, else as selections of rows and columns.

Exact: row i of the result is input row floor((i + 0.5) * in / out) (aten/native/UpSample.h,
``nearest_neighbor_exact_compute_source_index``), which is floor(i * in / out) if out is a multiple of in. torch
itself says which row it is. coremltools 9 has no such operator; ExecuTorch and litert-torch compute the indices
in every inference.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, resample
from edgekit.export.rewrites.aliasing import Aliases

REASON = "Core ML has no nearest-exact resize; for ExecuTorch and LiteRT it becomes index arithmetic"
BOUND = 0.0

_aten = torch.ops.aten
_NEAREST = {
    _aten._upsample_nearest_exact1d: _aten.upsample_nearest1d,
    _aten._upsample_nearest_exact2d: _aten.upsample_nearest2d,
}


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many resizes were replaced."""
    changed, aliases = 0, Aliases(program)
    for node in list(program.graph.nodes):
        resize = resample.read(node, tuple(_NEAREST))
        if resize is None:
            continue
        nearest = _NEAREST[resize.packet].vec
        plain = resize._replace(packet=_NEAREST[resize.packet])
        if resample.is_plain(resize) and resample.rows(plain) == resample.rows(resize):
            result = graph.call(program, node, nearest, resize.source, list(resize.targets), None)
        else:
            result = resample.selections(program, node, resize)
        changed += resample.replace(program, node, resize.source, result, aliases)
    if changed:
        graph.finish(program)
    return changed

"""Linear resizes by a stated scale that is not the ratio of the sizes, as products with constant matrices.

``interpolate(x, scale_factor=0.5)`` of 13 rows gives 6, which torch reads two input rows apart (aten/native/UpSample.h,
``area_pixel_compute_scale``). XNNPACK and LiteRT know the sizes only and read them 13/6 apart: the files convert and
are silently wrong. coremltools refuses such a scale. Along one axis (``mode="linear"``) every resize is rewritten: no
delegate takes it. Equal up to the order of sums, because the interpolation is linear and separable; see
:mod:`edgekit.export.rewrites.resample` for the weights.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, resample
from edgekit.export.rewrites.aliasing import Aliases

REASON = "the runtimes know the sizes of a resize, not its stated scale; no delegate takes a resize of one axis"
BOUND = 2e-6

_aten = torch.ops.aten
_RESIZES = (_aten.upsample_bilinear2d, _aten.upsample_linear1d)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many resizes were replaced."""
    changed, aliases = 0, Aliases(program)
    for node in list(program.graph.nodes):
        resize = resample.read(node, _RESIZES)
        if resize is not None and (len(resize.sizes) == 1 or any(map(resize.stated, range(len(resize.sizes))))):
            result = resample.products(program, node, resize.source, resample.matrices(resize))
            changed += resample.replace(program, node, resize.source, result, aliases)
    if changed:
        graph.finish(program)
    return changed

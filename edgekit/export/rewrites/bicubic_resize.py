"""Bicubic resizes as one product with a constant matrix per axis.

Equal up to the order of sums, because the interpolation is linear and separable (R. Keys 1981, "Cubic convolution
interpolation for digital image processing"); see :mod:`edgekit.export.rewrites.resample` for the weights. coremltools
refuses the operator; ExecuTorch and litert-torch decompose it into 16 gathers, which no delegate takes: a 128 x 128
image by 4 takes 1.7 s and 0.4 s so, and about 1 ms as products.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, resample
from edgekit.export.rewrites.aliasing import Aliases

REASON = "Core ML has no bicubic resize; for ExecuTorch and LiteRT it becomes 16 gathers outside the delegate"
BOUND = 2e-6

_aten = torch.ops.aten
_RESIZES = (_aten.upsample_bicubic2d,)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many resizes were replaced."""
    changed, aliases = 0, Aliases(program)
    for node in list(program.graph.nodes):
        resize = resample.read(node, _RESIZES)
        if resize is not None:
            result = resample.products(program, node, resize.source, resample.matrices(resize))
            changed += resample.replace(program, node, resize.source, result, aliases)
    if changed:
        graph.finish(program)
    return changed

"""Antialiased bilinear and bicubic resizes as one product with a constant matrix per axis.

Equal up to the order of sums, because both are linear and separable; see :mod:`edgekit.export.rewrites.resample` for
the weights. litert-torch refuses both operators and ExecuTorch the bicubic one, coremltools 9 writes the bilinear one
without antialiasing, and torch.onnx places the samples wrongly with ``align_corners`` or a scale that is not the ratio
of the sizes: the files convert and are silently wrong.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, resample
from edgekit.export.rewrites.aliasing import Aliases

REASON = "no converter gets every antialiased resize right: it is refused, or loses its filter or its scale"
BOUND = 2e-6

_aten = torch.ops.aten
_RESIZES = (_aten._upsample_bilinear2d_aa, _aten._upsample_bicubic2d_aa)


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

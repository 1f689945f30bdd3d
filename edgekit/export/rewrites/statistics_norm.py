"""An instance norm that uses running statistics is the batch norm with those statistics; written as that.

Bit-equal: with ``use_input_stats`` off, torch computes it as that batch norm (aten/native/Normalization.cpp,
``instance_norm``). coremltools 9 ignores the running statistics and normalises with those of the input: the file
converts and is silently wrong. As a batch norm it also folds into the convolution before it, for every backend.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match

REASON = "Core ML would use the input's statistics; as a batch norm it folds into the convolution before it"
BOUND = 0.0

_aten = torch.ops.aten
_SHARED = ("input", "weight", "bias", "running_mean", "running_var")


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many norms were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, (_aten.instance_norm.default,)) or match.argument(node, "use_input_stats"):
            continue
        given = match.arguments(node)
        if given["running_mean"] is None or given["running_var"] is None:
            continue
        operands = (*(given[name] for name in _SHARED), False, given["momentum"], given["eps"], False)
        changed += graph.replace(program, node, graph.call(program, node, _aten.batch_norm.default, *operands))
    if changed:
        graph.finish(program)
    return changed

"""Spell GELU's tanh form out: ``0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))``.

Method: torch's own formula (aten/native/cpu/Activation.cpp, ``GeluKernelImpl``). coremltools 9 reads ``approximate``
only if it is given by position, an export gives it by name; ExecuTorch's XNNPACK delegate doesn't read it at all
(1.5, ``op_gelu.py``). Both files then hold the exact GELU, which differs by up to 5e-4 at each layer. coremltools puts
the spelled-out form together again, as one operator with the right mode.
"""

from __future__ import annotations

import math

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match

REASON = "coremltools and XNNPACK drop approximate='tanh' and compute the exact GELU"
BOUND = 2e-6

_aten = torch.ops.aten


def _spelled_out(x: torch.Tensor) -> torch.Tensor:
    return x * (0.5 * (torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))) + 1))


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many GELUs were spelled out."""
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, (_aten.gelu.default,)) or match.argument(node, "approximate") != "tanh":
            continue
        if match.is_float32(node.args[0]):
            changed += graph.replace(program, node, graph.inline(program, node, _spelled_out, node.args[0]))
    if changed:
        graph.finish(program)
    return changed

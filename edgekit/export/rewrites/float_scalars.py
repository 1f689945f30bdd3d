"""Write whole numbers beside float32 tensors as the kind of number that XNNPACK takes.

Bit-equal: torch converts the number to the tensor's dtype first. ExecuTorch 1.5 makes an int64 tensor of the 1 in
``x + 1`` and converts that to float32 outside the delegate, in every inference.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram

from edgekit.export.rewrites import graph, match

REASON = "ExecuTorch converts a whole number beside a float tensor at run time, outside the delegate"
BOUND = 0.0

_aten = torch.ops.aten
_ARITHMETIC = (
    _aten.add.Tensor, _aten.add_.Tensor, _aten.add.Scalar, _aten.sub.Tensor, _aten.sub_.Tensor, _aten.sub.Scalar,
    _aten.mul.Tensor, _aten.mul_.Tensor, _aten.mul.Scalar, _aten.div.Tensor, _aten.div_.Tensor, _aten.div.Scalar,
    _aten.rsub.Scalar)  # fmt: skip
# Larger whole numbers are not all float32 values; the others are the same number in either form.
_EXACT = 1 << 24


def _is_whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and abs(number) <= _EXACT


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many numbers were changed."""
    changed = 0
    for node in list(program.graph.nodes):
        if match.is_call(node, _ARITHMETIC) and match.is_float32(node.args[0]) and _is_whole(node.args[1]):
            node.args = (node.args[0], float(node.args[1]), *node.args[2:])
            changed += 1
    if changed:
        graph.finish(program)
    return changed

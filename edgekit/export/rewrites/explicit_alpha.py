"""Write the factor of ``add``, ``sub`` and ``rsub`` (their ``alpha``) as a multiplication of its own.

``a - alpha * b`` either way; torch may round it once where the product rounds first, so the results can differ by half
a unit in the last place of ``alpha * b``. coremltools 9 drops an alpha that is given by name, which is how an export
gives it (``ops.py``: ``add`` and ``sub`` read positional arguments only): the file converts and is silently wrong.
XNNPACK leaves such an operator outside the delegate.
"""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match

REASON = "coremltools drops the alpha of add and sub; XNNPACK does not delegate them"
BOUND = 1e-6

_aten = torch.ops.aten
_DIRECT = (
    _aten.add.Tensor, _aten.add_.Tensor, _aten.add.Scalar, _aten.add_.Scalar, _aten.sub.Tensor, _aten.sub_.Tensor,
    _aten.sub.Scalar, _aten.sub_.Scalar, _aten.subtract.Tensor, _aten.subtract_.Tensor, _aten.subtract.Scalar,
    _aten.subtract_.Scalar)  # fmt: skip
_REVERSED = (_aten.rsub.Tensor, _aten.rsub.Scalar)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many operators lost their alpha."""
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, _DIRECT + _REVERSED) or match.argument(node, "alpha") == 1:
            continue
        operands = [node.args[0], match.argument(node, "other")]
        if not match.is_float32(*(n for n in operands if isinstance(n, Node))):
            continue
        scaled = 0 if node.target in _REVERSED else 1
        factor, alpha = operands[scaled], match.argument(node, "alpha")
        is_tensor = isinstance(factor, Node)
        operands[scaled] = graph.call(program, node, _aten.mul.Tensor, factor, alpha) if is_tensor else factor * alpha
        node.args, node.kwargs = tuple(operands), {}
        changed += 1
    if changed:
        graph.finish(program)
    return changed

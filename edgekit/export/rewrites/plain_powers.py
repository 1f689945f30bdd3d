"""Powers with a small fixed exponent as products, roots and divisions.

torch's own kernel does the same for 2, 3, -2, 0.5, -0.5 and -1 (aten/native/cpu/PowKernel.cpp,
``pow_tensor_scalar_optimized_kernel``): bit-equal there. A fourth power is the square of the square, rounded twice.
XNNPACK takes a square, but neither ``x ** 2.0`` nor any other power; the LiteRT delegate takes roots, but no powers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match

REASON = "XNNPACK takes products, roots and divisions, but no powers other than the square"
BOUND = 5e-7

_aten = torch.ops.aten
_FORMS: dict[float, Callable[[Tensor], Tensor]] = {
    2.0: lambda x: x * x,
    3.0: lambda x: x * x * x,
    4.0: lambda x: (x * x) * (x * x),
    0.5: torch.sqrt,
    -0.5: torch.rsqrt,
    -1.0: torch.reciprocal,
    -2.0: lambda x: torch.reciprocal(x * x),
}


def _form(node: Node) -> Callable[[Tensor], Tensor] | None:
    if not match.is_call(node, (_aten.pow.Tensor_Scalar,)) or not match.is_float32(node.args[0]):
        return None
    exponent = node.args[1]
    is_whole_square = isinstance(exponent, int) and exponent == 2
    return _FORMS.get(exponent) if isinstance(exponent, (int, float)) and not is_whole_square else None


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many powers were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        form = _form(node)
        if form is not None:
            changed += graph.replace(program, node, graph.inline(program, node, form, node.args[0]))
    if changed:
        graph.finish(program)
    return changed

"""Matrix products of computed tensors as batched products of rank 3.

The same sums, over the same elements; a library may order them differently. ExecuTorch 1.5 decomposes ``matmul`` into
``bmm`` between two ``expand``, which do nothing and stay outside the delegate: two splits of the partition for each
product of an attention. XNNPACK takes ``bmm``, but ``mm``, ``addmm`` and ``linear`` only with a constant weight.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match
from edgekit.export.rewrites.program import Parameters

REASON = "ExecuTorch surrounds a product with expands that split the XNNPACK partition"
BOUND = 5e-6

_aten = torch.ops.aten
_PRODUCTS = (_aten.matmul.default, _aten.mm.default, _aten.linear.default)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many products were replaced."""
    parameters = Parameters(program)
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, _PRODUCTS) or not match.is_float32(*node.all_input_nodes):
            continue
        right: Any = node.args[1]
        if parameters.known(right) and len(match.shape(right) or ()) == 2:
            continue
        result = product(program, node)
        if result is not None:
            changed += graph.replace(program, node, result)
    if changed:
        graph.finish(program)
    return changed


def product(program: ExportedProgram, node: Node) -> Node | None:
    """The product with all leading axes as one; null where one operand is repeated along a leading axis."""

    def call(target: Any, *args: Any) -> Node:
        return graph.call(program, node, target, *args)

    left: Any
    right: Any
    left, right = node.args[:2]
    a, b = match.shape(left) or (), match.shape(right) or ()
    if len(a) < 2 or len(b) < 2 or 0 in a + b:
        return None
    if node.target is _aten.linear.default:
        right, b = call(_aten.transpose.int, right, 0, 1), (b[1], b[0])
    if math.prod(b[:-2]) == 1:
        batch, rows = 1, math.prod(a[:-1])
    elif a[:-2] == b[:-2]:
        batch, rows = math.prod(a[:-2]), a[-2]
    else:
        return None
    left = left if len(a) == 3 and a[0] == batch else call(_aten.reshape.default, left, [batch, rows, a[-1]])
    right = right if len(b) == 3 else call(_aten.reshape.default, right, [batch, *b[-2:]])
    result = call(_aten.bmm.default, left, right)
    if match.shape(result) != match.shape(node):
        result = call(_aten.reshape.default, result, list(match.shape(node) or ()))
    bias = match.argument(node, "bias") if node.target is _aten.linear.default else None
    return result if bias is None else call(_aten.add.Tensor, result, bias)

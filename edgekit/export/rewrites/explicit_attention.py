"""Scaled dot-product attention as two batched products and a softmax, all of rank 3.

``softmax(scale * Q K^T + mask) V`` (Vaswani et al. 2017, arXiv:1706.03762, eq. 1), as
``torch.nn.functional.scaled_dot_product_attention`` defines it; batch and heads are one axis. Grouped queries become
rows of their key's product, so keys and values are not repeated. Equal up to the order of sums.

ExecuTorch 1.5 decomposes the operator into pieces that guard the softmax against fully masked rows (``eq``, ``any``,
``logical_not``, ``where``, ``full_like``), none of which XNNPACK takes: every attention splits the partition in three.
LiteRT needs 8 operators for this form and 12 for its own, which selects a causal mask and repeats keys outside the
delegate. coremltools' own form is this one below iOS 18 and a single operator above; onnxruntime fuses what torch
writes. A mask that depends on the input is left to the backends, because one of its rows may be fully masked.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, known, match
from edgekit.export.rewrites.program import Parameters

REASON = "delegates take batched products and a softmax, but not the guards that fused attention decomposes into"
BOUND = 5e-6

_aten = torch.ops.aten
_FUSED = _aten.scaled_dot_product_attention.default
# What torch's core decompositions can leave of it: a pair, of which the second value is for training.
_FLASH = _aten._scaled_dot_product_flash_attention_for_cpu.default


@dataclass(frozen=True)
class _Shapes:
    """``batch`` holds the queries' leading axes; ``groups`` queries share a key; ``rows`` x ``keys`` scores."""

    batch: tuple[int, ...]
    groups: int
    rows: int
    keys: int
    depth: int
    values: int


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many attentions were spelled out."""
    parameters = Parameters(program)
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, (_FUSED, _FLASH)):
            continue
        result = _result(node)
        shapes = _shapes(node)
        if result is None or shapes is None or match.argument(node, "dropout_p") != 0:
            continue
        accepted, mask = _mask(parameters, node, shapes)
        if not accepted:
            continue
        changed += graph.replace(program, result, _attention(program, result, node, shapes, mask))
        if result is not node:
            for unused in list(node.users):
                program.graph.erase_node(unused)
            program.graph.erase_node(node)
    if changed:
        parameters.finish()
    return changed


def _result(node: Node) -> Node | None:
    """The node that stands for the attended values: the attention, or its ``getitem 0`` if nothing else is read."""
    if node.target is _FUSED:
        return node
    users = [user for user in node.users if user.users]
    only = len(users) == 1 and users[0].target is operator.getitem and users[0].args[1] == 0
    return users[0] if only else None


def _shapes(node: Node) -> _Shapes | None:
    """Null unless queries, keys and values are float32 and agree without broadcasting, apart from grouped queries."""
    q, k, v = node.args[:3]
    if not match.is_float32(q, k, v):
        return None
    sizes: Any = [match.shape(n) for n in (q, k, v)]  # type: ignore[arg-type]  # they are nodes: they have a dtype
    (*batch, rows, depth), (*key_batch, keys, key_depth), (*value_batch, value_keys, width) = sizes
    groups = 1
    if node.target is _FUSED and match.argument(node, "enable_gqa") and batch and key_batch and key_batch[-1]:
        groups = batch[-1] // key_batch[-1]
        key_batch, value_batch = ([*b[:-1], b[-1] * groups] for b in (key_batch, value_batch))
    if batch != key_batch or batch != value_batch or keys != value_keys or depth != key_depth or 0 in sizes[0]:
        return None
    return _Shapes(tuple(batch), groups, rows, keys, depth, width) if keys else None


def _mask(parameters: Parameters, node: Node, shapes: _Shapes) -> tuple[bool, Node | None]:
    """Whether the mask can be written, and what is to be added to the scores (null: nothing)."""
    given, causal = match.argument(node, "attn_mask"), match.argument(node, "is_causal")
    if given is None and not causal:
        return True, None
    if given is not None and causal:
        return False, None
    if causal:
        value: torch.Tensor | None = torch.ones(shapes.rows, shapes.keys, dtype=torch.bool).tril()
    else:
        value = parameters.value(given) if parameters.known(given) else None
    if value is None or value.dtype not in (torch.bool, torch.float32):
        return False, None
    full = (*shapes.batch, shapes.rows, shapes.keys)
    if torch.broadcast_shapes(value.shape, full) != full:  # type: ignore[no-untyped-call]
        return False, None
    if value.dtype is torch.bool:
        value = torch.zeros(value.shape).masked_fill(~value, -math.inf)
    if not bool((value > -math.inf).any(-1).all()):  # torch defines a row without keys as 0, a softmax as NaN
        return False, None
    return True, known.constant(parameters.program, "mask", _flat(value, shapes)) if value.any() else None


def _flat(mask: torch.Tensor, shapes: _Shapes) -> torch.Tensor:
    """The mask as rank 3, with one leading axis that is 1 or the whole batch."""
    leading = tuple(mask.shape[:-2])
    if math.prod(leading) == 1:
        return mask.reshape(1, *mask.shape[-2:])
    return mask.expand(*shapes.batch, *mask.shape[-2:]).reshape(-1, *mask.shape[-2:])


def _attention(program: ExportedProgram, before: Node, node: Node, shapes: _Shapes, mask: Node | None) -> Node:
    """The explicit form, inserted before ``before``; its result has the attention's shape."""

    def call(target: Any, *args: Any) -> Node:
        return graph.call(program, before, target, *args)

    scale = match.argument(node, "scale")
    batch = math.prod(shapes.batch)
    key_batch, rows = batch // shapes.groups, shapes.rows * shapes.groups
    q, k, v = node.args[:3]
    q = call(_aten.reshape.default, q, [key_batch, rows, shapes.depth])
    q = call(_aten.mul.Tensor, q, 1 / math.sqrt(shapes.depth) if scale is None else scale)
    k = call(_aten.reshape.default, k, [key_batch, shapes.keys, shapes.depth])
    v = call(_aten.reshape.default, v, [key_batch, shapes.keys, shapes.values])
    scores = call(_aten.bmm.default, q, call(_aten.transpose.int, k, 1, 2))
    if mask is not None:
        scores = call(_aten.reshape.default, scores, [batch, shapes.rows, shapes.keys]) if shapes.groups > 1 else scores
        scores = call(_aten.add.Tensor, scores, mask)
    weights = call(_aten.softmax.int, scores, -1)
    if shapes.groups > 1 and mask is not None:
        weights = call(_aten.reshape.default, weights, [key_batch, rows, shapes.keys])
    attended = call(_aten.bmm.default, weights, v)
    return call(_aten.reshape.default, attended, [*shapes.batch, shapes.rows, shapes.values])

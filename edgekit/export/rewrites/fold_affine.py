"""Fold a scale and offset per channel into the layers that read it, or into the one that makes what it reads.

``W (s x + t) + b = (W s) x + (W t + b)`` and ``s (W x + b) + t = (s W) x + (s b + t)``, computed in float64: exact up
to float32 rounding of the new weights. The affine may be any sum of ``x``, multiples of it and inference-form batch
norms of it, also between two transposes: what the re-parameterised batch norms of vision transformers leave in front of
their linear layers (SLAB, Guo et al. 2024, arXiv:2405.11582, section 3.1: ``alpha * x + BN(x)`` over transposed
tokens), a batch norm in front of a classifier (RepViT) or behind a flattened linear layer (LeViT) or concatenated
convolutions (MixNet), and input normalisation in front of a patch embedding. Views and selections in between that keep
the channels together don't matter, nor does a mean or a linear resize over other axes.

Each pass over the tensor that goes is memory traffic saved; the transposes around a 1-d batch norm split delegates. An
offset in front of a convolution with padding stays: the padding would have to be the offset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, known, linear_layers, match
from edgekit.export.rewrites.linear_layers import Layer
from edgekit.export.rewrites.linear_terms import LINEAR, Context, Terms, expansions

REASON = "a scale and offset per channel is part of the layer that reads it"
BOUND = 1e-5

_aten = torch.ops.aten
_RESHAPES = (_aten.view.default, _aten.reshape.default, _aten.flatten.using_ints, _aten.unsqueeze.default,
             _aten.squeeze.dim, _aten.squeeze.dims, _aten.squeeze.default, _aten.contiguous.default,
             _aten.clone.default, _aten.unflatten.int, _aten.reshape_as.default, _aten.view_as.default)  # fmt: skip
# Of their second argument they read the shape only.
_LIKE = (_aten.reshape_as.default, _aten.view_as.default, _aten.expand_as.default)
_TURNS = (_aten.transpose.int, _aten.permute.default)
_CUTS = (_aten.slice.Tensor, _aten.narrow.default, _aten.select.int)
_MEANS = (_aten.mean.dim, _aten.adaptive_avg_pool2d.default, _aten.adaptive_avg_pool1d.default)
_RESIZES = (_aten.upsample_bilinear2d.vec, _aten.upsample_bilinear2d.default, _aten.upsample_nearest2d.vec,
            _aten.upsample_nearest2d.default)  # fmt: skip
_ROLL = _aten.roll.default

Tensor = torch.Tensor


@dataclass(frozen=True)
class _Affine:
    """``root = scale * source + offset``, along ``axis`` or alike everywhere."""

    root: Node
    source: Node
    scale: Tensor
    offset: Tensor
    axis: int | None
    consumed: tuple[Node, ...]


class _Folded(NamedTuple):
    """A layer with the weights that it gets; float64."""

    layer: Layer
    kernel: Tensor
    bias: Tensor


def apply(program: ExportedProgram) -> int:
    """Fold in place; returns how many affines went."""
    context = Context(program)
    folded = 0
    for root in reversed(program.graph.nodes):
        if match.is_call(root, LINEAR) and root in context.aliases and _fold(context, root):
            folded += 1
            context = Context(program)
    if folded:
        context.parameters.finish()
    return folded


def _fold(context: Context, root: Node) -> bool:
    affine: _Affine | None = None
    for terms in expansions(context, root):
        affine = _affine(terms) or affine
    if affine is None:
        return False
    new = _into_readers(context, affine) or _into_makers(context, affine)
    if new is None or not graph.replace(context.program, affine.root, affine.source):
        return False
    for layer, kernel, bias in new:
        _write(context, layer, kernel, bias)
    for node in affine.consumed[1:]:
        if not node.users:
            context.program.graph.erase_node(node)
    return True


def _affine(terms: Terms) -> _Affine | None:
    leaves = terms.leaves()
    if leaves is None or len(leaves) != 1:
        return None
    ((source, scale),) = leaves.items()
    return _Affine(terms.root, source, scale, terms.offset, terms.axis, tuple(terms.consumed))


def _into_readers(context: Context, affine: _Affine) -> list[_Folded] | None:
    """The new weights of all the layers that read the affine; null if it can't be folded into every one."""
    readers = _readers(context, affine)
    if not readers:
        return None
    last = max((layer.node for layer in readers), key=context.aliases.index)
    if not context.aliases.same_value_at([affine.source], last, affine.consumed):
        return None
    new = [_scaled_inputs(context, affine, layer) for layer in readers]
    return None if any(folded is None for folded in new) else new  # type: ignore[return-value]  # none of them is null


def _into_makers(context: Context, affine: _Affine) -> list[_Folded] | None:
    """The new weights of the layers that make what the affine reads, if nothing else reads it; null if one can't be."""
    folded: dict[Node, _Folded] = {}
    # A value, who may read it, the axis of its channels, and the place of the first one among the affine's.
    pending: list[tuple[Node, tuple[Node, ...], int | None, int]] = [(affine.source, affine.consumed, affine.axis, 0)]
    while pending:
        node, users, axis, start = pending.pop()
        if node in folded or not all(user in users or _reads_shape(user, node) for user in node.users):
            return None
        layer = linear_layers.parse(context, node)
        if layer is not None and axis in (None, layer.geometry.axis % node.meta["val"].dim()):
            new = _scaled_outputs(context, affine, layer, slice(start, start + layer.geometry.outputs))
            if new is None:
                return None
            folded[node] = new
            continue
        sources = _sources(node, axis) if context.aliases.functional(node) else None
        if sources is None:
            return None
        pending += [(source, (node,), own, start + offset) for source, own, offset in sources]
    return list(folded.values())


def _sources(node: Node, axis: int | None) -> list[tuple[Node, int | None, int]] | None:
    """What a view or concatenation is made of: node, the axis of its channels, and how many channels come before."""
    source: Any = node.args[0] if node.op == "call_function" and node.args else None
    if match.is_call(node, _RESIZES):
        return [(source, axis, 0)] if axis in (None, 1) else None
    if match.is_call(node, _RESHAPES + _TURNS):
        own = None if axis is None else _comes_from(node, source, axis)
        return None if own is None and axis is not None else [(source, own, 0)]
    if not match.is_call(node, (_aten.cat.default,)):
        return None
    parts: Any = node.args[0]
    if any(match.shape(part) is None or len(match.shape(part) or ()) != node.meta["val"].dim() for part in parts):
        return None
    found: list[tuple[Node, int | None, int]] = []
    before = 0
    for part in parts:
        found.append((part, axis, before))
        if axis == match.argument(node, "dim") % node.meta["val"].dim():
            before += part.meta["val"].shape[axis]
    return found


def _reads_shape(user: Node, node: Node) -> bool:
    return match.is_call(user, _LIKE) and user.args[0] is not node


def _comes_from(node: Node, source: Node, axis: int) -> int | None:
    """The axis of the source that ends up as this axis of its view."""
    before, after = match.shape(source), match.shape(node)
    if before is None or after is None:
        return None
    if node.target in _RESHAPES:
        places = _reshaped(after, before, axis)
        return None if places is None else places[0]
    return next(own for own in range(len(before)) if _turned(node, len(before), own) == axis)


def _readers(context: Context, affine: _Affine) -> list[Layer] | None:
    """Every layer that reads the affine; null if anything else does."""
    found: list[Layer] = []
    pending: list[tuple[Node, int | None]] = [(affine.root, affine.axis)]
    while pending:
        node, axis = pending.pop()
        for user in node.users:
            layer = _layer(context, user, node, axis, affine)
            if layer is not None:
                found.append(layer)
                continue
            passed = _passes(user, node, axis)
            if passed is None:
                return None
            pending.append((user, passed[0]))
    return found


def _layer(context: Context, user: Node, node: Node, axis: int | None, affine: _Affine) -> Layer | None:
    layer = linear_layers.parse(context, user)
    if layer is None:
        return None
    rank = node.meta["val"].dim()
    padded = any(taps.start < 0 for taps in layer.geometry.taps) and bool((affine.offset != 0).any())
    return None if padded or axis not in (None, layer.geometry.axis % rank) else layer


def _passes(user: Node, node: Node, axis: int | None) -> tuple[int | None] | None:
    """The channels' axis behind an operator that hands whole channels on; null for any other operator."""
    before, after = match.shape(node), match.shape(user)
    if before is None or after is None or user.op != "call_function" or user.args[0] is not node:
        return None
    if user.target in _RESHAPES:
        return (None,) if axis is None else _reshaped(before, after, axis)
    if user.target in _TURNS:
        return (None,) if axis is None else (_turned(user, len(before), axis),)
    if user.target in _CUTS + _MEANS + _RESIZES or user.target is _ROLL:
        dims = _worked_on(user, len(before))
        if dims is None:
            return None
        if axis is None:
            return (None,)
        if axis in dims:
            return None
        return (axis - sum(dim < axis for dim in dims) if len(after) < len(before) else axis,)
    return None


def _reshaped(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> tuple[int] | None:
    """The axis of the same size with the same number of rows before it."""
    rows = math.prod(before[:axis])
    places = [k for k, size in enumerate(after) if size == before[axis] and math.prod(after[:k]) == rows]
    return (places[0],) if places and before[axis] > 1 else None


def _turned(user: Node, rank: int, axis: int) -> int:
    if user.target is _aten.permute.default:
        dims: list[int] = [dim % rank for dim in match.argument(user, "dims")]
        return dims.index(axis)
    swapped: list[int] = [match.argument(user, name) % rank for name in ("dim0", "dim1")]
    return swapped[1 - swapped.index(axis)] if axis in swapped else axis


def _worked_on(user: Node, rank: int) -> list[int] | None:
    """The axes that a selection, mean or roll works on; null if they are not told."""
    if user.target is _aten.adaptive_avg_pool2d.default or user.target in _RESIZES:
        return [rank - 2, rank - 1]
    if user.target is _aten.adaptive_avg_pool1d.default:
        return [rank - 1]
    dims: Any = match.argument(user, "dims" if user.target is _ROLL else "dim")
    listed = [dims] if isinstance(dims, int) else list(dims or ())
    if not listed or (user.target in _MEANS and match.argument(user, "dtype") is not None):
        return None
    return [dim % rank for dim in listed]


def _scaled_inputs(context: Context, affine: _Affine, layer: Layer) -> _Folded | None:
    """The layer for x instead of ``scale * x + offset``; null if its kernel would not be representable."""
    geometry = layer.geometry
    old = context.parameters.value(layer.weight)
    per_group = geometry.inputs // geometry.groups
    # Row o of a grouped kernel reads the inputs of its group.
    group_of = torch.arange(geometry.outputs) // (geometry.outputs // geometry.groups)
    inputs = group_of[:, None] * per_group + torch.arange(per_group)[None]
    shape = (*inputs.shape, *(1 for _ in geometry.taps))
    scale, offset = (v.expand(geometry.inputs)[inputs].reshape(shape) for v in (affine.scale, affine.offset))
    kernel = old.double() * scale
    if not linear_layers.is_representable([old], kernel):
        return None
    bias = (old.double() * offset).flatten(1).sum(1)
    before = context.value(layer.bias)
    return _Folded(layer, kernel, bias if before is None else bias + before.double())


def _scaled_outputs(context: Context, affine: _Affine, layer: Layer, part: slice) -> _Folded | None:
    """The layer that gives its part of ``scale * x + offset``; null if its kernel would not be representable."""
    scale, offset = (v if v.numel() == 1 else v[part] for v in (affine.scale, affine.offset))
    old = context.parameters.value(layer.weight)
    kernel = old.double() * scale.reshape(-1, *(1,) * (old.dim() - 1))
    if not linear_layers.is_representable([old], kernel):
        return None
    before = context.value(layer.bias)
    bias = offset.expand(layer.geometry.outputs)
    return _Folded(layer, kernel, bias if before is None else bias + before.double() * scale)


def _write(context: Context, layer: Layer, kernel: Tensor, bias: Tensor) -> None:
    context.parameters.set_value(layer.weight, kernel.float())
    if layer.bias is None and bool((bias == 0).all()):
        return
    if layer.bias is not None and context.parameters.private(layer.bias):
        context.parameters.set_value(layer.bias, bias.float())
        return
    carrier = known.constant(context.program, "bias", bias.float())
    layer.node.args = (*layer.node.args[:2], carrier, *layer.node.args[3:])

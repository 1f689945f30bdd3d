"""A node of an exported program as a weighted sum of other nodes, with one weight per channel.

Sums, differences, products with constants, batch norms in inference form and pairs of transposes are followed upwards
as long as nothing else reads what lies between. All weights are float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import match
from edgekit.export.rewrites.aliasing import Aliases
from edgekit.export.rewrites.program import Parameters

_aten = torch.ops.aten
_ADD = (_aten.add.Tensor, _aten.add_.Tensor, _aten.add.Scalar, _aten.add_.Scalar)
_SUB = (_aten.sub.Tensor, _aten.sub_.Tensor, _aten.sub.Scalar, _aten.sub_.Scalar)
_RSUB = (_aten.rsub.Tensor, _aten.rsub.Scalar)
_MUL = (_aten.mul.Tensor, _aten.mul_.Tensor, _aten.mul.Scalar, _aten.mul_.Scalar)
_DIV = (_aten.div.Tensor, _aten.div_.Tensor, _aten.div.Scalar, _aten.div_.Scalar)
_NEG = (_aten.neg.default, _aten.neg_.default)
_NORM = (_aten.batch_norm.default,)
_TURN = (_aten.transpose.int, _aten.permute.default)
LINEAR = _ADD + _SUB + _RSUB + _MUL + _DIV + _NEG + _NORM + _TURN

Tensor = torch.Tensor


@dataclass(frozen=True)
class Weight:
    """One number, or one per index of ``axis``; float64."""

    values: Tensor
    axis: int | None = None


@dataclass(frozen=True)
class Step:
    """A node in terms of its operands: ``sum(weight * operand) + offset``, then ``permute(order)``."""

    operands: tuple[tuple[Node, Weight], ...]
    offset: Weight
    order: tuple[int, ...] | None = None


class Context:
    """What a rewrite has to know of the program as it is now; made anew after every edit."""

    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        self.parameters = Parameters(program)
        self.aliases = Aliases(program)

    def value(self, node: Any) -> Tensor | None:
        """The tensor behind a float32 parameter, buffer or constant; null for any other node."""
        if not self.parameters.known(node) or not match.is_float32(node):
            return None
        return self.parameters.value(node)


def one(value: float) -> Weight:
    """The same weight for every channel."""
    return Weight(torch.tensor([value], dtype=torch.float64))


def per_channel(context: Context, operand: Any, shape: tuple[int, ...]) -> Weight | None:
    """A number, or a constant tensor that varies along one axis of ``shape`` at most when it is broadcast to it."""
    if isinstance(operand, (int, float)):
        return one(float(operand)) if math.isfinite(operand) else None
    value = context.value(operand)
    if value is None or value.dim() > len(shape):
        return None
    sizes = (1,) * (len(shape) - value.dim()) + tuple(value.shape)
    axes = [axis for axis, size in enumerate(sizes) if size != 1]
    if len(axes) > 1 or any(sizes[axis] != shape[axis] for axis in axes) or not bool(value.isfinite().all()):
        return None
    return Weight(value.double().reshape(-1), axes[0] if axes else None)


def step(context: Context, node: Node) -> Step | None:
    """The node in terms of its operands; null if it is no linear operator, or not one that is understood."""
    if not match.is_call(node, LINEAR) or not match.is_float32(node):
        return None
    if node.target in _TURN:
        return _turn(node)
    if node.target in _NORM:
        return _norm(context, node)
    if node.target in _NEG:
        return _sum(context, node, [(node.args[0], -1.0)])
    other = match.argument(node, "other")
    if node.target in _MUL or node.target in _DIV:
        return _product(context, node, other)
    alpha = float(match.argument(node, "alpha"))
    if node.target in _RSUB:
        return _sum(context, node, [(node.args[0], -alpha), (other, 1.0)])
    return _sum(context, node, [(node.args[0], 1.0), (other, alpha if node.target in _ADD else -alpha)])


def _turn(node: Node) -> Step | None:
    source: Any = node.args[0]
    rank = node.meta["val"].dim()
    if not match.is_float32(source):
        return None
    order = list(range(rank))
    if node.target is _aten.permute.default:
        dims: Any = match.argument(node, "dims")
        order = [dim % rank for dim in dims]
    else:
        first, second = match.argument(node, "dim0") % rank, match.argument(node, "dim1") % rank
        order[first], order[second] = second, first
    return Step(((source, one(1.0)),), one(0.0), tuple(order))


def _norm(context: Context, node: Node) -> Step | None:
    arguments: Any = node.args
    source, training, eps = arguments[0], match.argument(node, "training"), float(match.argument(node, "eps"))
    if training is not False or not match.is_float32(source) or node.meta["val"].dim() < 2:
        return None
    gamma, beta, mean, var = (None if n is None else context.value(n) for n in arguments[1:5])
    given = [value is not None for value in (gamma, beta)]
    if mean is None or var is None or given != [n is not None for n in arguments[1:3]]:
        return None
    scale = torch.rsqrt(var.double() + eps)
    scale = scale if gamma is None else scale * gamma.double()
    offset = -mean.double() * scale
    offset = offset if beta is None else offset + beta.double()
    if not bool((scale.isfinite() & offset.isfinite()).all()):
        return None
    return Step(((source, Weight(scale, 1)),), Weight(offset, 1))


def _product(context: Context, node: Node, other: Any) -> Step | None:
    shape = match.shape(node) or ()
    operands = [node.args[0], other]
    if node.target in _MUL and per_channel(context, operands[0], shape) is not None:
        operands.reverse()
    factor = per_channel(context, operands[1], shape)
    source = operands[0]
    if factor is None or not _fits(source, shape):
        return None
    if node.target in _DIV:
        if bool((factor.values == 0).any()):
            return None
        factor = Weight(1.0 / factor.values, factor.axis)
    return Step(((source, factor),), one(0.0))


def _sum(context: Context, node: Node, signed: list[tuple[Any, float]]) -> Step | None:
    shape = match.shape(node) or ()
    operands: list[tuple[Node, Weight]] = []
    offset = one(0.0)
    for operand, sign in signed:
        constant = per_channel(context, operand, shape)
        if constant is not None:
            offset = Weight(constant.values * sign, constant.axis)
        elif _fits(operand, shape):
            operands.append((operand, one(sign)))
        else:
            return None
    return Step(tuple(operands), offset) if operands else None


def _fits(source: Any, shape: tuple[int, ...]) -> bool:
    return match.is_float32(source) and match.shape(source) == shape


@dataclass
class Terms:
    """``root = sum(weights[node] * node) + offset``; ``axis`` is that of the channels, null while there is one number.

    ``consumed`` are the operators that compute this sum today; nothing outside reads them.
    """

    root: Node
    axis: int | None = None
    weights: dict[tuple[Node, tuple[int, ...]], Tensor] = field(default_factory=dict)
    offset: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.float64))
    consumed: list[Node] = field(default_factory=list)

    def leaves(self) -> dict[Node, Tensor] | None:
        """The weights by node; null while a leaf is transposed against the root."""
        found: dict[Node, Tensor] = {}
        for (node, order), weight in self.weights.items():
            if order != tuple(range(len(order))):
                return None
            found[node] = weight
        return found


def expansions(context: Context, root: Node) -> Iterator[Terms]:
    """The root as sums of nodes ever further up, one operator more at a time; the object is the same each time."""
    rank = root.meta["val"].dim() if match.is_float32(root) else 0
    terms = Terms(root, weights={(root, tuple(range(rank))): torch.ones(1, dtype=torch.float64)})
    refused: set[Node] = set()
    while True:
        ready = [key for key in terms.weights if key[0] not in refused and _inner(context, terms, key)]
        if not ready:
            return
        key = max(ready, key=lambda one_of: context.aliases.index(one_of[0]))
        if _expand(context, terms, key):
            yield terms
        else:
            refused.add(key[0])


def _inner(context: Context, terms: Terms, key: tuple[Node, tuple[int, ...]]) -> bool:
    """Whether this leaf may be replaced by its operands: only the sum itself reads it."""
    node, order = key
    if node is terms.root:
        return True
    if sum(other is node for other, _ in terms.weights) > 1 or not all(user in terms.consumed for user in node.users):
        return False
    turned = _turn(node) if match.is_call(node, _TURN) else None
    return turned is None or _compose(turned.order or (), order) == tuple(range(len(order)))


def _compose(first: tuple[int, ...], then: tuple[int, ...]) -> tuple[int, ...]:
    """The order of ``x.permute(first).permute(then)``."""
    return tuple(first[axis] for axis in then)


def _expand(context: Context, terms: Terms, key: tuple[Node, tuple[int, ...]]) -> bool:
    node, order = key
    found = step(context, node)
    if found is None or not context.aliases.functional(node):
        return False
    used = {weight.axis for _, weight in found.operands} | {found.offset.axis}
    # Axis 1 of this node is the axis of the root that the order takes from it.
    axes = {order.index(axis) for axis in used if axis is not None} | {
        axis for axis in (terms.axis,) if axis is not None
    }
    if len(axes) > 1:
        return False
    terms.axis = axes.pop() if axes else None
    weight = terms.weights.pop(key)
    below = order if found.order is None else _compose(found.order, order)
    for operand, own in found.operands:
        at = (operand, below)
        terms.weights[at] = terms.weights.get(at, torch.zeros(1, dtype=torch.float64)) + weight * own.values
    terms.offset = terms.offset + weight * found.offset.values
    terms.consumed.append(node)
    return True

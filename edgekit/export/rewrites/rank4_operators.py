"""Operators on tensors of more than four axes, on reshaped tensors of at most four.

Bit-equal for everything but matrix products: axes that an operator treats alike become one axis. Reshapes that only
lead to other reshapes are passed over, so that windows and heads leave no tensor of more than four axes behind.
Products become batched products of rank 3, whose sums a library may order differently.

LiteRT's GPU delegate takes tensors of at most four axes, Core ML of at most five.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import map_arg

from edgekit.export.rewrites import batched_products, graph, match
from edgekit.export.rewrites.aliasing import Aliases, is_in_place
from edgekit.export.rewrites.rank4_permute import MAX_RANK

REASON = "LiteRT's GPU delegate takes at most four axes, Core ML at most five"
BOUND = 5e-6

_aten = torch.ops.aten
Shape = tuple[int, ...]

_RESHAPES = (
    _aten.reshape.default, _aten.view.default, _aten._unsafe_view.default, _aten.flatten.using_ints,
    _aten.unflatten.int, _aten.unsqueeze.default, _aten.squeeze.default, _aten.squeeze.dim, _aten.squeeze.dims,
)  # fmt: skip
_COPIES = (_aten.contiguous.default, _aten.clone.default)
_SEVERAL = (_aten.unbind.int, _aten.split.Tensor, _aten.split_with_sizes.default, _aten.chunk.default)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many operators were replaced."""
    aliases = Aliases(program)
    changed = 0
    for node in list(program.graph.nodes):
        if node.op != "call_function" or _rank(node) <= MAX_RANK or _is_written(aliases, node):
            continue
        if node.target in _SEVERAL:
            changed += _several(program, node)
        elif node.target in _COPIES:
            changed += graph.replace(program, node, _first(node))
        else:
            result = _spread(program, node)
            changed += result is not None and graph.replace(program, node, result)
    changed += _pass_over_reshapes(program, aliases)
    if changed:
        graph.finish(program)
    return changed


def _first(node: Node) -> Node:
    """The tensor that the operator works on."""
    source = node.args[0]
    assert isinstance(source, Node)
    return source


def _rank(node: Node) -> int:
    """The most axes that a tensor has which the node reads or makes."""
    values = [n.meta.get("val") for n in (node, *node.all_input_nodes)]
    tensors = [t for value in values for t in (value if isinstance(value, (tuple, list)) else [value])]
    return max((t.dim() for t in tensors if isinstance(t, torch.Tensor)), default=0)


def _is_written(aliases: Aliases, node: Node) -> bool:
    return any(n in aliases and aliases.written(n) for n in (node, *node.all_input_nodes))


def _spread(program: ExportedProgram, node: Node) -> Node | None:
    """The operator on reshaped tensors; null where there is no form for it, or none of four axes."""
    form = _FORMS.get(node.target)
    if form is None and isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags:
        form = _pointwise
    shapes = [match.shape(n) for n in (node, *node.all_input_nodes)]
    if form is None or any(shape is None or 0 in shape for shape in shapes):
        return None
    result: Node | None = form(program, node)
    return None if result is None else _reshape(program, node, result, match.shape(node) or ())


def _reshape(program: ExportedProgram, before: Node, source: Node, shape: Sequence[int]) -> Node:
    if match.shape(source) == tuple(shape):
        return source
    return graph.call(program, before, _aten.reshape.default, source, list(shape))


def _around(program: ExportedProgram, before: Node, source: Any, axis: int) -> Node:
    """The tensor with three axes: what is before ``axis``, ``axis`` itself, what is behind it."""
    shape = match.shape(source) or ()
    axis %= len(shape)
    return _reshape(program, before, source, (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])))


def _several(program: ExportedProgram, node: Node) -> bool:
    """The pieces of a tensor that is taken apart along one axis, as slices."""
    pieces: Any = node.meta["val"]
    axis, unbound = match.argument(node, "dim"), node.target is _aten.unbind.int
    sizes = [1 if unbound else int(piece.shape[axis]) for piece in pieces]
    if 0 in sizes or not all(user.target is operator.getitem for user in node.users):
        return False
    whole = _around(program, node, node.args[0], axis)
    for user in list(node.users):
        index: Any = user.args[1]
        start = sum(sizes[:index])
        piece = graph.call(program, user, _aten.slice.Tensor, whole, 1, start, start + sizes[index])
        graph.replace(program, user, _reshape(program, user, piece, match.shape(user) or ()))
    program.graph.erase_node(node)
    return True


def _select(program: ExportedProgram, node: Node) -> Node:
    whole = _around(program, node, node.args[0], match.argument(node, "dim"))
    index = match.argument(node, "index") % (match.shape(whole) or ())[1]
    return graph.call(program, node, _aten.slice.Tensor, whole, 1, index, index + 1)


def _slice(program: ExportedProgram, node: Node) -> Node:
    whole = _around(program, node, node.args[0], match.argument(node, "dim"))
    bounds = [match.argument(node, name) for name in ("start", "end", "step")]
    return graph.call(program, node, _aten.slice.Tensor, whole, 1, *bounds)


def _cat(program: ExportedProgram, node: Node) -> Node:
    axis, tensors = match.argument(node, "dim"), match.argument(node, "tensors")
    return graph.call(program, node, _aten.cat.default, [_around(program, node, t, axis) for t in tensors], 1)


def _stack(program: ExportedProgram, node: Node) -> Node:
    shape, tensors = match.shape(node) or (), match.argument(node, "tensors")
    axis = match.argument(node, "dim") % len(shape)
    form = (math.prod(shape[:axis]), 1, math.prod(shape[axis + 1 :]))
    return graph.call(program, node, _aten.cat.default, [_reshape(program, node, t, form) for t in tensors], 1)


def _softmax(program: ExportedProgram, node: Node) -> Node:
    whole = _around(program, node, _first(node), match.argument(node, "dim"))
    return graph.call(program, node, node.target, whole, 1, *node.args[2:], **node.kwargs)


def _linear(program: ExportedProgram, node: Node) -> Node:
    rows = _around(program, node, node.args[0], -1)
    flat = _reshape(program, node, rows, (match.shape(rows) or ())[:2])
    return graph.call(program, node, node.target, flat, *node.args[1:], **node.kwargs)


def _layer_norm(program: ExportedProgram, node: Node) -> Node | None:
    axes = match.argument(node, "normalized_shape")
    return _linear(program, node) if len(axes) == 1 else None


def _reduce(program: ExportedProgram, node: Node) -> Node | None:
    shape = match.shape(_first(node)) or ()
    axes = match.argument(node, "dim") or range(len(shape))
    reduced = {axis % len(shape) for axis in axes}
    groups = [(key, [shape[a] for a in run]) for key, run in groupby(range(len(shape)), reduced.__contains__)]
    if len(groups) > MAX_RANK:
        return None
    source = _reshape(program, node, _first(node), [math.prod(sizes) for _, sizes in groups])
    places = [place for place, (key, _) in enumerate(groups) if key]
    return graph.call(program, node, node.target, source, places, True, **node.kwargs)


def _merged(shapes: Sequence[Shape], out: Shape) -> list[list[int]] | None:
    """Runs of axes that every operand has in full or repeats as one; null if there are more than four."""
    full = [(1,) * (len(out) - len(shape)) + shape for shape in shapes]
    kept = [axis for axis, size in enumerate(out) if size != 1]
    runs = [list(run) for _, run in groupby(kept, lambda axis: tuple(shape[axis] == 1 for shape in full))]
    return runs if len(runs) <= MAX_RANK else None


def _pointwise(program: ExportedProgram, node: Node) -> Node | None:
    out = match.shape(node) or ()
    sources = node.all_input_nodes
    runs = _merged([match.shape(n) or () for n in sources], out)
    if runs is None or is_in_place(node):
        return None
    of = {n: _over_runs(program, node, n, runs, len(out)) for n in sources}
    args, kwargs = map_arg((node.args, node.kwargs), of.__getitem__)
    return graph.call(program, node, node.target, *args, **kwargs)


def _over_runs(program: ExportedProgram, before: Node, source: Node, runs: list[list[int]], rank: int) -> Node:
    shape = match.shape(source) or ()
    full = (1,) * (rank - len(shape)) + shape
    return _reshape(program, before, source, [math.prod(full[axis] for axis in run) for run in runs])


def _expand(program: ExportedProgram, node: Node) -> Node | None:
    source, out = node.args[0], match.shape(node) or ()
    assert isinstance(source, Node)
    runs = _merged([match.shape(source) or ()], out)
    if runs is None:
        return None
    flat = _over_runs(program, node, source, runs, len(out))
    return graph.call(program, node, _aten.expand.default, flat, [math.prod(out[axis] for axis in run) for run in runs])


_FORMS: dict[Any, Callable[[ExportedProgram, Node], Node | None]] = {
    _aten.select.int: _select,
    _aten.slice.Tensor: _slice,
    _aten.cat.default: _cat,
    _aten.stack.default: _stack,
    _aten.softmax.int: _softmax,
    _aten._softmax.default: _softmax,
    _aten.linear.default: _linear,
    _aten.layer_norm.default: _layer_norm,
    _aten.matmul.default: batched_products.product,
    _aten.expand.default: _expand,
    **dict.fromkeys((_aten.mean.dim, _aten.sum.dim_IntList, _aten.amax.default, _aten.amin.default), _reduce),
}


def _pass_over_reshapes(program: ExportedProgram, aliases: Aliases) -> int:
    """Let a reshape of a reshape with more than four axes read what that one reads; drop those that nothing reads."""
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, _RESHAPES):
            continue
        source: Any = node.args[0]
        while match.is_call(source, _RESHAPES) and len(match.shape(source) or ()) > MAX_RANK:
            if source in aliases and aliases.written(source):
                break
            source = source.args[0]
        if source is not node.args[0]:
            result = graph.call(program, node, _aten.reshape.default, source, list(match.shape(node) or ()))
            changed += graph.replace(program, node, result)
    for node in reversed(list(program.graph.nodes)):
        if match.is_call(node, _RESHAPES) and not node.users:
            program.graph.erase_node(node)
    return changed

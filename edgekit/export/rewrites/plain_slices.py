"""Write every way of taking a tensor apart as slices and reshapes.

Bit-equal: ``select``, ``unbind``, ``split``, ``chunk``, ``squeeze`` and ``unsqueeze`` only pick and regroup elements.
XNNPACK (ExecuTorch 1.5) takes slices of consecutive positions and reshapes, but none of those: the queries, keys and
values of an attention (``unbind``) or a gate (``chunk``) split the partition.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match
from edgekit.export.rewrites.aliasing import Aliases

REASON = "XNNPACK takes slices and reshapes, but no select, unbind, split, chunk or squeeze"
BOUND = 0.0

_aten = torch.ops.aten
_SINGLE = (
    _aten.select.int, _aten.squeeze.default, _aten.squeeze.dim, _aten.squeeze.dims, _aten.unsqueeze.default,
)  # fmt: skip
_SEVERAL = (
    _aten.unbind.int, _aten.split.Tensor, _aten.split.sizes, _aten.split_with_sizes.default, _aten.chunk.default,
    _aten.tensor_split.sections, _aten.tensor_split.indices,
)  # fmt: skip


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many operators were replaced."""
    aliases = Aliases(program)
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, _SINGLE + _SEVERAL) or not match.is_float32(node.args[0]):
            continue
        if aliases.written(node) or 0 in (match.shape(node.args[0]) or ()):
            continue
        if node.target in _SINGLE:
            changed += graph.replace(program, node, _single(program, node))
        else:
            changed += _several(program, node)
    if changed:
        graph.finish(program)
    return changed


def _single(program: ExportedProgram, node: Node) -> Node:
    source: Any = node.args[0]
    if node.target is _aten.select.int:
        source = _slice(program, node, source, match.argument(node, "dim"), match.argument(node, "index"), 1)
    return _reshape(program, node, source, node)


def _several(program: ExportedProgram, node: Node) -> bool:
    """Replace the pieces that are read; False if one of them is empty."""
    pieces: Any = node.meta["val"]
    source, axis, unbound = node.args[0], match.argument(node, "dim"), node.target is _aten.unbind.int
    sizes = [1 if unbound else int(piece.shape[axis]) for piece in pieces]
    if 0 in sizes or not all(user.target is operator.getitem for user in node.users):
        return False
    for user in list(node.users):
        index: Any = user.args[1]
        if user.users:
            piece = _slice(program, user, source, axis, sum(sizes[:index]), sizes[index])
            # An input as a whole can't be returned, so it passes through a reshape.
            piece = _reshape(program, user, piece, user) if unbound or piece is source else piece
            graph.replace(program, user, piece)
        else:
            program.graph.erase_node(user)
    program.graph.erase_node(node)
    return True


def _slice(program: ExportedProgram, before: Node, source: Any, axis: int, start: int, size: int) -> Node:
    whole = (match.shape(source) or ())[axis]
    start %= whole
    taken: Node = source
    if size < whole:
        taken = graph.call(program, before, _aten.slice.Tensor, source, axis, start, start + size)
    return taken


def _reshape(program: ExportedProgram, before: Node, source: Node, like: Node) -> Node:
    return graph.call(program, before, _aten.reshape.default, source, list(match.shape(like) or ()))

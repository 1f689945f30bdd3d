"""Permutes of more than four axes as permutes of at most four, between reshapes.

Bit-equal: elements only change places. Axes of size 1 are dropped and axes that stay side by side are one axis: windows
(Swin, MaxViT), queries, keys and values of an attention, pixel and channel shuffles are then one permute of rank 3 or
4. What still has more axes is a sequence of permutes of at most four blocks, the shortest one up to six axes.

LiteRT's GPU delegate takes tensors of at most four axes, Core ML of at most five.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import combinations, pairwise, permutations
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match
from edgekit.export.rewrites.aliasing import Aliases

REASON = "LiteRT's GPU delegate takes at most four axes, Core ML at most five"
BOUND = 0.0
MAX_RANK = 4

_aten = torch.ops.aten
_PERMUTES = (_aten.permute.default, _aten.transpose.int, _aten.movedim.int, _aten.movedim.intlist)
# Up to this many axes all orders are searched for the shortest sequence.
_SEARCHED = 6
Order = tuple[int, ...]


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many permutes were replaced."""
    aliases = Aliases(program)
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, _PERMUTES) or len(match.shape(node) or ()) <= MAX_RANK or aliases.written(node):
            continue
        changed += graph.replace(program, node, _permuted(program, node))
    if changed:
        graph.finish(program)
    return changed


def _permuted(program: ExportedProgram, node: Node) -> Node:
    source: Any = node.args[0]
    sizes, order = merged(match.shape(source) or (), order_of(node))
    result = source
    for shape, step in steps(sizes, order):
        result = graph.call(program, node, _aten.reshape.default, result, list(shape))
        result = graph.call(program, node, _aten.permute.default, result, list(step))
    return graph.call(program, node, _aten.reshape.default, result, list(match.shape(node) or ()))


def order_of(node: Node) -> Order:
    """For each axis of a permute's result the axis of its input."""
    rank = len(match.shape(node) or ())
    if node.target is _aten.permute.default:
        axes: Any = node.args[1]
        return tuple(axis % rank for axis in axes)
    # The others say where axes go; torch says it of the axes' numbers.
    example = torch.empty(tuple(range(1, rank + 1)), device="meta")
    moved: Any = node.target
    return tuple(int(size) - 1 for size in moved(example, *node.args[1:]).shape)


def merged(shape: Order, order: Order) -> tuple[Order, Order]:
    """The same permute with the fewest axes: without those of size 1, and with one for those that stay together."""
    kept = [axis for axis in order if shape[axis] != 1]
    rank_of = {axis: place for place, axis in enumerate(sorted(kept))}
    groups: list[list[int]] = []
    for axis in (rank_of[axis] for axis in kept):
        if groups and axis == groups[-1][-1] + 1:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    sizes = [shape[axis] for axis in sorted(kept)]
    starts = sorted(group[0] for group in groups)
    by_start = {group[0]: group for group in groups}
    products = tuple(math.prod(sizes[axis] for axis in by_start[start]) for start in starts)
    return products, tuple(starts.index(group[0]) for group in groups)


def steps(sizes: Order, order: Order) -> Iterator[tuple[Order, Order]]:
    """Shapes of at most four axes and permutes of them that together are ``order``."""
    now = tuple(range(len(order)))  # which of the original axes is at each place
    while now != order:
        cuts, turn = _next_move(now, order)
        bounds = (0, *cuts, len(order))
        blocks = [now[a:b] for a, b in pairwise(bounds)]
        yield tuple(math.prod(sizes[axis] for axis in block) for block in blocks), turn
        now = tuple(axis for place in turn for axis in blocks[place])


def _next_move(now: Order, goal: Order) -> tuple[Order, Order]:
    """Where to cut the axes into at most four blocks, and the blocks' new order."""
    relative = tuple(goal.index(axis) for axis in now)
    if len(now) <= _SEARCHED:
        return _shortest(relative)
    # Bring the axis of the first place that is wrong there: three blocks and one that stays in front.
    place = next(i for i in range(len(relative)) if relative[i] != i)
    found = relative.index(place)
    cuts = tuple(sorted({cut for cut in (place, found, found + 1) if 0 < cut < len(now)}))
    first = 1 if place else 0
    turn = [*range(first), first + 1, first, *range(first + 2, len(cuts) + 1)]
    return cuts, tuple(turn)


@cache
def _shortest(relative: Order) -> tuple[Order, Order]:
    """The first move of a shortest way that sorts ``relative``, by breadth-first search."""
    rank = len(relative)
    goal = tuple(range(rank))
    seen = {relative}
    frontier: list[tuple[Order, tuple[Order, Order] | None]] = [(relative, None)]
    while True:
        following: list[tuple[Order, tuple[Order, Order] | None]] = []
        for state, first in frontier:
            for cuts, turn in _moves(rank):
                bounds = (0, *cuts, rank)
                blocks = [state[a:b] for a, b in pairwise(bounds)]
                reached = tuple(axis for place in turn for axis in blocks[place])
                if reached == goal:
                    return first or (cuts, turn)
                if reached not in seen:
                    seen.add(reached)
                    following.append((reached, first or (cuts, turn)))
        frontier = following


@cache
def _moves(rank: int) -> tuple[tuple[Order, Order], ...]:
    found = []
    for blocks in range(2, MAX_RANK + 1):
        for cuts in combinations(range(1, rank), blocks - 1):
            found += [(cuts, turn) for turn in permutations(range(blocks)) if turn != tuple(range(blocks))]
    return tuple(found)

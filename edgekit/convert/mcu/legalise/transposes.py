"""A TRANSPOSE before another TRANSPOSE, or before a reduction, becomes part of it.

Models of PyTorch are channel-first, and their converter moves the channels where it is told to: before a global pool,
for one. A reduction sums whole numbers, so the order in which it reads does not matter; the order of what stays does.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgekit.convert.mcu.graph import Graph, Operator, Tensor
from edgekit.convert.mcu.legalise.constants import permutation, reduced_axes
from edgekit.convert.mcu.legalise.rewrite import REDUCTIONS, with_operators


def merge_transposes(graph: Graph) -> Graph:
    """The graph with transposes merged into what reads them; those that nobody reads any more are left for dead."""
    graph = replace(graph, tensors=list(graph.tensors))
    operators: list[Operator] = []
    transposes: dict[int, Operator] = {}  # by what they make, merged already
    for operator in graph.operators:
        before = transposes.get(operator.inputs[0]) if operator.inputs else None
        operators.append(_merged(graph, operator, before) if before else operator)
        if operator.kind == "TRANSPOSE":
            transposes[operator.outputs[0]] = operators[-1]
    return with_operators(graph, operators)


def _merged(graph: Graph, operator: Operator, before: Operator) -> Operator:
    """The operator reading what ``before`` reads, or as it was."""
    order = permutation(before, graph.tensors)
    source, between = graph.tensors[before.inputs[0]], graph.tensors[operator.inputs[0]]
    if order is None or source.quantisation != between.quantisation or not _agrees(source, between, order):
        return operator
    if operator.kind == "TRANSPOSE":
        second = permutation(operator, graph.tensors)
        axes = None if second is None else [order[axis] for axis in second]
    else:
        axes = _reduced(graph, operator, source, order) if operator.kind in REDUCTIONS else None
    if axes is None:
        return operator
    graph.tensors.append(Tensor(f"axes of {operator.place}", (len(axes),), "int32", data=np.array(axes, np.int32)))
    return replace(operator, inputs=(before.inputs[0], len(graph.tensors) - 1))


def _agrees(source: Tensor, between: Tensor, order: tuple[int, ...]) -> bool:
    return tuple(source.shape[axis] for axis in order) == between.shape


def _reduced(graph: Graph, operator: Operator, source: Tensor, order: tuple[int, ...]) -> list[int] | None:
    """The axes of the source that a reduction of the transposed tensor sums over; null if the rest changes places."""
    gone, rank = reduced_axes(operator, graph.tensors), len(order)
    if gone is None:
        return None
    stays = [order[axis] for axis in range(rank) if axis not in gone and source.shape[order[axis]] != 1]
    left = math.prod(source.shape[axis] for axis in stays)
    if stays != sorted(stays) or left != math.prod(graph.tensors[operator.outputs[0]].shape):
        return None
    return sorted(order[axis] for axis in gone)

"""Operators that move no byte vanish: their output lives in the buffer of their input."""

from __future__ import annotations

import math

from edgekit.convert.mcu.graph import Graph, Operator
from edgekit.convert.mcu.legalise.constants import permutation, reduced_axes
from edgekit.convert.mcu.legalise.rewrite import REDUCTIONS, VIEWS, with_operators


def without_views(graph: Graph) -> tuple[Graph, dict[int, int]]:
    """The graph without them, and per tensor that is a view the tensor whose bytes it has."""
    home: dict[int, int] = {}
    kept = []
    for operator in graph.operators:
        if moves_nothing(graph, operator):
            source = operator.inputs[0]
            home[operator.outputs[0]] = home.get(source, source)
        else:
            kept.append(operator)
    return with_operators(graph, kept), home


def moves_nothing(graph: Graph, operator: Operator) -> bool:
    """Whether the bytes of its result are those of its first input, which is computed."""
    if not operator.inputs or operator.inputs[0] < 0 or len(operator.outputs) != 1:
        return False
    source, made = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    if source.data is not None or source.dtype != made.dtype or math.prod(source.shape) != math.prod(made.shape):
        return False
    if operator.kind in VIEWS or (operator.kind == "CONCATENATION" and len(operator.inputs) == 1):
        return True
    if operator.kind in ("PAD", "SLICE", "STRIDED_SLICE"):  # of everything
        return source.shape == made.shape and not _reverses(graph, operator)
    if operator.kind == "QUANTIZE":  # from int8 to the same int8
        return source.quantisation == made.quantisation
    if operator.kind == "TRANSPOSE":  # of axes of size 1 only
        order = permutation(operator, graph.tensors)
        moved = None if order is None else [axis for axis in order if source.shape[axis] != 1]
        return moved is not None and moved == sorted(moved)
    if operator.kind in REDUCTIONS:  # over axes of size 1
        return source.quantisation == made.quantisation and _reduces_nothing(graph, operator)
    return False


def _reduces_nothing(graph: Graph, operator: Operator) -> bool:
    """Whether each position of a reduction's result has one value to be made of."""
    shape = graph.tensors[operator.inputs[0]].shape
    axes = reduced_axes(operator, graph.tensors)
    return axes is not None and len(axes) > 0 and all(shape[axis] == 1 for axis in axes)


def _reverses(graph: Graph, operator: Operator) -> bool:
    """A STRIDED_SLICE of everything may still go backwards."""
    if operator.kind != "STRIDED_SLICE":
        return False
    strides = graph.tensors[operator.inputs[3]].data if len(operator.inputs) == 4 else None
    return strides is None or bool((strides < 0).any())

"""Operators whose results nobody reads. Run first, it also drops the arithmetic on shapes that dynamic models carry."""

from __future__ import annotations

from dataclasses import replace

from edgekit.convert.mcu.graph import Graph
from edgekit.convert.mcu.legalise.rewrite import VIEWS, with_operators


def without_shape_operands(graph: Graph) -> Graph:
    """Operators that move no byte keep their first input only: the file states the shape of their output."""
    operators = [replace(op, inputs=op.inputs[:1]) if op.kind in VIEWS else op for op in graph.operators]
    return with_operators(graph, operators)


def without_dead(graph: Graph) -> Graph:
    """Without the operators of which no output is read, by whatever distance, for an output of the model."""
    needed = set(graph.outputs)
    kept = []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
            kept.append(operator)
    return with_operators(graph, kept[::-1])

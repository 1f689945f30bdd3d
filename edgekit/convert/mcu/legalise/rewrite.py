"""What several passes ask of a graph and do to it. Passes never change a graph: they build a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgekit.convert.mcu.graph import Graph, Operator

VIEWS = frozenset(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"))  # kinds that move no byte
REDUCTIONS = frozenset(("MEAN", "REDUCE_MAX", "SUM"))


def readers(graph: Graph) -> dict[int, list[Operator]]:
    """The operators that read each tensor."""
    found: dict[int, list[Operator]] = {}
    for operator in graph.operators:
        for number in operator.inputs:
            found.setdefault(number, []).append(operator)
    return found


def makers(graph: Graph) -> dict[int, Operator]:
    """The operator that makes each computed tensor."""
    return {number: operator for operator in graph.operators for number in operator.outputs}


def with_operators(graph: Graph, operators: Sequence[Operator]) -> Graph:
    """The graph with other operators."""
    return replace(graph, operators=list(operators))


def renamed(graph: Graph, other: Mapping[int, int]) -> Graph:
    """The graph with tensors read in place of others; chains are followed, outputs of the model included."""

    def last(number: int) -> int:
        while number in other:
            number = other[number]
        return number

    operators = [replace(op, inputs=tuple(last(n) for n in op.inputs)) for op in graph.operators]
    return replace(graph, operators=operators, outputs=tuple(last(n) for n in graph.outputs))

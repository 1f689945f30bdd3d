"""Operators whose result at each position follows from one int8 value of one tensor become one LOOKUP.

x * sigmoid(1.702 * x) is a MUL, a LOGISTIC and a MUL: a function of x, which has 256 values. The table holds what the
operators' own integer arithmetic makes of them, so that nothing changes but that x is walked through once and nothing
between it and the result is kept in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.graph import Graph, Operator, Quantisation, Tensor
from edgekit.convert.mcu.legalise.rewrite import makers, readers, with_operators
from edgekit.convert.mcu.legalise.views import moves_nothing
from edgekit.convert.mcu.pairs import PAIRS, result
from edgekit.convert.mcu.tables import LOOKUP, TABLES, stored_values

Int64s = npt.NDArray[np.int64]


def fold_functions(graph: Graph) -> Graph:
    """The graph with trees of operators on one tensor as LOOKUP operators, whose option ``table`` is int8[256].

    A tree is folded if nobody outside reads what it makes on the way. A single operator that has a table stays.
    """
    try:
        return _folded(graph)
    except ArithmeticError:  # LiteRT has no result for one of them: the lowering refuses it by name
        return graph


def _folded(graph: Graph) -> Graph:
    trees = _Trees(graph)
    gone: set[int] = set()
    folded: dict[int, Operator] = {}
    for operator in reversed(graph.operators):
        if not trees.is_root(operator) or operator.outputs[0] in gone:
            continue
        root = operator.outputs[0]
        source, inner = trees.largest(root)
        lookup = _lookup(graph, source, trees.operators([*inner, root])) if source != root else None
        if lookup is not None:
            folded[root] = lookup
            gone |= inner
    kept = [op for op in graph.operators if not gone.intersection(op.outputs)]
    return with_operators(graph, [folded.get(op.outputs[0], op) if op.outputs else op for op in kept])


class _Trees:
    """Which tensors are functions of which others, value by value."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._outputs = frozenset(graph.outputs)
        self._made_by, self._read_by = makers(graph), readers(graph)
        self._place = {op.outputs[0]: n for n, op in enumerate(graph.operators) if op.outputs}
        self._operands: dict[int, tuple[int, ...]] = {}
        self._above: dict[int, int] = {}  # the nearest tensor from whose values alone those of this one follow
        for operator in graph.operators:
            operands = _operands(graph, operator)
            above = self._nearest_common(operands) if operands else None
            if above is not None:
                self._operands[operator.outputs[0]] = operands
                self._above[operator.outputs[0]] = above

    def is_root(self, operator: Operator) -> bool:
        """Whether a tree may end with it: its result is a function of one tensor, and not the same bytes."""
        return (
            bool(operator.outputs) and operator.outputs[0] in self._above and not moves_nothing(self._graph, operator)
        )

    def largest(self, root: int) -> tuple[int, set[int]]:
        """The farthest tensor from which this one may be computed at once, and the tensors between that vanish then.

        The tensor itself and nothing, if something between it and the nearest one is needed elsewhere.
        """
        source, tree = root, {root}
        while source in self._above:
            above = self._above[source]
            more = self._between(above, source) | {source}
            if not all(self._is_read_in(n, tree, more) for n in more - {root}):
                break
            source = above
            tree |= more
        return source, tree - {root}

    def operators(self, made: Sequence[int]) -> list[Operator]:
        """The operators that make these tensors, in the graph's order."""
        return [self._made_by[number] for number in sorted(made, key=self._place.__getitem__)]

    def _nearest_common(self, numbers: tuple[int, ...]) -> int | None:
        first, *others = (self._line(number) for number in numbers)
        return next((n for n in first if all(n in line for line in others)), None)

    def _line(self, number: int) -> list[int]:
        line = [number]
        while line[-1] in self._above:
            line.append(self._above[line[-1]])
        return line

    def _between(self, above: int, below: int) -> set[int]:
        found: set[int] = set()
        waiting = list(self._operands[below])
        while waiting:
            number = waiting.pop()
            if number != above and number not in found:
                found.add(number)
                waiting.extend(self._operands[number])
        return found

    def _is_read_in(self, number: int, tree: set[int], more: set[int]) -> bool:
        """Whether a tensor is no output of the model, and all that is made of it belongs to the tree."""
        made = (n for reader in self._read_by[number] for n in reader.outputs)
        return number not in self._outputs and all(n in tree or n in more for n in made)


def _operands(graph: Graph, operator: Operator) -> tuple[int, ...]:
    """The computed tensors from which it makes its result position by position; none if it does otherwise."""
    if len(operator.outputs) != 1 or not operator.inputs or min(operator.inputs) < 0:
        return ()
    if moves_nothing(graph, operator):
        return operator.inputs[:1]
    made, tensors = graph.tensors[operator.outputs[0]], [graph.tensors[number] for number in operator.inputs]
    wanted = 1 if operator.kind in TABLES else 2 if operator.kind in PAIRS else 0
    if len(tensors) != wanted or not all(_is_int8(tensor) for tensor in (made, *tensors)):
        return ()
    if not all(_is_alike(t, made) if t.data is None else _is_uniform(t, made) for t in tensors):
        return ()
    return tuple(dict.fromkeys(number for number in operator.inputs if graph.tensors[number].data is None))


def _is_int8(tensor: Tensor) -> bool:
    return tensor.dtype == "int8" and tensor.quantisation is not None and len(tensor.quantisation.scales) == 1


def _is_alike(tensor: Tensor, made: Tensor) -> bool:
    """Whether an operand lies in memory as the result does."""
    missing = len(made.shape) - len(tensor.shape)
    return math.prod(made.shape) > 0 and (1,) * missing + tensor.shape == made.shape


def _is_uniform(tensor: Tensor, made: Tensor) -> bool:
    """Whether a constant is the same value at every position of the result."""
    values, missing = tensor.data, len(made.shape) - len(tensor.shape)
    if values is None or not values.size or missing < 0 or (values != values.flat[0]).any():
        return False
    return all(own in (1, size) for own, size in zip(tensor.shape, made.shape[missing:], strict=True))


def _lookup(graph: Graph, source: int, operators: Sequence[Operator]) -> Operator | None:
    """The tree of these operators, the last being its root, as one; null if that is nothing new."""
    working = [operator for operator in operators if not moves_nothing(graph, operator)]
    if len(working) == 1 and working[0].kind in TABLES:
        return None
    values = {source: stored_values()}
    for operator in operators:
        values[operator.outputs[0]] = _values(graph, operator, values)
    root = operators[-1]
    table = values[root.outputs[0]].astype(np.int8)
    return replace(root, kind=LOOKUP, inputs=(source,), options={"table": table})


def _values(graph: Graph, operator: Operator, values: dict[int, Int64s]) -> Int64s:
    """What an operator makes of each of the 256 values of the tree's source."""
    first = operator.inputs[0]
    if moves_nothing(graph, operator):
        return values[first]
    output = _quantisation(graph, operator.outputs[0])
    if operator.kind in TABLES:
        table = TABLES[operator.kind](operator.options, _quantisation(graph, first), output)
        looked_up: Int64s = table[values[first] & 0xFF].astype(np.int64)
        return looked_up
    a, b = (_operand(graph, number, values) for number in operator.inputs)
    scales = (_quantisation(graph, first), _quantisation(graph, operator.inputs[1]), output)
    return result(operator.kind, operator.options, (a, b), scales)


def _operand(graph: Graph, number: int, values: dict[int, Int64s]) -> Int64s:
    constant = graph.tensors[number].data
    return values[number] if constant is None else constant.reshape(-1)[:1].astype(np.int64)


def _quantisation(graph: Graph, number: int) -> Quantisation:
    quantisation = graph.tensors[number].quantisation
    if quantisation is None:
        raise AssertionError(f"{graph.tensors[number].name} was taken into a tree without a scale")
    return quantisation

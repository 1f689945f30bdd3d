"""The passes in their order."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from edgekit.convert.mcu.accept import check_graph, check_operators, check_order, check_precision
from edgekit.convert.mcu.graph import Graph
from edgekit.convert.mcu.legalise.activations import fuse_activations
from edgekit.convert.mcu.legalise.boundary import End, without_boundary
from edgekit.convert.mcu.legalise.constants import fold_constants
from edgekit.convert.mcu.legalise.dead import without_dead, without_shape_operands
from edgekit.convert.mcu.legalise.ends import without_outer_transposes
from edgekit.convert.mcu.legalise.functions import fold_functions
from edgekit.convert.mcu.legalise.padding import fold_padding
from edgekit.convert.mcu.legalise.rewrite import VIEWS
from edgekit.convert.mcu.legalise.transposes import merge_transposes
from edgekit.convert.mcu.legalise.views import without_views

_VANISHING = VIEWS | {"QUANTIZE", "DEQUANTIZE", "SUM"}  # some of them or all


@dataclass(frozen=True)
class Legal:
    """A graph that can be lowered. ``home``: per view, the tensor whose bytes it has."""

    graph: Graph
    home: dict[int, int]
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]


def legalise(graph: Graph, known: Container[str], *, reorder: bool = False) -> Legal:
    """Check the graph and rewrite it exactly; ``known`` has the names of the operators that can be lowered.

    ``reorder``: the host may be left to transpose inputs and outputs.

    Raises:
        ConvertError: the graph can't be compiled; see accept.py.
    """
    live = without_dead(without_shape_operands(graph))
    check_precision(live)
    check_order(graph)
    graph = live
    check_graph(graph, _Either(known, _VANISHING))
    graph, inputs, outputs = without_boundary(graph)
    graph = without_dead(merge_transposes(fold_constants(graph)))
    if reorder:
        graph, inputs, outputs = without_outer_transposes(graph, inputs, outputs)
        graph = without_dead(graph)
    graph = fold_padding(graph)
    graph = fuse_activations(graph)
    graph = fold_functions(graph)
    graph, home = without_views(graph)
    check_operators(graph, known)
    return Legal(graph, home, inputs, outputs)


@dataclass(frozen=True)
class _Either:
    one: Container[str]
    other: Container[str]

    def __contains__(self, name: object) -> bool:
        return name in self.one or name in self.other

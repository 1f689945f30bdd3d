"""A TRANSPOSE at an input or output of the model, left to the host: only where the caller says that the host does it.

A model of PyTorch is channel-first, its converted form begins with a TRANSPOSE of the whole image, and on a board that
would hold the image twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgekit.convert.mcu.graph import Graph, Operator
from edgekit.convert.mcu.legalise.boundary import End
from edgekit.convert.mcu.legalise.constants import permutation
from edgekit.convert.mcu.legalise.rewrite import makers, readers, renamed

MAX_RANK = 5  # of an input or output whose order the packed model can state

Ends = tuple[End, ...]


def without_outer_transposes(graph: Graph, inputs: Ends, outputs: Ends) -> tuple[Graph, Ends, Ends]:
    """The graph between what the TRANSPOSE operators at its ends make and read; its ends with their order of axes."""
    reading = readers(graph)
    moved = {end.tensor: _moved_input(graph, end, reading.get(end.tensor, [])) for end in inputs}
    aliases: dict[int, int] = {}
    for end in inputs:
        stored = moved[end.tensor]
        if stored is not None:
            aliases.update(
                {op.outputs[0]: stored.tensor for op in reading[end.tensor] if op.outputs[0] != stored.tensor}
            )
    kept = [op for op in graph.operators if not op.inputs or moved.get(op.inputs[0]) is None]
    graph = renamed(replace(graph, operators=kept), aliases)
    inputs = tuple(replace(moved[end.tensor] or end, name=end.name) for end in inputs)
    outputs = tuple(replace(end, tensor=number) for end, number in zip(outputs, graph.outputs, strict=True))
    outputs = _moved_outputs(graph, outputs)
    graph = replace(graph, inputs=tuple(e.tensor for e in inputs), outputs=tuple(e.tensor for e in outputs))
    return graph, inputs, outputs


def _moved_input(graph: Graph, end: End, reading: Sequence[Operator]) -> End | None:
    """The input as its TRANSPOSE leaves it, if nobody reads it otherwise."""
    orders = {_order(graph, operator) for operator in reading}
    if len(orders) != 1 or None in orders or end.tensor in graph.outputs:
        return None
    return End(reading[0].outputs[0], end.name, end.float_outside, orders.pop() or ())


def _moved_outputs(graph: Graph, outputs: Ends) -> Ends:
    """The outputs as they are before their TRANSPOSE, which is dead then unless somebody else reads it."""
    made_by = makers(graph)
    found = []
    for end in outputs:
        maker = made_by.get(end.tensor)
        order = _order(graph, maker) if maker else None
        if maker is None or order is None or graph.tensors[maker.inputs[0]].data is not None:
            found.append(end)
        else:
            axes = tuple(int(axis) for axis in np.argsort(order))
            found.append(replace(end, tensor=maker.inputs[0], axes=axes))
    return tuple(found)


def _order(graph: Graph, operator: Operator) -> tuple[int, ...] | None:
    """The permutation of a TRANSPOSE that keeps the values as they are."""
    if operator.kind != "TRANSPOSE":
        return None
    order = permutation(operator, graph.tensors)
    source, made = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    if order is None or len(order) > MAX_RANK or source.quantisation != made.quantisation:
        return None
    return order if tuple(source.shape[axis] for axis in order) == made.shape else None

"""A RELU, RELU6 or RELU_N1_TO_1 becomes the clamp of the operator before it.

Exact if both tensors have the same scale and zero point: the requantisation between them is then by 1, and two clamps
are one. The operator before must have no activation yet, and nobody else may read its result.
"""

from __future__ import annotations

from dataclasses import replace

from edgekit.convert.mcu.graph import Graph, Operator
from edgekit.convert.mcu.legalise.rewrite import makers, readers, with_operators

_ACTIVATIONS = frozenset(("RELU", "RELU6", "RELU_N1_TO_1"))
_WITH_CLAMP = frozenset(
    ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D")
)


def fuse_activations(graph: Graph) -> Graph:
    """The graph with separate activations fused where that is exact."""
    made_by, read_by = makers(graph), readers(graph)
    fused: dict[int, tuple[str, int]] = {}  # output of the operator before: activation, output of the activation
    gone = set()
    for operator in graph.operators:
        if operator.kind not in _ACTIVATIONS or not _fits(graph, operator, made_by, read_by):
            continue
        fused[operator.inputs[0]] = (operator.kind, operator.outputs[0])
        gone.add(operator.outputs[0])
    kept = []
    for operator in graph.operators:
        if set(operator.outputs) & gone:
            continue
        if operator.outputs and operator.outputs[0] in fused:
            function, output = fused[operator.outputs[0]]
            operator = replace(
                operator, outputs=(output,), options={**operator.options, "fused_activation_function": function}
            )
        kept.append(operator)
    return with_operators(graph, kept)


def _fits(graph: Graph, operator: Operator, made_by: dict[int, Operator], read_by: dict[int, list[Operator]]) -> bool:
    if len(operator.inputs) != 1 or len(operator.outputs) != 1:
        return False
    number = operator.inputs[0]
    before = made_by.get(number)
    if before is None or before.kind not in _WITH_CLAMP or len(before.outputs) != 1:
        return False
    source, made = graph.tensors[number], graph.tensors[operator.outputs[0]]
    return (
        before.options.get("fused_activation_function") == "NONE"
        and len(read_by[number]) == 1
        and number not in graph.outputs
        and (source.shape, source.dtype, source.quantisation) == (made.shape, made.dtype, made.quantisation)
    )

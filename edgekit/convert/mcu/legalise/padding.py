"""A PAD before convolutions becomes their own padding.

Exact if it pads height and width only, with the value that counts as nothing (the zero point, which the kernels take
for positions outside), and only convolutions read the result. Their padding is then EXPLICIT, with pad_top and
pad_left; what they pad by themselves (SAME) comes on top. Bottom and right follow from the output's size.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgekit.convert.mcu import arithmetic
from edgekit.convert.mcu.graph import Graph, Operator
from edgekit.convert.mcu.legalise.rewrite import readers, with_operators

_CONVOLUTIONS = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D"))


def fold_padding(graph: Graph) -> Graph:
    """The graph with the PAD operators gone that convolutions can do. The last of a chain goes first."""
    reading = readers(graph)
    for pad in reversed([op for op in graph.operators if op.kind in ("PAD", "PADV2")]):
        amounts = _amounts(graph, pad)
        if amounts is None:
            continue
        made = pad.outputs[0]
        replaced = {id(op): _padded(graph, op, pad, amounts) for op in reading.get(made, [])}
        if made in graph.outputs or not replaced or None in replaced.values():
            continue
        operators = [replaced.get(id(op)) or op for op in graph.operators if op is not pad]
        graph = with_operators(graph, operators)
        reading = readers(graph)
    return graph


def _amounts(graph: Graph, pad: Operator) -> tuple[int, int] | None:
    """(top, left) of a PAD that a convolution could do."""
    if len(pad.inputs) < 2 or min(pad.inputs) < 0 or len(pad.outputs) != 1:
        return None
    source, made = graph.tensors[pad.inputs[0]], graph.tensors[pad.outputs[0]]
    amounts = graph.tensors[pad.inputs[1]].data
    if amounts is None or amounts.shape != (4, 2) or amounts.min() < 0 or len(source.shape) != 4:
        return None
    if source.quantisation != made.quantisation or made.quantisation is None or amounts[0].any() or amounts[3].any():
        return None
    if len(pad.inputs) > 2:
        value = graph.tensors[pad.inputs[2]].data
        if value is None or value.size != 1 or int(value.reshape(-1)[0]) != made.quantisation.zero_point:
            return None
    grown = tuple(size + int(amount.sum()) for size, amount in zip(source.shape, amounts, strict=True))
    return (int(amounts[1][0]), int(amounts[2][0])) if grown == made.shape else None


def _padded(graph: Graph, operator: Operator, pad: Operator, amounts: tuple[int, int]) -> Operator | None:
    """The convolution with the PAD's input and a padding that does both; null if it can't."""
    made = pad.outputs[0]
    if operator.kind not in _CONVOLUTIONS or operator.inputs.count(made) != 1 or operator.inputs[0] != made:
        return None
    source, wide = graph.tensors[pad.inputs[0]].shape, graph.tensors[made].shape
    weights, output = graph.tensors[operator.inputs[1]].shape, graph.tensors[operator.outputs[0]].shape
    if len(weights) != 4 or len(output) != 4:
        return None
    options: dict[str, Any] = {**operator.options, "padding": "EXPLICIT"}
    for axis, (name, of) in enumerate((("pad_top", "h"), ("pad_left", "w")), start=1):
        stride, dilation = options[f"stride_{of}"], options[f"dilation_{of}_factor"]
        if min(stride, dilation, weights[axis], output[axis]) < 1:
            return None
        own = operator.options.get(name, 0)
        if operator.options["padding"] != "EXPLICIT":
            expected = arithmetic.output_size(operator.options["padding"], wide[axis], weights[axis], stride, dilation)
            if expected != output[axis]:
                return None
            own = arithmetic.padding_before(wide[axis], output[axis], weights[axis], stride, dilation)
        before = own + amounts[axis - 1]
        # Every window must still touch the input: the kernels refuse others.
        if before > (weights[axis] - 1) * dilation or (output[axis] - 1) * stride - before >= source[axis]:
            return None
        options[name] = before
    return replace(operator, inputs=(pad.inputs[0], *operator.inputs[1:]), options=options)

"""QUANTIZE at a float input and DEQUANTIZE at a float output: left to the host, which knows scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgekit.convert.mcu.accept import float_boundary
from edgekit.convert.mcu.graph import Graph, Operator
from edgekit.convert.mcu.legalise.rewrite import readers, renamed, with_operators
from edgekit.errors import ConvertError


@dataclass(frozen=True)
class End:
    """An input or output of the model: its int8 tensor, its name outside, and whether it is float32 there.

    Axis i of the tensor is axis ``axes[i]`` outside; empty: the order is the same.
    """

    tensor: int
    name: str
    float_outside: bool
    axes: tuple[int, ...] = ()


def without_boundary(graph: Graph) -> tuple[Graph, tuple[End, ...], tuple[End, ...]]:
    """The graph between its int8 tensors, its inputs and its outputs.

    Raises:
        ConvertError: a float input is not read, or is quantised in two ways.
    """
    floats = float_boundary(graph)
    reading = readers(graph)
    entering = {n: _quantised(graph, n, reading.get(n, [])) for n in graph.inputs if n in floats}
    same = {op.outputs[0]: entering[op.inputs[0]] for op in graph.operators if op.inputs and op.inputs[0] in entering}
    leaving = {op.outputs[0]: op.inputs[0] for op in graph.operators if set(op.outputs) & floats - set(entering)}
    names = [graph.tensors[n].name for n in graph.outputs]
    kept = [op for op in graph.operators if not set(op.outputs) & (set(same) | set(leaving))]
    aliases = {one: other for one, other in (same | leaving).items() if one != other}
    inner = renamed(with_operators(graph, kept), aliases)
    inner = replace(inner, inputs=tuple(entering.get(n, n) for n in graph.inputs))
    inputs = tuple(End(entering.get(n, n), graph.tensors[n].name, n in entering) for n in graph.inputs)
    outputs = tuple(
        End(inside, name, outside in leaving)
        for inside, name, outside in zip(inner.outputs, names, graph.outputs, strict=True)
    )
    return inner, inputs, outputs


def _quantised(graph: Graph, number: int, reading: list[Operator]) -> int:
    """The int8 tensor that a float input becomes."""
    made = [operator.outputs[0] for operator in reading]
    ways = {graph.tensors[n].quantisation for n in made}
    if len(ways) != 1:
        what = "is not used" if not made else "is quantised in several ways"
        raise ConvertError(
            f'The float input "{graph.tensors[number].name}" {what}.',
            where="; ".join(operator.place for operator in reading) or graph.name,
            next_step="Convert the model with int8 inputs, or quantise each of its inputs once.",
            format="mcu",
        )
    return made[0]

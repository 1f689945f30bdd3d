"""From a legal graph to a program: every operator's steps and buffers."""

from __future__ import annotations

from edgekit.convert.mcu.legalise.boundary import End
from edgekit.convert.mcu.legalise.run import Legal
from edgekit.convert.mcu.lower.context import Context
from edgekit.convert.mcu.lower.table import LOWERINGS
from edgekit.convert.mcu.steps import Endpoint, Program, Step
from edgekit.errors import ConvertError


def lower(legal: Legal, *, dsp: bool) -> Program:
    """The program, its steps in the graph's order.

    Raises:
        ConvertError: an operator's shapes, options or quantisation are none that a kernel has.
    """
    graph = legal.graph
    context = Context(graph, legal.home, dsp=dsp)
    inputs = tuple(_endpoint(context, end) for end in legal.inputs)
    steps: list[Step] = []
    for operator in graph.operators:
        steps.extend(LOWERINGS[operator.kind](operator, context))
    outputs = tuple(_endpoint(context, end) for end in legal.outputs)
    _check_written({end.buffer for end in inputs}, steps, outputs, graph.name)
    return Program(graph.name, graph.source_sha256, tuple(context.buffers), tuple(steps), inputs, outputs, dsp)


def _endpoint(context: Context, end: End) -> Endpoint:
    tensor = context.tensor(end.tensor)
    if tensor.quantisation is None:
        raise AssertionError(f"{tensor.name} passed accept.py without a scale")
    scale, zero_point = tensor.quantisation.scale, tensor.quantisation.zero_point
    return Endpoint(end.name, context.buffer(end.tensor), tensor.shape, scale, zero_point, end.float_outside, end.axes)


def _check_written(ready: set[int], steps: list[Step], outputs: tuple[Endpoint, ...], name: str) -> None:
    """Every buffer is written before it is read: a lowering that forgets one must not end in rubbish."""
    for step in steps:
        if not ready.issuperset(step.reads):
            raise ConvertError("A step reads memory that nothing wrote.", where=step.name, format="mcu",
                               next_step="This is a defect of edgekit: report the model.")  # fmt: skip
        ready.update(step.writes)
    for end in outputs:
        if end.buffer not in ready:
            raise ConvertError(f'The output "{end.name}" is never computed.', where=name, format="mcu",
                               next_step="Convert the model again, and check its outputs.")  # fmt: skip

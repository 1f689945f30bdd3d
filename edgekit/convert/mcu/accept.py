"""Which graphs can be compiled at all. Everything is refused here, by name and place, before any work is done."""

from __future__ import annotations

import math
from collections.abc import Container

from edgekit.convert.mcu.graph import Graph, Operator
from edgekit.errors import ConvertError

_QUANTISE = (
    "Quantise it to int8 with int8 activations: give edgekit the PyTorch model and --calibration DIR, or use "
    "ai-edge-quantizer's static_wi8_ai8 recipe, or TensorFlow's converter with a representative dataset and "
    "TFLITE_BUILTINS_INT8."
)
_SMALLER = ("uint8", "int16", "int4", "int2", "uint4")  # quantised, but not to int8
_FLOATS = ("float32", "float16", "float64", "bfloat16")


def check_graph(graph: Graph, known: Container[str]) -> None:
    """Refuse what can't be compiled; ``known`` has the names of the operators that can.

    Raises:
        ConvertError: operators that are missing, tensors without a scale, a batch other than 1.
    """
    check_operators(graph, known)
    _check_tensors(graph)
    _check_ends(graph)


def float_boundary(graph: Graph) -> frozenset[int]:
    """Float tensors that only join the model to the outside: read by QUANTIZE alone, or made by DEQUANTIZE for it."""
    readers: dict[int, set[str]] = {}
    makers: dict[int, str] = {}
    for operator in graph.operators:
        for number in operator.inputs:
            readers.setdefault(number, set()).add(operator.kind)
        makers.update(dict.fromkeys(operator.outputs, operator.kind))
    entering = {n for n in graph.inputs if readers.get(n, {"QUANTIZE"}) == {"QUANTIZE"} and n not in graph.outputs}
    leaving = {n for n in graph.outputs if makers.get(n) == "DEQUANTIZE" and n not in readers}
    return frozenset(n for n in entering | leaving if graph.tensors[n].dtype == "float32")


def check_precision(graph: Graph) -> None:
    """Refuse a model that is not int8 throughout; one that is float as a whole, since its operators are not the point.

    Raises:
        ConvertError: says what the model is, where, and how to quantise it.
    """
    boundary = float_boundary(graph)
    for operator in graph.operators:
        for number in (*operator.inputs, *operator.outputs):
            if number >= 0 and graph.tensors[number].dtype in _SMALLER:
                what = (
                    f'"{graph.tensors[number].name}" is {graph.tensors[number].dtype} where only int8 can be compiled'
                )
                raise _refused(what, operator.place, _QUANTISE)
    made = [(op, n) for op in graph.operators for n in op.outputs if n not in boundary]
    floats = [(op, n) for op, n in made if graph.tensors[n].dtype in _FLOATS]
    if not floats:
        return
    operator, number = floats[0]
    quantised_weights = any(t.data is not None and t.dtype == "int8" and t.quantisation for t in graph.tensors)
    if any(graph.tensors[n].dtype == "int8" for _, n in made):
        what = f"{len(floats)} of its {len(made)} computed tensors are float"
    elif quantised_weights:
        what = "its weights are int8 but its activations are float (dynamic-range or weight-only quantisation)"
    else:
        what = "it is a float model"
    raise ConvertError(
        f"Only int8 models can be compiled for microcontrollers: {what}.",
        where=f"{graph.name}: {operator.place}",
        next_step=_QUANTISE,
        format="mcu",
        dtype=graph.tensors[number].dtype,
    )


def check_operators(graph: Graph, known: Container[str]) -> None:
    """Refuse operators that are not known, all of them at once."""
    missing = [operator for operator in graph.operators if operator.kind not in known]
    if not missing:
        return
    kinds = sorted({operator.kind for operator in missing})
    raise ConvertError(
        f"{len(missing)} operators can't be compiled for microcontrollers: {', '.join(kinds)}.",
        where="; ".join(operator.place for operator in missing),
        next_step="Replace them in the model, or run it with LiteRT on a larger device.",
        format="mcu",
        operators=[{"kind": operator.kind, "place": operator.place} for operator in missing],
    )


def check_order(graph: Graph) -> None:
    """Refuse a graph whose operators can't run in the order in which they stand.

    Raises:
        ConvertError: a tensor is used before it is computed, computed twice, or never.
    """
    ready = set(graph.inputs) | {n for n, tensor in enumerate(graph.tensors) if is_constant(graph, n)}
    if len(set(graph.inputs)) != len(graph.inputs):
        raise _refused("a tensor is listed twice among the model's inputs", graph.name)
    for operator in graph.operators:
        for number in operator.inputs:
            if number >= 0 and number not in ready:
                name = graph.tensors[number].name
                raise _refused(f'"{name}" is used before it is computed, or computed from itself', operator.place)
        for number in operator.outputs:
            if number in ready:
                raise _refused(f'"{graph.tensors[number].name}" is computed twice or is a constant', operator.place)
            ready.add(number)
    for number in graph.outputs:
        if number not in ready:
            raise _refused(f'the output "{graph.tensors[number].name}" is never computed', graph.name)


def is_constant(graph: Graph, number: int) -> bool:
    """Whether a tensor's values are known now; those of a tensor without elements are."""
    tensor = graph.tensors[number]
    return tensor.data is not None or not math.prod(tensor.shape)


def _check_tensors(graph: Graph) -> None:
    boundary = float_boundary(graph)
    for operator in graph.operators:
        for number in (*operator.inputs, *operator.outputs):
            if number >= 0 and number not in boundary:
                _check_tensor(graph, operator, number)


def _check_tensor(graph: Graph, operator: Operator, number: int) -> None:
    tensor = graph.tensors[number]
    size: int = math.prod(tensor.shape)
    constant = is_constant(graph, number)
    what = f'"{tensor.name}"'
    if not constant and tensor.dtype != "int8":
        raise _refused(f"{what} is computed as {tensor.dtype} where only int8 can be", operator.place, _QUANTISE)
    if constant and tensor.data is None and size:
        raise _refused(f"{what} is of the type {tensor.dtype}", operator.place)
    if tensor.dtype == "int8" and tensor.quantisation is None and size:
        raise _refused(f"{what} is int8 without a scale", operator.place, _QUANTISE)
    if not constant and tensor.quantisation is not None and len(tensor.quantisation.scales) != 1:
        raise _refused(f"{what} is computed with a scale per channel", operator.place, _QUANTISE)


def _check_ends(graph: Graph) -> None:
    if not graph.inputs or not graph.outputs:
        raise _refused("it has no input or no output", graph.name)
    boundary = float_boundary(graph)
    for number in (*graph.inputs, *graph.outputs):
        tensor = graph.tensors[number]
        if is_constant(graph, number):
            raise _refused(f'its input or output "{tensor.name}" is a constant or empty', graph.name)
        if number not in boundary and (tensor.dtype != "int8" or tensor.quantisation is None):
            raise _refused(
                f'its input or output "{tensor.name}" is {tensor.dtype} without a scale', graph.name, _QUANTISE
            )
        if len(tensor.shape) > 3 and tensor.shape[0] != 1:
            raise _refused(
                f'"{tensor.name}" has a batch of {tensor.shape[0]} where microcontrollers run one image at a time',
                graph.name,
                "Convert the model with batch 1.",
            )
        if len(tensor.shape) > 6:
            raise _refused(f'"{tensor.name}" has {len(tensor.shape)} dimensions where at most 6 fit', graph.name)


def _refused(what: str, where: str, next_step: str = "Convert the model again for LiteRT in int8.") -> ConvertError:
    return ConvertError(f"The model can't be compiled: {what}.", where=where, next_step=next_step, format="mcu")

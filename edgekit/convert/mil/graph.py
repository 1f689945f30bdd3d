"""The program of a model as plain data: constants, operators in execution order, inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.convert.mil.dtypes import Dtype
from edgekit.convert.mil.failures import NotEvaluated, refused
from edgekit.convert.mil.limits import Limits, check_elements
from edgekit.convert.mil.values import Opaque, TensorType, Value, tensor_type, value_of
from edgekit.convert.mil.weights import WeightFiles


@dataclass(frozen=True)
class Reference:
    """An argument that another operator computes."""

    name: str


@dataclass(frozen=True)
class Output:
    """One result of an operator, with the type that the program declares for it."""

    name: str
    type: TensorType | Opaque


@dataclass(frozen=True)
class Operation:
    """One operator. An argument has several values only where it takes a list of tensors (``concat``)."""

    type: str
    name: str
    arguments: Mapping[str, tuple[Reference | Value, ...]]
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Feature:
    """An input or output of the model: its name and declared tensor."""

    name: str
    dtype: Dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The function that a prediction runs. ``opset`` is ``CoreML5`` for iOS 15, ``CoreML6`` for iOS 16 and so on."""

    opset: str
    inputs: tuple[Feature, ...]
    constants: Mapping[str, Value]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]


def read_graph(model: Any, files: WeightFiles, limits: Limits) -> Graph:
    """The graph of a ``Model_pb2.Model``.

    Raises:
        RuntimeCrashError: the program contradicts itself, is too large, or its weights can't be read.
        NotEvaluated: it is not an ML Program, or has inputs other than arrays of a fixed shape.
    """
    kind = model.WhichOneof("Type")
    if kind != "mlProgram":
        raise NotEvaluated(kind or "a model of no kind", "the model")
    functions = model.mlProgram.functions
    name = model.description.defaultFunctionName or "main"
    if name not in functions:
        raise refused(f"The Core ML program has no function {name!r}.", name)
    function = functions[name]
    if function.opset not in function.block_specializations:
        raise refused(f"The Core ML program has no block for its operator set {function.opset!r}.", name)
    block = function.block_specializations[function.opset]
    if len(block.operations) > limits.operations:
        raise refused(f"The Core ML program has {len(block.operations)} operators, over {limits.operations}.", name)
    inputs = _inputs(function.inputs, model.description.input, limits)
    constants: dict[str, Value] = {}
    operations = []
    for operation in block.operations:
        if operation.type == "const":
            constants[_only(operation)] = value_of(operation.attributes["val"], files, limits, _name(operation))
        else:
            operations.append(_operation(operation, files, limits))
    graph = Graph(function.opset, inputs, constants, tuple(operations), _outputs(model, block))
    _check_names(graph)
    return graph


def _inputs(declared: Any, described: Any, limits: Limits) -> tuple[Feature, ...]:
    """The function's inputs in order; where it leaves a size open, the description's default shape counts."""
    descriptions = {feature.name: feature.type for feature in described}
    found = []
    for item in declared:
        kind = descriptions[item.name].WhichOneof("Type") if item.name in descriptions else None
        if kind != "multiArrayType":
            raise NotEvaluated("input", item.name, f"of the kind {kind}")
        declared_type = tensor_type(item.type, limits, item.name)
        if isinstance(declared_type, Opaque):
            raise NotEvaluated("input", item.name, f"of the kind {declared_type.kind}")
        default = tuple(descriptions[item.name].multiArrayType.shape)
        if None in declared_type.shape and len(default) != len(declared_type.shape):
            raise NotEvaluated("input", item.name, "of open shape")
        shape = tuple(default[axis] if size is None else size for axis, size in enumerate(declared_type.shape))
        check_elements(shape, limits, item.name)
        found.append(Feature(item.name, declared_type.dtype, shape))
    return tuple(found)


def _outputs(model: Any, block: Any) -> tuple[str, ...]:
    """The model's outputs in the order of its description, which is what a prediction returns."""
    described = [feature.name for feature in model.description.output]
    if sorted(described) != sorted(block.outputs):
        raise refused(
            f"The Core ML model describes the outputs {described}, its program has {list(block.outputs)}.", "outputs"
        )
    return tuple(described)


def _operation(operation: Any, files: WeightFiles, limits: Limits) -> Operation:
    name = _name(operation)
    # Before iOS 18 the arguments of constexpr operators are attributes.
    arguments: dict[str, tuple[Reference | Value, ...]] = {
        key: (value_of(value, files, limits, name),) for key, value in operation.attributes.items() if key != "name"
    }
    for key, argument in operation.inputs.items():
        arguments[key] = tuple(
            Reference(binding.name)
            if binding.WhichOneof("binding") == "name"
            else value_of(binding.value, files, limits, name)
            for binding in argument.arguments
        )
    outputs = tuple(Output(item.name, tensor_type(item.type, limits, name)) for item in operation.outputs)
    return Operation(operation.type, name, arguments, outputs)


def _name(operation: Any) -> str:
    """The operator's name: its attribute, or else its first result."""
    if "name" in operation.attributes:
        strings = operation.attributes["name"].immediateValue.tensor.strings.values
        if len(strings) == 1:
            return str(strings[0])
    return str(operation.outputs[0].name) if operation.outputs else str(operation.type)


def _only(operation: Any) -> str:
    if len(operation.outputs) != 1 or "val" not in operation.attributes:
        raise refused("The Core ML program has a constant without a value.", _name(operation))
    return str(operation.outputs[0].name)


def _check_names(graph: Graph) -> None:
    """Every name is made once, and before it is used.

    Raises:
        RuntimeCrashError: otherwise.
    """
    known = {feature.name for feature in graph.inputs}
    _add(known, graph.constants)
    for operation in graph.operations:
        for argument in operation.arguments.values():
            for item in argument:
                if isinstance(item, Reference) and item.name not in known:
                    raise refused(f"The Core ML program uses {item.name!r} before it is made.", operation.name)
        _add(known, [output.name for output in operation.outputs])
    missing = [name for name in graph.outputs if name not in known]
    if missing:
        raise refused(f"The Core ML program does not make its output {missing[0]!r}.", missing[0])


def _add(known: set[str], names: Iterable[str]) -> None:
    for name in names:
        if name in known:
            raise refused(f"The Core ML program makes {name!r} twice.", name)
        known.add(name)

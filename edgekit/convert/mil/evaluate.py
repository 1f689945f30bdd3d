"""Load a .mlpackage and run it on arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from edgekit.convert import speedups
from edgekit.convert.mil.call import Call
from edgekit.convert.mil.failures import NotEvaluated, refused
from edgekit.convert.mil.graph import Graph, Operation, Output, Reference, read_graph
from edgekit.convert.mil.limits import ELEMENT_COST, LIMITS, Budget, Limits
from edgekit.convert.mil.operators.table import OPERATORS
from edgekit.convert.mil.package import open_package, read_bytes
from edgekit.convert.mil.values import Opaque, Value
from edgekit.convert.mil.weights import WeightFiles
from edgekit.errors import EdgekitError, UsageError
from edgekit.records import TensorSpec

Array = npt.NDArray[Any]
Observe = Callable[[str, str, Array], None]


class Program:
    """One loaded ML Program. Its constants stay mapped; intermediate tensors live until their last use.

    ``weight_bytes`` is what its constants take in the weight file; those of a few numbers are inside the program.
    """

    def __init__(self, graph: Graph, path: Path, limits: Limits, weight_bytes: int = 0) -> None:
        self._graph = graph
        self.weight_bytes = weight_bytes
        self._path = path
        self._limits = limits
        self._releases = _last_uses(graph)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs in the program's order."""
        return tuple(TensorSpec(name=f.name, shape=f.shape, dtype=f.dtype.name) for f in self._graph.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """What :meth:`run` answers, by name."""
        return self._graph.outputs

    @property
    def constants(self) -> Mapping[str, Value]:
        """The program's constants by name; they share the mapped file's memory where they can."""
        return self._graph.constants

    def operators(self) -> dict[str, int]:
        """How often each operator occurs, constants apart."""
        return dict(sorted(Counter(operation.type for operation in self._graph.operations).items()))

    def run(self, inputs: Sequence[Array], observe: Observe | None = None) -> list[Array]:
        """The outputs, in the order of the model's description, as arrays of their declared dtypes.

        Args:
            inputs: one array per input in the order of ``inputs``, of its shape; it is rounded to the input's dtype.
            observe: called with the name, the operator's type and the value of every result, in execution order.

        Raises:
            NotEvaluated: an operator, or the form it is used in, is not implemented. Nothing was computed if an
                operator is missing altogether.
            UsageError: the number or a shape of the inputs is wrong.
            RuntimeCrashError: the program contradicts itself or is over the limits.
        """
        for operation in self._graph.operations:
            if operation.type not in OPERATORS:
                raise NotEvaluated(operation.type, operation.name)
        known: dict[str, Value] = self._bind(inputs)
        budget = Budget(self._limits)
        with torch.inference_mode():
            for operation, release in zip(self._graph.operations, self._releases, strict=True):
                for output, tensor in zip(operation.outputs, self._apply(operation, known, budget), strict=True):
                    budget.hold(tensor, operation.name)
                    known[output.name] = tensor
                    if observe is not None:
                        observe(output.name, operation.type, np.array(tensor.numpy()))
                for name in release:
                    gone = known.pop(name)
                    if isinstance(gone, torch.Tensor):
                        budget.release(gone)
        return [self._output(known, name) for name in self._graph.outputs]

    def _bind(self, inputs: Sequence[Array]) -> dict[str, Value]:
        wanted = [feature.shape for feature in self._graph.inputs]
        given = [np.shape(value) for value in inputs]
        if given != wanted:
            raise UsageError(
                f"The Core ML program takes inputs of the shapes {wanted}, not {given}.",
                where=str(self._path),
                next_step="Give one array per input, with the shape that the model was converted for.",
            )
        return {
            feature.name: torch.from_numpy(np.array(value)).to(feature.dtype.storage)
            for feature, value in zip(self._graph.inputs, inputs, strict=True)
        }

    def _apply(self, operation: Operation, known: Mapping[str, Value], budget: Budget) -> list[torch.Tensor]:
        """The results of one operator, stored as their declared dtypes and checked against the declared shapes."""
        arguments = {
            key: tuple(self._value(item.name, known) if isinstance(item, Reference) else item for item in items)
            for key, items in operation.arguments.items()
        }
        call = Call(operation, arguments, budget, _number(self._graph.opset))
        try:
            results = OPERATORS[operation.type](call)
        except EdgekitError:
            raise
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            # What torch and numpy raise for arguments that don't fit together.
            raise call.wrong(f"can't be computed: {' '.join(str(error).split())[:300]}") from error
        several = results if isinstance(results, tuple) else (results,)
        if len(several) != len(operation.outputs):
            raise call.wrong(f"declares {len(operation.outputs)} results, but has {len(several)}")
        budget.spend(ELEMENT_COST * sum(tensor.numel() for tensor in several), operation.name)
        return [_stored(call, out, tensor) for out, tensor in zip(operation.outputs, several, strict=True)]

    def _value(self, name: str, known: Mapping[str, Value]) -> Value:
        return known[name] if name in known else self._graph.constants[name]

    def _output(self, known: Mapping[str, Value], name: str) -> Array:
        value = self._value(name, known)
        if not isinstance(value, torch.Tensor):
            raise NotEvaluated("output", name, "that is no tensor")
        return np.array(value.numpy())


def load(path: Path, limits: Limits = LIMITS) -> Program:
    """Read a .mlpackage, as it is, into a program that can be run.

    Raises:
        RuntimeCrashError: it is damaged, contradicts itself, names files outside itself, or is over the limits.
        NotEvaluated: it is not an ML Program, or has inputs other than arrays of a fixed shape.
    """
    package = open_package(path, limits)
    content = read_bytes(package.program, limits.program_bytes)
    with speedups.without_optional_imports(*speedups.COREML_OPTIONAL):
        from coremltools.proto import Model_pb2
        from google.protobuf.message import DecodeError
    model = Model_pb2.Model()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise refused("The .mlpackage's model is not a valid protobuf.", str(package.program)) from error
    files = WeightFiles(package, limits)
    return Program(read_graph(model, files, limits), path, limits, files.used_bytes)


def _last_uses(graph: Graph) -> list[tuple[str, ...]]:
    """For each operator, the values that nothing needs after it."""
    last: dict[str, int] = {}
    for index, operation in enumerate(graph.operations):
        for output in operation.outputs:
            last[output.name] = index
        for items in operation.arguments.values():
            for item in items:
                if isinstance(item, Reference) and item.name in last:
                    last[item.name] = index
    releases: list[list[str]] = [[] for _ in graph.operations]
    for name, index in last.items():
        if name not in graph.outputs:
            releases[index].append(name)
    return [tuple(names) for names in releases]


def _stored(call: Call, output: Output, tensor: torch.Tensor) -> torch.Tensor:
    declared = output.type
    if isinstance(declared, Opaque):
        raise call.lacking(f"with {declared.kind} as its result")
    fits = len(declared.shape) == tensor.dim() and all(
        wanted in (None, have) for wanted, have in zip(declared.shape, tensor.shape, strict=True)
    )
    if not fits:
        raise call.wrong(f"declares a result of {list(declared.shape)}, but computes {list(tensor.shape)}")
    return tensor.to(declared.dtype.storage)


def _number(opset: str) -> int:
    """``CoreML6`` -> 6."""
    digits = opset.removeprefix("CoreML")
    return int(digits) if digits.isdecimal() else 0

"""Every value that a converted file computes, by its own runtime, in execution order.

The file is run as it was written: LiteRT and ONNX Runtime without the delegates and fusions that would hide values
inside larger operators, Core ML by the reference evaluator. ExecuTorch has no such mode: what its delegate computes
inside a partition can't be seen from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.harness.engines.base import runtime_call

Array = npt.NDArray[Any]
# Called with the value's name in the file, the operator that made it, and the value.
Observe = Callable[[str, str, Array], None]

# ONNX Runtime keeps all fetched values at once.
_FETCHED_AT_ONCE = 64


def traceable(format_name: str) -> bool:
    """Whether the values inside files of this format can be seen."""
    return format_name in _TRACERS


def trace(format_name: str, path: Path, sample: Sequence[Array], observe: Observe) -> None:
    """Run the file on one sample (one array per input) and show every floating-point value that it computes.

    Raises:
        RuntimeCrashError: the runtime refuses the file; NotEvaluated if the Core ML evaluator lacks something.
    """
    _TRACERS[format_name](path, sample, lambda name, op, value: _if_float(observe, name, op, value))


def _if_float(observe: Observe, name: str, op: str, value: Array) -> None:
    if np.issubdtype(value.dtype, np.floating) and value.size:
        observe(name, op, value)


def _litert(path: Path, sample: Sequence[Array], observe: Observe) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with runtime_call("run the model operator by operator", path):
        interpreter: Any = Interpreter(
            str(path),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
        for slot, value in zip(_input_slots(interpreter, path), sample, strict=True):
            interpreter.set_tensor(slot, np.ascontiguousarray(value))
        interpreter.invoke()
    nodes = interpreter._interpreter
    for index in range(int(nodes.NumNodes())):
        op = str(nodes.NodeName(index))
        for tensor in nodes.NodeOutputs(index):
            observe(f"{op} #{index}", op, interpreter.get_tensor(int(tensor)))


def _input_slots(interpreter: Any, path: Path) -> list[int]:
    """Tensor numbers of the inputs in the order in which CompiledModel, which judges the file, takes them."""
    from ai_edge_litert.compiled_model import CompiledModel

    signature = CompiledModel.from_file(str(path)).get_signature_by_index(0)
    if signature["key"] not in interpreter.get_signature_list():
        return [int(detail["index"]) for detail in interpreter.get_input_details()]
    slots = interpreter.get_signature_runner(signature["key"]).get_input_details()
    return [int(slots[name]["index"]) for name in signature["inputs"]]


def _onnx(path: Path, sample: Sequence[Array], observe: Observe) -> None:
    import onnx
    import onnxruntime

    from edgekit.convert.files.onnx_file import open_model

    model = open_model(path)
    made = {name: node.op_type for node in model.graph.node for name in node.output if name}
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in made if name not in known)
    with runtime_call("run the model operator by operator", path):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feed = dict(zip((entry.name for entry in session.get_inputs()), sample, strict=True))
    for part in _parts(list(made), _FETCHED_AT_ONCE):
        with runtime_call("run the model operator by operator", path):
            fetched = session.run(part, feed)
        for name, value in zip(part, fetched, strict=True):
            if isinstance(value, np.ndarray):
                observe(name, made[name], value)


def _parts(names: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _coreml(path: Path, sample: Sequence[Array], observe: Observe) -> None:
    from edgekit.convert.mil.evaluate import load

    load(path).run(list(sample), observe)


_TRACERS: dict[str, Callable[[Path, Sequence[Array], Observe], None]] = {
    "litert": _litert,
    "onnx": _onnx,
    "coreml": _coreml,
}

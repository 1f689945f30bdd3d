"""The constants of a converted file as arrays, by their names in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.files.pte import KernelCall, Pte
from edgekit.convert.files.tflite import Tflite
from edgekit.errors import RuntimeCrashError

Array = npt.NDArray[Any]


def constants(format_name: str, path: Path) -> Iterator[tuple[str, Array]]:
    """Every constant of floating-point numbers; empty for a format that is not known. Not copies.

    Raises:
        RuntimeCrashError: the file is damaged.
    """
    reader = _READERS.get(format_name)
    for name, value in reader(path) if reader else ():
        if np.issubdtype(value.dtype, np.floating) and value.size:
            yield name, value


def precision_of(format_name: str, path: Path) -> str:
    """``fp16`` if most bytes of the file's floating-point constants are float16, else ``fp32``; ``int8`` of an .ekm."""
    if format_name == "mcu":
        return "int8"
    total = half = 0
    try:
        for _, value in constants(format_name, path):
            total += value.nbytes
            half += value.nbytes if value.dtype == np.float16 else 0
    except RuntimeCrashError:  # what is wrong with the file is said when it is run
        return "fp32"
    return "fp16" if half > total / 2 else "fp32"


def _executorch(path: Path) -> Iterator[tuple[str, Array]]:
    file = Pte(path)
    for index, call in enumerate(file.calls):
        if isinstance(call, KernelCall):
            found = [(place, file.constant(tensor)) for place, tensor in enumerate(call.arguments) if tensor]
            yield from ((f"{call.op} #{index}, argument {place}", value) for place, value in found if value is not None)
        elif call.graph is not None:
            for number, node in enumerate(call.graph.nodes):
                for value_id in node.inputs:
                    value = call.graph.constant(value_id)
                    if value is not None:
                        yield f"{node.op} #{number} of partition #{index}, input {value_id}", value


def _litert(path: Path) -> Iterator[tuple[str, Array]]:
    file = Tflite(path)
    for number, tensor in enumerate(file.tensors):
        value = file.constant(tensor)
        if value is not None:
            yield f"tensor {number} ({tensor.name})" if tensor.name.strip(";") else f"tensor {number}", value


def _onnx(path: Path) -> Iterator[tuple[str, Array]]:
    import onnx

    from edgekit.convert.files.onnx_file import open_model, tensors

    for tensor in tensors(open_model(path).graph):
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
            yield tensor.name, onnx.numpy_helper.to_array(tensor)


def _coreml(path: Path) -> Iterator[tuple[str, Array]]:
    import torch

    from edgekit.convert.mil.evaluate import load

    for name, value in load(path).constants.items():
        if isinstance(value, torch.Tensor):
            yield name, value.numpy()


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Array]]]] = {
    "executorch": _executorch,
    "litert": _litert,
    "coreml": _coreml,
    "onnx": _onnx,
}

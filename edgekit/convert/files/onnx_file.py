"""ONNX files: nodes and constants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.convert.files.flat import damaged


def open_model(path: Path) -> Any:
    """The ``ModelProto`` of a file, with the weights that lie beside it.

    Raises:
        RuntimeCrashError: it can't be read.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
    except (OSError, ValueError, DecodeError, onnx.checker.ValidationError) as error:
        raise damaged(f"it is not an ONNX model ({error})", str(path)) from error
    if not model.ir_version:  # an empty file is a valid protobuf
        raise damaged("it is not an ONNX model", str(path))
    return model


def counts(path: Path) -> tuple[int, int]:
    """Operators (constants apart, bodies of control flow included) and bytes of constants.

    Raises:
        RuntimeCrashError: it can't be read.
    """
    model = open_model(path)
    functions = {(f.domain, f.name): f for f in model.functions}
    return _operators(model.graph.node, functions), sum(_size(tensor) for tensor in tensors(model.graph))


def _operators(nodes: Any, functions: dict[tuple[str, str], Any], depth: int = 0) -> int:
    total = 0
    for node in nodes:
        called = functions.get((node.domain, node.op_type)) if depth < 8 else None
        if called is not None:
            total += _operators(called.node, functions, depth + 1)
        elif node.op_type != "Constant":
            total += 1
        total += sum(_operators(a.g.node, functions, depth) for a in node.attribute if a.HasField("g"))
    return total


def tensors(graph: Any) -> Iterator[Any]:
    """Every constant of a graph as a ``TensorProto``."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from tensors(attribute.g)


def _size(tensor: Any) -> int:
    import onnx

    bits = {onnx.TensorProto.INT4: 4, onnx.TensorProto.UINT4: 4}.get(tensor.data_type)
    if bits is None:
        bits = 8 * (onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    return (math.prod(int(size) for size in tensor.dims) * int(bits) + 7) // 8

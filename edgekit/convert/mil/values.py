"""From the protobuf's types and values to shapes and tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edgekit.convert.mil.dtypes import MIL_DTYPES, STRING, Dtype
from edgekit.convert.mil.failures import refused
from edgekit.convert.mil.limits import Limits, check_elements
from edgekit.convert.mil.weights import WeightFiles, decode


@dataclass(frozen=True)
class Opaque:
    """A value that no implemented operator takes: a list, a tuple, a dictionary, a state, an unusual dtype."""

    kind: str


Value = torch.Tensor | str | Opaque


@dataclass(frozen=True)
class TensorType:
    """A declared type: a dimension that the program leaves open is None."""

    dtype: Dtype
    shape: tuple[int | None, ...]


def tensor_type(declared: Any, limits: Limits, where: str) -> TensorType | Opaque:
    """The type in a ``MIL_pb2.ValueType``.

    Raises:
        RuntimeCrashError: the shape is too large, or contradicts its rank.
    """
    kind = declared.WhichOneof("type")
    if kind != "tensorType":
        return Opaque(kind or "a missing type")
    tensor = declared.tensorType
    if tensor.dataType not in MIL_DTYPES:
        return Opaque("string" if tensor.dataType == STRING else f"dtype {tensor.dataType}")
    shape = tuple(d.constant.size if d.WhichOneof("dimension") == "constant" else None for d in tensor.dimensions)
    if len(shape) != tensor.rank:
        raise refused(f"The Core ML program declares a tensor of rank {tensor.rank} with {len(shape)} sizes.", where)
    check_elements([size for size in shape if size is not None], limits, where)
    return TensorType(MIL_DTYPES[tensor.dataType], shape)


def value_of(value: Any, files: WeightFiles, limits: Limits, where: str) -> Value:
    """The tensor (or string) in a ``MIL_pb2.Value``, from the program itself or from its weight file.

    Raises:
        RuntimeCrashError: it contradicts its type, or its weights can't be read.
    """
    immediate = value.WhichOneof("value") == "immediateValue" and value.immediateValue.WhichOneof("value") == "tensor"
    if immediate and value.type.tensorType.dataType == STRING:
        return _text(value.immediateValue.tensor)
    declared = tensor_type(value.type, limits, where)
    if isinstance(declared, Opaque):
        return declared
    shape = tuple(size for size in declared.shape if size is not None)
    if len(shape) != len(declared.shape):
        raise refused("The Core ML program has a constant of open size.", where)
    if value.WhichOneof("value") == "blobFileValue":
        blob = value.blobFileValue
        return files.tensor(blob.fileName, blob.offset, declared.dtype, shape)
    if not immediate:
        raise refused("The Core ML program has a tensor constant without a tensor.", where)
    return _immediate(value.immediateValue.tensor, declared.dtype, shape, where)


def _text(tensor: Any) -> Value:
    strings = tensor.strings.values
    return str(strings[0]) if len(strings) == 1 else Opaque("a list of strings")


def _immediate(tensor: Any, dtype: Dtype, shape: tuple[int, ...], where: str) -> torch.Tensor:
    count = int(np.prod(shape, dtype=np.int64))
    kind = tensor.WhichOneof("value")
    if kind == "bytes":
        data = np.frombuffer(tensor.bytes.values, dtype=np.uint8)
        found, wanted = len(data), (count * dtype.bits + 7) // 8
    elif kind in ("floats", "doubles", "ints", "longInts", "bools"):
        values = getattr(tensor, kind).values
        found, wanted = len(values), count
    else:
        found, wanted = 0, count
    if found != wanted:
        raise refused(f"The Core ML program has a constant with {found} values for the shape {list(shape)}.", where)
    if kind == "bytes":
        return decode(data.copy(), dtype, count).reshape(shape)
    if count == 0:
        return torch.zeros(shape, dtype=dtype.storage)
    return torch.from_numpy(np.array(values, dtype=_READ_AS[kind])).to(dtype.storage).reshape(shape)


_READ_AS = {"floats": np.float32, "doubles": np.float64, "ints": np.int32, "longInts": np.int64, "bools": np.bool_}

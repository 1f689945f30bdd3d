"""LiteRT's .tflite: operators, tensors and constants of its main subgraph.

Field numbers are those of LiteRT's ``schema.fbs`` (``ai_edge_litert/schema_py_generated.py`` is made from it).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.convert.files.flat import Buffer, Bytes, Table, damaged, open_file, shape_of

_IDENTIFIER = b"TFL3"
_PLACEHOLDER_CODE = 127  # operators from this number on are stated in a later, wider field
_DTYPES: dict[int, type[np.generic]] = {
    0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 7: np.int16, 9: np.int8,
    10: np.float64, 12: np.uint64, 15: np.uint32, 16: np.uint16,
}  # fmt: skip

# Numbers of built-in operators.
CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED = 3, 4, 9
TRANSPOSE_CONV, BATCH_MATMUL, CONV_3D = 67, 126, 132


@dataclass(frozen=True)
class Tensor:
    """A tensor; ``buffer`` is its number among the buffers, which is empty for a computed one."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic] | None
    buffer: int


@dataclass(frozen=True)
class Operator:
    """One operator: its number in LiteRT's table of built-in operators, and the tensors by number (-1: left out)."""

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int


class Tflite:
    """One .tflite, of which the first subgraph counts: the others are bodies that its operators call."""

    def __init__(self, path: Path) -> None:
        """Read the graph.

        Raises:
            RuntimeCrashError: this is no .tflite, or it is damaged.
        """
        self.where = str(path)
        self._whole = Buffer(open_file(path), self.where)
        if self._whole.part(4, 4).tobytes() != _IDENTIFIER:
            raise damaged("it is not a LiteRT model", self.where)
        root = self._whole.root()
        self._buffers = root.tables(4)
        self._subgraphs = root.tables(2)
        if not self._subgraphs:
            raise damaged("it has no graph", self.where)
        self._codes = [_code(entry) for entry in root.tables(1)]
        self.tensors = tuple(_tensor(entry, self.where) for entry in self._subgraphs[0].tables(0))
        self.inputs = tuple(self._subgraphs[0].vector(1, np.int32).tolist())
        self.outputs = tuple(self._subgraphs[0].vector(2, np.int32).tolist())
        signatures = root.tables(7)
        # The number of the graph that LiteRT's CompiledModel runs; its Interpreter runs the first one.
        self.signed_graph = signatures[0].number(4, "<I") if signatures else 0

    @functools.cached_property
    def operators(self) -> tuple[Operator, ...]:
        """The main subgraph's operators in execution order."""
        return tuple(self._operator(entry) for entry in self._subgraphs[0].tables(3))

    def constant(self, tensor: Tensor) -> npt.NDArray[np.generic] | None:
        """The values of a constant tensor; null if it is computed or of a type that numpy lacks."""
        data = self._data(tensor.buffer)
        if not len(data) or tensor.dtype is None:
            return None
        size = math.prod(tensor.shape) * tensor.dtype.itemsize
        return Buffer(data, self.where).part(0, size).view(tensor.dtype).reshape(tensor.shape)

    def weight_bytes(self) -> int:
        """Bytes of all constants, over every subgraph; a buffer that several tensors share counts once."""
        used = {_tensor(entry, self.where).buffer for graph in self._subgraphs for entry in graph.tables(0)}
        return sum(len(self._data(number)) for number in used)

    def _data(self, number: int) -> Bytes:
        if not 0 <= number < len(self._buffers):
            raise damaged(f"it has no buffer {number}", self.where)
        entry = self._buffers[number]
        # Weights are inside the flatbuffer, or behind it at a place that the buffer states.
        offset, size = entry.number(1, "<Q"), entry.number(2, "<Q")
        return self._whole.part(offset, size) if offset > 1 and size else entry.vector(0, np.uint8)

    def _operator(self, entry: Table) -> Operator:
        index = entry.number(0, "<I")
        if index >= len(self._codes):
            raise damaged(f"an operator has the number {index}, which is not there", self.where)
        inputs = tuple(int(i) for i in entry.vector(1, np.int32))
        outputs = tuple(int(i) for i in entry.vector(2, np.int32))
        if not all(-1 <= i < len(self.tensors) for i in (*inputs, *outputs)):
            raise damaged("an operator takes a tensor that is not there", self.where)
        return Operator(self._codes[index], inputs, outputs, self._macs(self._codes[index], inputs, outputs, entry))

    def _macs(self, code: int, inputs: tuple[int, ...], outputs: tuple[int, ...], entry: Table) -> int:
        shapes = [self.tensors[i].shape if i >= 0 else () for i in inputs]
        if len(shapes) < 2 or not outputs or not shapes[1]:
            return 0
        first, weight = shapes[0], shapes[1]
        made = math.prod(self.tensors[outputs[0]].shape)
        if code == CONV_2D:
            return made * math.prod(weight[1:])
        if code == DEPTHWISE_CONV_2D:
            return made * math.prod(weight[1:3])
        if code == CONV_3D:
            return made * math.prod(weight[:4])
        if code == TRANSPOSE_CONV and len(shapes) > 2:
            return math.prod(shapes[2]) * math.prod(weight[:3])
        if code == FULLY_CONNECTED:
            return made * weight[-1]
        if code == BATCH_MATMUL and len(first) >= 2:
            options = entry.table(4)
            return made * (first[-2] if options is not None and options.number(0, "<?") else first[-1])
        return 0


def _code(entry: Table) -> int:
    old = entry.number(0, "<b")
    return entry.number(3) if old == _PLACEHOLDER_CODE else max(old, entry.number(3))


def _tensor(entry: Table, where: str) -> Tensor:
    kind = _DTYPES.get(entry.number(1, "<b"))
    shape = shape_of(entry.vector(0, np.int32), where)
    return Tensor(entry.text(3), shape, None if kind is None else np.dtype(kind), entry.number(2, "<I"))

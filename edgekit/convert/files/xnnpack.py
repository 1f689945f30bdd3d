"""The graphs of XNNPACK's delegate inside a .pte: operators, multiply-accumulates and constants.

Field numbers and operators are those of executorch's ``backends/xnnpack/serialization/runtime_schema.fbs``; the header
in front (``XH00``) those of ``xnnpack_graph_serialize.py`` beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.convert.files.flat import Buffer, Bytes, Table, damaged

_HEADER = b"XH00"
_GRAPHS = (b"XN00", b"XN01")

# The union's members in order; behind each, the fields of its inputs and of its output.
_ONE, _TWO, _POOL = ((0,), 1), ((0, 1), 2), ((10,), 11)
_CAT, _CONV = ((1, 2, 3, 4, 7), 5), ((15, 16, 17), 18)
_NODES: tuple[tuple[str, tuple[tuple[int, ...], int]], ...] = (
    ("Add", _TWO), ("FullyConnected", ((0, 1, 2), 3)), ("Softmax", _ONE), ("Sigmoid", _ONE),
    ("StaticTranspose", ((2,), 3)), ("Clamp", _ONE), ("Conv2d", _CONV), ("Div", _TWO),
    ("StaticResizeBilinear2D", ((2,), 3)), ("StaticConstantPad", ((3,), 4)), ("AvgPooling2d", _POOL),
    ("Minimum", _TWO), ("DepthwiseConv2d", _CONV), ("MaxPooling2d", _POOL), ("Multiply", _TWO), ("Subtract", _TWO),
    ("Floor", _ONE), ("Convert", _ONE), ("GlobalAvgPooling2d", _ONE), ("StaticReshape", ((2,), 3)),
    ("ArgMaxPooling2d", ((6,), 7)), ("SquareRoot", _ONE), ("Ceiling", _ONE), ("Hardswish", _ONE),
    ("LeakyReLU", ((1,), 2)), ("Maximum", _TWO), ("Negate", _ONE), ("Square", _ONE), ("ELU", ((1,), 2)), ("Abs", _ONE),
    ("PReLU", _TWO), ("Concatenate2", ((1, 2), 5)), ("Concatenate3", ((1, 2, 3), 5)),
    ("Concatenate4", ((1, 2, 3, 4), 5)), ("StaticSlice", ((3,), 4)),
    ("ScaledDotProductAttention", ((0, 1, 2, 3, 4), 5)), ("BatchMatrixMultiply", _TWO), ("Concatenate5", _CAT),
    ("ConvTranspose2d", _CONV), ("ReciprocalSquareRoot", _ONE), ("Log", _ONE), ("Gelu", _ONE), ("Tanh", _ONE),
    ("Exp", _ONE), ("Sin", _ONE), ("Copy", _ONE), ("Cos", _ONE),
)  # fmt: skip
_DTYPES: dict[int, type[np.generic]] = {
    1: np.float32, 2: np.float16, 3: np.int8, 4: np.uint8, 5: np.int32, 6: np.int8, 7: np.int32, 12: np.int32,
}  # fmt: skip


@dataclass(frozen=True)
class Value:
    """A tensor of the graph; ``constant`` is its number among the constants, 0 if it is computed."""

    shape: tuple[int, ...]
    datatype: int
    constant: int


@dataclass(frozen=True)
class Node:
    """One operator with its multiply-accumulates; ``inputs`` and ``output`` are ids of values."""

    op: str
    inputs: tuple[int, ...]
    output: int
    macs: int


@dataclass(frozen=True)
class Graph:
    """One partition. ``constants`` are (the number that :class:`Value` refers to it by) -> its bytes in the file."""

    nodes: tuple[Node, ...]
    values: Mapping[int, Value]
    constants: Mapping[int, Bytes]
    own_bytes: int

    def constant(self, value_id: int) -> npt.NDArray[np.generic] | None:
        """A constant as an array of its shape; null if the value is computed, or its type has no numpy form."""
        value = self.values.get(value_id)
        if value is None or value.constant not in self.constants or value.datatype not in _DTYPES:
            return None
        kind, data = np.dtype(_DTYPES[value.datatype]), self.constants[value.constant]
        size = math.prod(value.shape) * kind.itemsize
        return data[:size].view(kind).reshape(value.shape) if size <= len(data) else None


def read_graph(blob: Bytes, named: Mapping[str, Bytes], where: str) -> Graph:
    """The graph of one delegate; ``named`` is the .pte's named data, where the constants are.

    Raises:
        RuntimeCrashError: it is damaged.
    """
    whole = Buffer(blob, where)
    data_at, flat = 0, whole
    if whole.part(4, 4).tobytes() == _HEADER:
        start, size, data_at = (whole.number("<I", at) for at in (10, 14, 18))
        flat = Buffer(whole.part(start, size), where)
    if flat.part(4, 4).tobytes() not in _GRAPHS:
        raise damaged("a delegate's data are not an XNNPACK graph", where)
    root = flat.root()
    values = dict(_value(entry, where) for entry in root.tables(2))
    constants: dict[int, Bytes] = {}
    own = 0
    for number, entry in enumerate(root.tables(8)):
        offset, size, key = entry.number(0, "<Q"), entry.number(1, "<Q"), entry.text(2)
        if key in named:
            constants[number] = named[key]
        elif number and not key:
            constants[number] = whole.part(data_at + offset, size)
            own += size
    nodes = tuple(_node(entry, values, where) for entry in root.tables(1))
    return Graph(nodes, values, constants, own)


def _value(entry: Table, where: str) -> tuple[int, Value]:
    table = entry.table(1)
    if table is not None and entry.number(0, "<B") == 2:  # a quantised value holds the plain one
        table = table.table(0)
    if table is None:
        raise damaged("an XNNPACK value is empty", where)
    shape = tuple(int(size) for size in table.vector(2, np.uint32))
    return table.number(6, "<I"), Value(shape, table.number(0, "<h"), table.number(3, "<I"))


def _node(entry: Table, values: Mapping[int, Value], where: str) -> Node:
    kind, table = entry.number(0, "<B"), entry.table(1)
    if table is None or not 1 <= kind <= len(_NODES):
        # A later XNNPACK may add operators; that they are not known here must not be hidden.
        raise damaged(f"an XNNPACK operator has the unknown number {kind}", where)
    op, (sources, target) = _NODES[kind - 1]
    inputs = tuple(table.number(field, "<I") for field in sources)
    output = table.number(target, "<I")
    shapes = [values[i].shape if i in values else () for i in (*inputs, output)]
    return Node(op, inputs, output, _macs(op, table, shapes))


def _macs(op: str, table: Table, shapes: list[tuple[int, ...]]) -> int:
    made = math.prod(shapes[-1])
    if op in ("Conv2d", "DepthwiseConv2d", "ConvTranspose2d"):
        kernel = table.number(4, "<I") * table.number(5, "<I")
        if op == "ConvTranspose2d":
            return math.prod(shapes[0]) * kernel * table.number(11, "<I")
        # For a depthwise convolution XNNPACK's groups are its input channels, each with one channel of its own.
        return made * kernel * (1 if op == "DepthwiseConv2d" else table.number(10, "<I"))
    if op in ("FullyConnected", "BatchMatrixMultiply"):
        return made * (shapes[0][-1] if shapes[0] else 0)
    if op == "ScaledDotProductAttention" and all(len(shape) >= 2 for shape in shapes[:3]):
        query, key, value = shapes[:3]
        return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    return 0

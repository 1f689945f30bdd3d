"""Front end for int8 .tflite files: bytes from anywhere → :class:`graph.Graph`.

What a file states is bounded before it is read: no count, shape or offset makes this take more than a few times the
file's own size in memory. Which models can be compiled is judged afterwards (:mod:`accept`); here it is only made sure
that the graph is one: tensors that are there, constants of the right size, quantisations that mean something.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np

from edgekit.convert.files.flat import Buffer, Bytes, Table, damaged
from edgekit.convert.mcu.graph import Graph, Operator, Quantisation, Tensor
from edgekit.convert.mcu.schema import CUSTOM, OPERATORS, READABLE, TENSOR_TYPES, read_options
from edgekit.errors import ConvertError, RuntimeCrashError

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_TENSORS = 16_384
MAX_OPERATORS = 4_096
MAX_RANK = 8
MAX_NAME_BYTES = 160
MAX_PLACE = 60
MAX_ENTRIES = 2_000_000  # of all lists together: shapes, inputs, scales
_IDENTIFIER = b"TFL3"
_PLACEHOLDER_CODE = 127  # operators from this number on are stated in a later, wider field


def read_tflite(path: Path, name: str | None = None) -> Graph:
    """The graph of a .tflite file; ``name`` is the file's stem if it is not given.

    Raises:
        ConvertError: it can't be read, is damaged, or holds what no microcontroller model has (several graphs, states,
            sizes that are only known when it runs).
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _refused(f"The file can't be read: {error.strerror or error}", str(path)) from error
    return parse_tflite(content, name or path.stem, where=str(path))


def parse_tflite(content: bytes, name: str, *, where: str | None = None) -> Graph:
    """As :func:`read_tflite`, from bytes; ``where`` names them in errors."""
    place = where or name
    if len(content) > MAX_FILE_BYTES:
        raise _refused(f"The file is larger than {MAX_FILE_BYTES >> 20} MiB", place)
    try:
        return _Reader(np.frombuffer(content, np.uint8), place).graph(name, hashlib.sha256(content).hexdigest())
    except RuntimeCrashError as error:  # what the flatbuffer's reader raises
        raise ConvertError(error.message, where=error.where, next_step=error.next_step, format="mcu") from error


class _Reader:
    """One file while it is read."""

    def __init__(self, content: Bytes, where: str) -> None:
        self.where = where
        self.left = MAX_ENTRIES
        self.whole = Buffer(content, where)
        if self.whole.part(4, 4).tobytes() != _IDENTIFIER:
            raise damaged("it is not a LiteRT model", where)
        root = self.whole.root()
        self.codes = [self.code(entry) for entry in self.tables(root, 1, MAX_OPERATORS, "kinds of operators")]
        self.buffers = self.tables(root, 4, 2 * MAX_TENSORS, "buffers")
        graphs = self.tables(root, 2, 1, "graphs")
        if not graphs:
            raise damaged("it has no graph", where)
        self.main = graphs[0]

    def graph(self, name: str, sha256: str) -> Graph:
        tensors = [self.tensor(n, entry) for n, entry in enumerate(self.tables(self.main, 0, MAX_TENSORS, "tensors"))]
        entries = self.tables(self.main, 3, MAX_OPERATORS, "operators")
        operators = [self.operator(number, entry, tensors) for number, entry in enumerate(entries)]
        inputs, outputs = (self.numbers(self.main, field, len(tensors), 0) for field in (1, 2))
        return Graph(printable(name), tensors, operators, inputs, outputs, sha256)

    def tables(self, table: Table, field: int, most: int, what: str) -> list[Table]:
        """A vector of tables, bounded."""
        count = table.count(field)
        if count > most:
            raise _refused(f"The file has {count} {what} where at most {most} can be compiled", self.where)
        return table.tables(field)

    def spend(self, count: int) -> None:
        """Account for entries that are about to be read; a file may state the same list many times over."""
        self.left -= count
        if self.left < 0:
            raise _refused(f"The file's lists have more than {MAX_ENTRIES} entries", self.where)

    def numbers(self, table: Table, field: int, count: int, least: int) -> tuple[int, ...]:
        """A list of tensors by number."""
        self.spend(table.count(field))
        numbers = tuple(int(number) for number in table.vector(field, np.int32))
        if not all(least <= number < count for number in numbers):
            raise damaged("a tensor is named that is not there", self.where)
        return numbers

    def text(self, table: Table, field: int) -> str:
        raw = table.vector(field, np.uint8)[:MAX_NAME_BYTES].tobytes()
        return printable(raw.decode("utf-8", "ignore"))

    def code(self, entry: Table) -> str:
        """The name of a kind of operator."""
        old = entry.number(0, "<b")
        number = entry.number(3) if old == _PLACEHOLDER_CODE else max(old, entry.number(3))
        if number == CUSTOM:
            return f'CUSTOM "{self.text(entry, 1)}"'
        return OPERATORS[number] if 0 <= number < len(OPERATORS) else f"operator number {number}"

    def operator(self, number: int, entry: Table, tensors: list[Tensor]) -> Operator:
        index = entry.number(0, "<I")
        if index >= len(self.codes):
            raise damaged(f"operator {number} is of kind {index}, which is not there", self.where)
        inputs = self.numbers(entry, 1, len(tensors), -1)
        outputs = self.numbers(entry, 2, len(tensors), 0)
        name = tensors[outputs[0]].name if outputs else ""
        place = f"{number} {self.codes[index]} {short(name)}".rstrip()
        options = read_options(self.codes[index], entry.table(4), place)
        return Operator(self.codes[index], inputs, outputs, options, place)

    def tensor(self, number: int, entry: Table) -> Tensor:
        name = self.text(entry, 3) or f"tensor {number}"
        place = f"{self.where}, tensor {number} {name}"
        kind = entry.number(1, "<b")
        dtype = TENSOR_TYPES[kind] if 0 <= kind < len(TENSOR_TYPES) else f"type number {kind}"
        if entry.number(5, "<B"):
            raise _refused("A tensor keeps its value between two runs, which is not supported", place)
        if entry.table(6) is not None:
            raise _refused("A tensor is stored sparse, which is not supported", place)
        if entry.number(10, "<I"):
            raise _refused("A tensor's values are in another file, which is not supported", place)
        shape = self.shape(entry, dtype, place)
        data = self.constant(entry.number(2, "<I"), shape, dtype, place)
        return Tensor(name, shape, dtype, self.quantisation(entry.table(4), shape, dtype, place), data)

    def shape(self, entry: Table, dtype: str, place: str) -> tuple[int, ...]:
        """The shape, which must be known; a batch that the model leaves open counts as the 1 that the file states."""
        if max(entry.count(0), entry.count(7)) > MAX_RANK:
            raise _refused(f"A tensor has {entry.count(0)} dimensions where at most {MAX_RANK} can be compiled", place)
        shape = tuple(int(size) for size in entry.vector(0, np.int32))
        stated = tuple(int(size) for size in entry.vector(7, np.int32))
        if any(size < 0 for size in shape) or any(
            size < 0 and (axis > 0 or axis >= len(shape) or shape[axis] != 1) for axis, size in enumerate(stated)
        ):
            raise _refused(
                f"A tensor has the shape {stated or shape}, which is only known when the model runs",
                place,
                "Convert the model with fixed input shapes and batch 1.",
            )
        if math.prod(shape) * (np.dtype(dtype).itemsize if dtype in READABLE else 1) >= 2**31:
            raise _refused(f"A tensor of the shape {shape} is larger than 2 GiB", place)
        return shape

    def constant(self, number: int, shape: tuple[int, ...], dtype: str, place: str) -> Bytes | None:
        """The values of a constant; null for a computed tensor. Not a copy."""
        if number >= len(self.buffers):
            raise damaged(f"a tensor has the buffer {number}, which is not there", place)
        entry = self.buffers[number]
        # Inside the flatbuffer, or behind it at a place that the buffer states.
        offset, size = entry.number(1, "<Q"), entry.number(2, "<Q")
        data = self.whole.part(offset, size) if offset > 1 and size else entry.vector(0, np.uint8)
        if not len(data) or dtype not in READABLE:
            return None
        expected = math.prod(shape) * np.dtype(dtype).itemsize
        if len(data) != expected:
            raise damaged(f"a constant of {expected} bytes has {len(data)}", place)
        return data.view(dtype).reshape(shape)

    def quantisation(self, table: Table | None, shape: tuple[int, ...], dtype: str, place: str) -> Quantisation | None:
        """The quantisation of a tensor that is int8; the scales of others are not needed."""
        if table is None or dtype != "int8" or not table.count(2):
            return None
        if table.number(4, "<B"):
            raise _refused("A tensor is quantised in blocks, which is not supported", place)
        self.spend(table.count(2) + table.count(3))
        scales = tuple(float(scale) for scale in table.vector(2, np.float32))
        points = tuple(int(point) for point in table.vector(3, np.int64))
        axis = table.number(6)
        if len(points) == 1:
            points *= len(scales)
        if len(scales) > 1 and (not 0 <= axis < len(shape) or shape[axis] != len(scales)):
            raise _refused(f"A tensor of the shape {shape} has {len(scales)} scales along its axis {axis}", place)
        if len(points) != len(scales):
            raise _refused(f"A tensor has {len(scales)} scales and {len(points)} zero points", place)
        if not all(math.isfinite(scale) and scale > 0 for scale in scales):
            wrong = next(scale for scale in scales if not (math.isfinite(scale) and scale > 0))
            raise _refused(f"A tensor has the scale {wrong}", place, _REQUANTISE)
        if not all(-128 <= point <= 127 for point in points):
            raise _refused("A tensor has a zero point outside of int8", place, _REQUANTISE)
        return Quantisation(scales, points, axis)


def short(name: str) -> str:
    """What a person needs of a converter's name, which may list a whole path for every operator it was fused from."""
    first = name.split(";")[0]
    return first if len(first) <= MAX_PLACE else "…" + first[-MAX_PLACE:]


def printable(text: str) -> str:
    """A name for people: one line without control characters."""
    return "".join(char if char.isprintable() else "?" for char in text)


_REQUANTISE = "Quantise the model again; a scale like this comes from calibration data without any spread."


def _refused(
    what: str, where: str, next_step: str = "Convert the model again for LiteRT, as one graph."
) -> ConvertError:
    return ConvertError(f"{what}.", where=where, next_step=next_step, format="mcu")

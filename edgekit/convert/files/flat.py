"""A reader of flatbuffers by field number, for files that may be damaged or hostile.

The layout (little endian; https://flatbuffers.dev/internals): a table begins with the distance to its vtable, which
holds the place of each field by its number in the schema. Numbers never change in a schema that is kept compatible, so
no generated code is needed. Every offset is checked against the file before anything is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.errors import RuntimeCrashError

Bytes = npt.NDArray[np.uint8]


class Buffer:
    """The bytes of one flatbuffer inside a file; ``where`` names the file in errors."""

    def __init__(self, content: Bytes, where: str) -> None:
        self.content = content
        self.where = where

    def root(self, at: int = 0) -> Table:
        """The root table whose offset is at byte ``at``."""
        return Table(self, at + self.number("<I", at))

    def number(self, code: str, at: int) -> Any:
        """One number in struct's notation.

        Raises:
            RuntimeCrashError: it lies outside the buffer.
        """
        size = struct.calcsize(code)
        return struct.unpack(code, self.part(at, size).tobytes())[0]

    def part(self, at: int, size: int) -> Bytes:
        """``size`` bytes from byte ``at``; not a copy.

        Raises:
            RuntimeCrashError: they lie outside the buffer.
        """
        if at < 0 or size < 0 or at + size > len(self.content):
            raise damaged(f"{size} bytes at byte {at} lie outside its {len(self.content)} bytes", self.where)
        return self.content[at : at + size]


class Table:
    """One table of a flatbuffer; fields are asked for by their number in the schema."""

    def __init__(self, buffer: Buffer, at: int) -> None:
        self._buffer = buffer
        self._at = at
        vtable = at - buffer.number("<i", at)
        self._places = buffer.part(vtable + 4, max(0, buffer.number("<H", vtable) - 4) // 2 * 2).view("<u2")

    def _place(self, field: int) -> int | None:
        offset = int(self._places[field]) if field < len(self._places) else 0
        return self._at + offset if offset else None

    def number(self, field: int, code: str = "<i", default: int = 0) -> int:
        """A whole number; ``code`` is its type in struct's notation."""
        place = self._place(field)
        return default if place is None else int(self._buffer.number(code, place))

    def real(self, field: int, default: float = 0.0) -> float:
        """A float32."""
        place = self._place(field)
        return default if place is None else float(self._buffer.number("<f", place))

    def table(self, field: int) -> Table | None:
        """A table, or the value of a union."""
        place = self._place(field)
        return None if place is None else Table(self._buffer, place + self._buffer.number("<I", place))

    def text(self, field: int) -> str:
        """A string; empty if it is missing."""
        return self.vector(field, np.uint8).tobytes().decode("utf-8", "replace")

    def vector(self, field: int, dtype: Any) -> npt.NDArray[Any]:
        """A vector of numbers; empty if it is missing. Not a copy."""
        start, count = self._vector(field)
        kind = np.dtype(dtype).newbyteorder("<")
        return self._buffer.part(start, count * kind.itemsize).view(kind)

    def count(self, field: int) -> int:
        """How many entries a vector has, as the file states it: to be bounded before they are read."""
        return self._vector(field)[1]

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        return list(self._tables(field))

    def _tables(self, field: int) -> Iterator[Table]:
        start, count = self._vector(field)
        self._buffer.part(start, 4 * count)
        for place in range(start, start + 4 * count, 4):
            yield Table(self._buffer, place + self._buffer.number("<I", place))

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._place(field)
        if place is None:
            return 0, 0
        start = place + self._buffer.number("<I", place)
        return start + 4, self._buffer.number("<I", start)


def shape_of(sizes: npt.NDArray[Any], where: str) -> tuple[int, ...]:
    """A tensor's shape.

    Raises:
        RuntimeCrashError: a size is negative.
    """
    shape = tuple(int(size) for size in sizes)
    if any(size < 0 for size in shape):
        raise damaged(f"a tensor has the shape {shape[:8]}", where)
    return shape


def damaged(what: str, where: str) -> RuntimeCrashError:
    """The error for a file that can't be read."""
    return RuntimeCrashError(
        f"The file is damaged: {what}.",
        where=where,
        next_step="Convert the model again, and check that the file was copied completely.",
    )


def open_file(path: Any) -> Bytes:
    """The bytes of a file, mapped.

    Raises:
        RuntimeCrashError: it is empty or can't be read.
    """
    try:
        return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    except (OSError, ValueError) as error:
        raise damaged(f"it can't be read ({error})", str(path)) from error

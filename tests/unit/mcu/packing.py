"""Packed models made record by record, so that a test chooses every offset and every number itself."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.convert.mcu.kernels import KERNELS

ALIGN = 16
HEADER_BYTES = 96
CRC_AT, CRC_FROM = 12, 16


@dataclass(frozen=True)
class Place:
    """A model input or output."""

    offset: int
    shape: tuple[int, ...]
    scale: float = 0.5
    zero_point: int = 3
    float_outside: bool = False


@dataclass
class Data:
    """The data section under construction."""

    content: bytearray = field(default_factory=bytearray)

    def add(self, values: Any) -> int:
        """Append an array; its offset."""
        self.content += bytes(-len(self.content) % 4)
        self.content += np.ascontiguousarray(values).tobytes()
        return len(self.content) - np.asarray(values).nbytes


def pack(
    records: Sequence[tuple[str, dict[str, int]]],
    data: bytes,
    arena_bytes: int,
    inputs: Sequence[Place],
    outputs: Sequence[Place],
    *,
    name: str = "test",
) -> bytes:
    """The bytes of a model file; records as (kernel, fields)."""
    packed = [KERNELS[kernel].pack(fields) for kernel, fields in records]
    offsets_at = HEADER_BYTES
    records_at = offsets_at + 4 * len(packed)
    starts = np.cumsum([records_at, *map(len, packed)])
    tensors_at = int(starts[-1])
    tensors = b"".join(_tensor(place) for place in (*inputs, *outputs))
    data_at = -(-(tensors_at + len(tensors)) // ALIGN) * ALIGN
    names = b"".join(f"{text}\0".encode() for text in (name, *(kernel for kernel, _ in records)))
    names_at = data_at + len(data)
    body = struct.pack(
        "<10I", arena_bytes, len(packed), offsets_at, len(inputs), len(outputs), tensors_at, data_at, len(data),
        names_at, len(names),
    )  # fmt: skip
    file = bytearray(CRC_FROM + 32) + body + bytes(8) + struct.pack(f"<{len(packed)}I", *starts[:-1]) + b"".join(packed)
    file += tensors + bytes(data_at - tensors_at - len(tensors)) + data + names
    struct.pack_into("<IHHI", file, 0, 0x314D4B45, 1, 0, len(file))
    return sealed(file)


def sealed(file: bytes | bytearray) -> bytes:
    """The file with the checksum that fits its content."""
    made = bytearray(file)
    struct.pack_into("<I", made, CRC_AT, zlib.crc32(made[CRC_FROM:]))
    return bytes(made)


def _tensor(place: Place) -> bytes:
    dims = [*place.shape, *[0] * (6 - len(place.shape))]
    size = int(np.prod(place.shape))
    return struct.pack(
        "<IIfiii6i", place.offset, size, place.scale, place.zero_point, place.float_outside, len(place.shape), *dims
    )

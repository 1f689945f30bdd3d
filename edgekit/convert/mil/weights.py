"""Weight files in MILBlob's storage format, version 2: a 64-byte header, then pairs of 64-byte metadata and data.

Layout (little endian), from coremltools' ``mlmodel/src/MILBlob/Blob/StorageFormat.hpp``: header ``count u32, version
u32``; metadata ``sentinel u32, dtype u32, size in bytes u64, offset of the data u64, padding in bits u64``; every part
starts at a multiple of 64. A program names an entry by the offset of its metadata.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from edgekit.convert.mil.dtypes import BLOB_DTYPES, Dtype
from edgekit.convert.mil.failures import refused
from edgekit.convert.mil.limits import Limits, check_elements
from edgekit.convert.mil.package import Package
from edgekit.errors import RuntimeCrashError

_ENTRY = 64
_SENTINEL = 0xDEADBEEF
_VERSION = 2

Bytes = npt.NDArray[np.uint8]


class WeightFiles:
    """The weight files of one package, each mapped once; tensors share the mapping's memory where they can."""

    def __init__(self, package: Package, limits: Limits) -> None:
        self._package = package
        self._limits = limits
        self._mapped: dict[str, Bytes] = {}
        self._used: dict[tuple[str, int], int] = {}

    @property
    def used_bytes(self) -> int:
        """Bytes of the tensors that were asked for so far, each entry counted once."""
        return sum(self._used.values())

    def tensor(self, file_name: str, offset: int, dtype: Dtype, shape: Sequence[int]) -> torch.Tensor:
        """The tensor whose metadata is at ``offset``.

        Raises:
            RuntimeCrashError: there is no such file or entry, it is cut off, or it has another dtype or size.
        """
        path = self._package.file(file_name)
        if file_name not in self._mapped:
            self._mapped[file_name] = _map(path)
        content = self._mapped[file_name]
        count = check_elements(shape, self._limits, str(path))
        data = _entry(content, offset, dtype, (count * dtype.bits + 7) // 8, path)
        self._used[file_name, offset] = len(data)
        return decode(data, dtype, count).reshape(tuple(shape))


def decode(data: Bytes, dtype: Dtype, count: int) -> torch.Tensor:
    """``count`` elements from their bytes; below 8 bits they are packed from the lowest bit on."""
    if dtype.numpy:
        values = data.view(dtype.numpy)
        if values.dtype.kind == "u" and dtype.bits > 8:  # of these torch converts nothing
            values = values.astype(np.int64)
        return torch.from_numpy(values).to(dtype.storage)
    bits = np.unpackbits(data, bitorder="little", count=count * dtype.bits).reshape(count, dtype.bits)
    weights = (1 << np.arange(dtype.bits)).astype(np.int16)
    if dtype.name.startswith("int"):
        weights[-1] = -weights[-1]  # two's complement
    return torch.from_numpy((bits * weights).sum(axis=1)).to(dtype.storage)


def _map(path: Path) -> Bytes:
    """The file's bytes, mapped privately: torch wants memory that it could write to."""
    try:
        size = path.stat().st_size if path.is_file() else -1
        if size < 0:
            raise refused(f"The .mlpackage's weight file {path.name} is missing.", str(path))
        if size < _ENTRY:
            raise refused(f"The .mlpackage's weight file {path.name} is cut off.", str(path))
        content: Bytes = np.asarray(np.memmap(path, dtype=np.uint8, mode="c"))
    except OSError as error:
        raise refused(f"The weight file can't be read: {error.strerror}.", str(path)) from error
    _, version = struct.unpack_from("<II", content[:_ENTRY].tobytes())
    if version != _VERSION:
        raise refused(f"The weight file has the storage version {version}, not {_VERSION}.", str(path))
    return content


def _entry(content: Bytes, offset: int, dtype: Dtype, size: int, path: Path) -> Bytes:
    def damaged(what: str) -> RuntimeCrashError:
        return refused(f"The weight file's entry at byte {offset} {what}.", str(path))

    if offset % _ENTRY or not _ENTRY <= offset <= len(content) - _ENTRY:
        raise damaged(f"lies outside the file ({len(content)} bytes) or between its entries")
    sentinel, blob_type, stated, start, _ = struct.unpack_from("<IIQQQ", content[offset : offset + _ENTRY].tobytes())
    if sentinel != _SENTINEL:
        raise damaged("has no marker of an entry")
    if BLOB_DTYPES.get(blob_type) != dtype.name:
        raise damaged(f"holds {BLOB_DTYPES.get(blob_type, blob_type)}, not {dtype.name}")
    if stated != size:
        raise damaged(f"has {stated} bytes, but its tensor needs {size}")
    if start % _ENTRY or start + size > len(content):
        raise damaged(f"is cut off: its data end at byte {start + size} of {len(content)}")
    return content[start : start + size]

"""A reader of packed models (``.ekm``) for people and tools: what is in the file, without running it.

The file may come from anywhere: everything is bounded by its length before it is read.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from edgekit.convert.mcu.kernels import KERNELS
from edgekit.convert.mcu.pack import ALIGN, CRC_FROM, FLAG_DSP, FORMAT_VERSION, HEADER, MAGIC, MAX_DIMS, TENSOR
from edgekit.errors import ModelError

_KERNEL_NAMES = {kernel.kind: name for name, kernel in KERNELS.items()}
_HEAD = struct.Struct("<HH")


@dataclass(frozen=True)
class PackedTensor:
    """An input or output: where in the arena, and real = scale * (stored - zero_point).

    Axis i of ``shape`` is the source model's axis ``axes[i]``.
    """

    offset: int
    bytes: int
    scale: float
    zero_point: int
    float_outside: bool
    shape: tuple[int, ...]
    axes: tuple[int, ...]


@dataclass(frozen=True)
class PackedOperator:
    """One operator: its name, its kernel (null if this edgekit does not know it), and its record's fields."""

    name: str
    kind: int
    kernel: str | None
    fields: dict[str, int]


@dataclass(frozen=True)
class Packed:
    """What a packed model says of itself. Sizes in bytes.

    ``peak_operator``: the operator during which the arena is fullest; null if there is none.
    """

    name: str
    source_sha256: str
    dsp: bool
    file_bytes: int
    arena_bytes: int
    data_bytes: int
    operators: tuple[PackedOperator, ...]
    inputs: tuple[PackedTensor, ...]
    outputs: tuple[PackedTensor, ...]
    peak_operator: str | None


@dataclass(frozen=True)
class _Header:
    version: int
    flags: int
    file_bytes: int
    crc32: int
    source_sha256: bytes
    arena_bytes: int
    operators: int
    operators_at: int
    inputs: int
    outputs: int
    tensors_at: int
    data_at: int
    data_bytes: int
    names_at: int
    names_bytes: int
    peak: int


def unpack(content: bytes, where: str = "packed model") -> Packed:
    """Read a packed model; bytes behind its stated length are ignored.

    Raises:
        ModelError: this is no packed model, one of another format version, or a damaged one.
    """
    header = _header(content, where)
    content = content[: header.file_bytes]
    if zlib.crc32(content[CRC_FROM:]) != header.crc32:
        raise _damaged("its checksum is wrong", where)
    if header.data_at % ALIGN:
        raise _damaged("its data is not aligned", where)
    _part(content, header.data_at, header.data_bytes, "data", where)
    texts = _names(content, header, where)
    offsets = struct.unpack(
        f"<{header.operators}I", _part(content, header.operators_at, 4 * header.operators, "operators", where)
    )
    operators = tuple(_operator(content, at, name, where) for at, name in zip(offsets, texts[1:], strict=True))
    count = header.inputs + header.outputs
    table = _part(content, header.tensors_at, TENSOR.size * count, "inputs and outputs", where)
    tensors = [_tensor(fields, header.arena_bytes, where) for fields in TENSOR.iter_unpack(table)]
    return Packed(
        name=texts[0],
        source_sha256=header.source_sha256.hex(),
        dsp=bool(header.flags & FLAG_DSP),
        file_bytes=header.file_bytes,
        arena_bytes=header.arena_bytes,
        data_bytes=header.data_bytes,
        operators=operators,
        inputs=tuple(tensors[: header.inputs]),
        outputs=tuple(tensors[header.inputs :]),
        peak_operator=operators[header.peak - 1].name if 0 < header.peak <= len(operators) else None,
    )


def _header(content: bytes, where: str) -> _Header:
    if len(content) < HEADER.size:
        raise _damaged(f"it has {len(content)} bytes where its header alone has {HEADER.size}", where)
    magic, *fields = HEADER.unpack_from(content)
    if magic != MAGIC:
        raise ModelError(
            "The file is no packed microcontroller model (.ekm).",
            where=where,
            next_step="Compile one from an int8 .tflite with edgekit convert --to mcu.",
        )
    header = _Header(*fields[:16])
    if header.version != FORMAT_VERSION or header.flags & ~FLAG_DSP:
        raise ModelError(
            f"The packed model has the format version {header.version} (flags {header.flags:#x}); this edgekit reads "
            f"{FORMAT_VERSION}.",
            where=where,
            next_step="Compile the model again with this version of edgekit.",
        )
    if not HEADER.size <= header.file_bytes <= len(content):
        raise _damaged(f"it states {header.file_bytes} bytes and has {len(content)}", where)
    return header


def _part(content: bytes, at: int, size: int, what: str, where: str) -> bytes:
    """Bytes of a section; refuses what leaves the file."""
    if at < HEADER.size or at + size > len(content):
        raise _damaged(f"its {what} ({size} bytes at byte {at}) leave its {len(content)} bytes", where)
    return content[at : at + size]


def _names(content: bytes, header: _Header, where: str) -> list[str]:
    raw = _part(content, header.names_at, header.names_bytes, "names", where)
    texts = raw.split(b"\0", header.operators + 1)
    if len(texts) != header.operators + 2:
        raise _damaged(f"it has {len(texts) - 1} names for {header.operators} operators and itself", where)
    return [text.decode("utf-8", "replace") for text in texts[:-1]]


def _operator(content: bytes, at: int, name: str, where: str) -> PackedOperator:
    kind, size = _HEAD.unpack(_part(content, at, _HEAD.size, f"operator {name}", where))
    record = _part(content, at, max(size, _HEAD.size), f"operator {name}", where)[_HEAD.size :]
    if size < _HEAD.size or len(record) % 4:
        raise _damaged(f"operator {name} has a record of {size} bytes", where)
    values = [value for (value,) in struct.iter_unpack("<i", record)]
    kernel = _KERNEL_NAMES.get(kind)
    if kernel is None:
        return PackedOperator(name, kind, None, {})
    fields = KERNELS[kernel].fields
    if len(fields) != len(values):
        raise _damaged(f"operator {name} has {len(values)} fields where {kernel} has {len(fields)}", where)
    return PackedOperator(name, kind, kernel, dict(zip(fields, values, strict=True)))


def _tensor(fields: tuple[int, ...], arena_bytes: int, where: str) -> PackedTensor:
    offset, size, scale, zero_point, float_outside, rank, *dims = fields
    if not 0 <= rank <= MAX_DIMS or offset + size > arena_bytes:
        raise _damaged(f"an input or output ({size} bytes at {offset}, {rank} dimensions) leaves the arena", where)
    axes = unpack_axes(rank, dims[-1])
    if sorted(axes) != list(range(rank)):
        raise _damaged(f"an input or output has the axes {axes}", where)
    return PackedTensor(offset, size, float(scale), zero_point, bool(float_outside), tuple(dims[:rank]), axes)


def unpack_axes(rank: int, stated: int) -> tuple[int, ...]:
    """The order of axes that the last of an ek_tensor's dims states; 0: the source model's own."""
    if rank >= MAX_DIMS or stated == 0:
        return tuple(range(rank))
    return tuple(stated >> 4 * place & 15 for place in range(rank))


def _damaged(what: str, where: str) -> ModelError:
    return ModelError(
        f"The packed model is damaged: {what}.",
        where=where,
        next_step="Compile the model again, and check that the file was copied completely.",
    )

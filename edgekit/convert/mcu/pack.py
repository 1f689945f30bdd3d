"""Program and plan → the bytes of a packed model (``.ekm``), as ``mcu/include/edgekit/model.h`` lays it out.

The same program and plan always give the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import numpy as np

from edgekit.convert.mcu.kernels import KERNELS
from edgekit.convert.mcu.steps import Endpoint, Plan, Program, Step
from edgekit.errors import ConvertError

MAGIC = 0x314D4B45  # "EKM1"
FORMAT_VERSION = 1
ALIGN = 16
FLAG_DSP = 1
MAX_DIMS = 6
MAX_NAME_BYTES = 48  # of the model; names stand in the flash
MAX_STEP_BYTES = 24  # of an operator

# magic version flags file_bytes crc32 | source_sha256 arena_bytes operators operators_offset inputs outputs
# tensors_offset data_offset data_bytes names_offset names_bytes peak_operator reserved
HEADER = struct.Struct("<IHHII32s12I")
CRC_FROM = 16  # the checksum covers everything from source_sha256 on
# offset bytes scale zero_point float_outside rank dims[6]
TENSOR = struct.Struct("<IIfiii6i")


def pack(program: Program, plan: Plan) -> bytes:
    """The file's bytes. Operators are in the plan's order; equal constants are stored once.

    Raises:
        ConvertError: a step's numbers do not fit its record.
    """
    data = _Data()
    records = [_record(program.steps[number], plan.offsets, plan.scratch[number], data) for number in plan.order]
    ends = (*program.inputs, *program.outputs)
    tensors = b"".join(_tensor(end, program.buffers[end.buffer].bytes, plan.offsets[end.buffer]) for end in ends)
    peak = plan.order.index(plan.peak_step) + 1 if plan.order else 0
    names = _names(program.name, (program.steps[number].name for number in plan.order))
    first = HEADER.size + 4 * len(records)
    places = np.cumsum([first, *(len(record) for record in records)]).tolist()
    tensors_at = places.pop()
    data_at = _up(tensors_at + len(tensors), ALIGN)
    names_at = data_at + len(data.content)
    body = bytearray(struct.pack(f"<{len(places)}I", *places) + b"".join(records) + tensors)
    body += bytes(data_at - HEADER.size - len(body)) + data.content + names
    body += bytes(-len(body) % 4)
    # fmt: off
    header = HEADER.pack(
        MAGIC, FORMAT_VERSION, FLAG_DSP if program.dsp else 0, HEADER.size + len(body), 0, _sha256(program),
        plan.arena_bytes, len(records), HEADER.size, len(program.inputs), len(program.outputs), tensors_at,
        data_at, len(data.content), names_at, len(names), peak, 0,
    )
    # fmt: on
    crc = zlib.crc32(header[CRC_FROM:] + body)
    return header[: CRC_FROM - 4] + struct.pack("<I", crc) + header[CRC_FROM:] + bytes(body)


def step_name(name: str) -> str:
    """How a step is called in the file: its number and kind, which is what its place in the model begins with."""
    return _cut(" ".join(name.split(" ")[:2]), MAX_STEP_BYTES)


class _Data:
    """The data section while it grows; equal pieces are stored once."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._known: dict[bytes, int] = {}

    def add(self, piece: bytes) -> int:
        """The offset of these bytes."""
        if piece not in self._known:
            self._known[piece] = len(self.content)
            self.content += piece + bytes(-len(piece) % ALIGN)
        return self._known[piece]


def _record(step: Step, offsets: tuple[int, ...], scratch: int, data: _Data) -> bytes:
    kernel = KERNELS[step.kernel]
    values = dict(step.fields)
    values.update({field: offsets[buffer] for field, buffer in step.offsets.items()})
    for field, piece in step.data.items():
        values[field] = data.add(np.ascontiguousarray(piece).astype(piece.dtype.newbyteorder("<")).tobytes())
    if "scratch" in kernel.fields:
        values["scratch"] = scratch if step.scratch_bytes else 0
        values.setdefault("scratch_bytes", step.scratch_bytes)
    try:
        return kernel.pack(values)
    except (ValueError, struct.error) as error:
        raise ConvertError(
            f"A step does not fit the record of its kernel {step.kernel}: {error}.",
            where=step.name,
            next_step="This is a fault of edgekit's compiler: report it with the model.",
            format="mcu",
        ) from error


def _tensor(end: Endpoint, buffer_bytes: int, offset: int) -> bytes:
    size = int(np.prod(end.shape, dtype=np.int64))
    if size > buffer_bytes or len(end.shape) > MAX_DIMS:
        raise ConvertError(
            f'"{end.name}" has the shape {end.shape}, which does not fit its {buffer_bytes} bytes.',
            where=end.name,
            next_step="This is a fault of edgekit's compiler: report it with the model.",
            format="mcu",
        )
    dims = [*end.shape, *(0,) * (MAX_DIMS - len(end.shape))]
    if end.axes:
        dims[-1] = pack_axes(end.axes)
    return TENSOR.pack(offset, size, end.scale, end.zero_point, int(end.float_outside), len(end.shape), *dims)


def pack_axes(axes: tuple[int, ...]) -> int:
    """An order of at most five axes as the last of an ek_tensor's dims: four bits each, the first lowest."""
    if sorted(axes) != list(range(len(axes))) or len(axes) >= MAX_DIMS:
        raise ValueError(f"no order of at most {MAX_DIMS - 1} axes: {axes}")
    return sum(axis << 4 * place for place, axis in enumerate(axes))


def _names(model: str, steps: Iterable[str]) -> bytes:
    texts = [_cut(model, MAX_NAME_BYTES), *(step_name(step) for step in steps)]
    return b"".join(text.encode() + b"\0" for text in texts)


def _cut(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, without the NUL that ends a name."""
    return text.replace("\0", "?").encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _sha256(program: Program) -> bytes:
    return bytes.fromhex(program.source_sha256) if program.source_sha256 else bytes(32)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple

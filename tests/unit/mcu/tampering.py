"""Packed models that were tampered with, and are well-formed all the same."""

from __future__ import annotations

import struct
import zlib

from edgekit.convert.mcu.kernels import KERNELS
from edgekit.convert.mcu.pack import CRC_FROM, HEADER
from edgekit.convert.mcu.unpack import unpack

_OPERATORS_AT, _DATA_AT = 8, 12  # fields of the header


def with_other_weights(ekm: bytes, count: int = 64) -> bytes:
    """The model after the first ``count`` weights of its first convolution were turned over; its checksum is right."""
    data_at = HEADER.unpack_from(ekm)[_DATA_AT]
    convolution = next(op for op in unpack(ekm).operators if op.kernel == "conv")
    start = data_at + convolution.fields["weights"]
    changed = bytearray(ekm)
    for at in range(start, start + count):
        changed[at] ^= 0x40
    return _checked(changed)


def with_field(ekm: bytes, operator: int, name: str, value: int) -> bytes:
    """The model after this field of the operator's record was set; its checksum is right."""
    (record_at,) = struct.unpack_from("<I", ekm, HEADER.unpack_from(ekm)[_OPERATORS_AT] + 4 * operator)
    kernel = unpack(ekm).operators[operator].kernel
    assert kernel is not None
    changed = bytearray(ekm)
    struct.pack_into("<i", changed, record_at + 4 + 4 * KERNELS[kernel].fields.index(name), value)
    return _checked(changed)


def _checked(content: bytearray) -> bytes:
    content[CRC_FROM - 4 : CRC_FROM] = struct.pack("<I", zlib.crc32(content[CRC_FROM:]))
    return bytes(content)

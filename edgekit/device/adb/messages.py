"""The packets of the adb protocol (AOSP packages/modules/adb/protocol.txt): pure bytes, no input or output."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edgekit.errors import DeviceError

CNXN, AUTH, OPEN, OKAY, WRTE, CLSE, STLS = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE", b"STLS")
)
AUTH_TOKEN, AUTH_SIGNATURE, AUTH_PUBLIC_KEY = 1, 2, 3
TOKEN_BYTES = 20

# From this version on, receivers don't look at the checksum.
VERSION_WITH_CHECKSUM, VERSION = 0x01000000, 0x01000001
MAX_PAYLOAD = 1024 * 1024
MAX_PAYLOAD_LEGACY = 4096
_HEADER = struct.Struct("<6I")
HEADER_BYTES = _HEADER.size
_KNOWN = frozenset((CNXN, AUTH, OPEN, OKAY, WRTE, CLSE, STLS))


@dataclass(frozen=True)
class Header:
    """The fixed part of a packet; ``length`` is that of the payload after it."""

    command: int
    arg0: int
    arg1: int
    length: int
    checksum: int


def pack(command: int, arg0: int, arg1: int, data: bytes | memoryview = b"", *, with_checksum: bool = False) -> bytes:
    """The header of a packet whose payload is ``data``."""
    checksum = checksum_of(data) if with_checksum else 0
    return _HEADER.pack(command, arg0, arg1, len(data), checksum, command ^ 0xFFFFFFFF)


def checksum_of(data: bytes | memoryview) -> int:
    """The sum of all bytes, modulo 2^32."""
    return sum(data) & 0xFFFFFFFF


def unpack(raw: bytes | bytearray, where: str = "") -> Header:
    """Read a header of :data:`HEADER_BYTES` that came from ``where``.

    Raises:
        DeviceError: it is none of the protocol's, or announces more than the largest payload.
    """
    command, arg0, arg1, length, checksum, magic = _HEADER.unpack(raw)
    if command not in _KNOWN or magic != command ^ 0xFFFFFFFF or length > MAX_PAYLOAD:
        raise DeviceError(
            "What answers there does not speak the adb protocol, or not correctly.",
            where=where,
            next_step="Check the address: it must be the device's adb port, not another service.",
        )
    return Header(command, arg0, arg1, length, checksum)


@dataclass(frozen=True)
class Banner:
    """What a device says of itself when it accepts a connection."""

    kind: str
    properties: dict[str, str]
    features: frozenset[str]


def parse_banner(data: bytes | bytearray) -> Banner:
    """Read ``device::ro.product.name=x;ro.product.model=y;features=a,b``."""
    text = data[:4096].rstrip(b"\0").decode("utf-8", "replace")
    kind, _, rest = text.partition(":")
    _, _, rest = rest.partition(":")
    facts = dict(part.partition("=")[::2] for part in rest.split(";") if "=" in part)
    features = frozenset(facts.pop("features", "").split(",")) - {""}
    return Banner(kind, facts, features)

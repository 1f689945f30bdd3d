"""Image formats of the RP2040: the checksum of its second boot stage, and UF2 files for its USB boot loader."""

from __future__ import annotations

import struct

from build import BuildError

BOOT2_BYTES = 256
FLASH = 0x10000000
FAMILY_RP2040 = 0xE48BFF56
_PAYLOAD = 256


def crc32_mpeg2(data: bytes) -> int:
    """CRC-32 with polynomial 0x04C11DB7, started with ones, not reflected and not inverted: what the boot ROM computes
    (RP2040 datasheet, 2.8.1.3.1)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


def boot2_sealed(code: bytes) -> bytes:
    """The second stage padded to 252 bytes, with its checksum behind it. ``code`` may be padded to 256 already.

    Raises:
        BuildError: it is longer.
    """
    body = code[: BOOT2_BYTES - 4]
    if len(code) > BOOT2_BYTES or any(code[BOOT2_BYTES - 4 :]):
        raise BuildError(f"the RP2040's second boot stage has {len(code)} bytes, at most 252.")
    body = body.ljust(BOOT2_BYTES - 4, b"\0")
    return body + struct.pack("<I", crc32_mpeg2(body))


def uf2(image: bytes, address: int = FLASH) -> bytes:
    """The image as blocks of UF2 (github.com/microsoft/uf2), 256 bytes each, to be copied onto the Pico's drive."""
    parts = [image[at : at + _PAYLOAD].ljust(_PAYLOAD, b"\0") for at in range(0, len(image), _PAYLOAD)]
    blocks = []
    for number, part in enumerate(parts):
        head = struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, address + number * _PAYLOAD, _PAYLOAD, number,
                           len(parts), FAMILY_RP2040)  # fmt: skip
        blocks.append(head + part.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30))
    return b"".join(blocks)

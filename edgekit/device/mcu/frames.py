"""Frames on the serial line: the Python side of ``mcu/agent/frames.h``; mcu/agent/PROTOCOL.md is the document."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from edgekit.device.mcu import cobs

PROTOCOL = 1
BULK_BYTES = 992
PAYLOAD_BYTES = 1000
_HEADER = struct.Struct("<BBHHH")
_CRC_BYTES = 4
_LEAST, MOST = _HEADER.size + _CRC_BYTES, _HEADER.size + PAYLOAD_BYTES + _CRC_BYTES
_MOST_STUFFED = MOST + MOST // 254 + 1


class Kind(IntEnum):
    """What a frame is; the answer to a request has the request's number with the top bit set."""

    IDENTIFY = 1
    LOAD_BEGIN = 2
    LOAD_DATA = 3
    LOAD_END = 4
    OPEN = 5
    INPUT = 6
    RUN = 7
    OUTPUT = 8
    BENCH = 9
    PROFILE = 10
    MEMORY = 11
    RESET = 12
    ERROR = 0xE0
    RESEND = 0xE1
    WORKING = 0xE2
    ACKNOWLEDGED = 0xE3


ANSWER = 0x80


@dataclass(frozen=True)
class Frame:
    """One frame. ``sequence`` and ``next`` count requests modulo 2**16; ``next`` is what the agent expects."""

    type: int
    session: int
    sequence: int
    next: int = 0
    payload: bytes = b""
    protocol: int = PROTOCOL


def encode(frame: Frame) -> bytes:
    """The frame as it goes over the wire, the zero at its end included."""
    head = _HEADER.pack(frame.protocol, frame.type, frame.session, frame.sequence, frame.next)
    raw = head + frame.payload
    return cobs.encode(raw + zlib.crc32(raw).to_bytes(_CRC_BYTES, "little")) + b"\0"


def parse(raw: bytes) -> Frame | None:
    """The frame that these unstuffed bytes are, or None if they are damaged."""
    if not _LEAST <= len(raw) <= MOST:
        return None
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    if zlib.crc32(body).to_bytes(_CRC_BYTES, "little") != crc:
        return None
    protocol, kind, session, sequence, following = _HEADER.unpack_from(body)
    return Frame(kind, session, sequence, following, body[_HEADER.size :], protocol)


class Decoder:
    """Frames out of a stream of bytes; holds at most one unfinished frame. What is no frame is counted and dropped."""

    def __init__(self) -> None:
        self._unfinished = bytearray()
        self._too_long = False
        self.rubbish_bytes = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end within ``data``."""
        *ended, rest = data.split(b"\0")
        frames = []
        for piece in ended:
            self._append(piece)
            frame = self._end()
            if frame:
                frames.append(frame)
        self._append(rest)
        return frames

    def _append(self, piece: bytes) -> None:
        if self._too_long or len(self._unfinished) + len(piece) > _MOST_STUFFED:
            self.rubbish_bytes += len(self._unfinished) + len(piece)
            self._unfinished.clear()
            self._too_long = True
        else:
            self._unfinished += piece

    def _end(self) -> Frame | None:
        stuffed, self._unfinished = bytes(self._unfinished), bytearray()
        too_long, self._too_long = self._too_long, False
        if too_long or not stuffed:
            return None
        raw = cobs.decode(stuffed)
        frame = parse(raw) if raw is not None else None
        if frame is None:
            self.rubbish_bytes += len(stuffed)
        return frame

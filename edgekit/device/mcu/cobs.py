"""Consistent overhead byte stuffing (Cheshire and Baker, 1999): bytes without a zero, so that one can end a frame."""

from __future__ import annotations

_FULL = 254  # the longest run of one block


def encode(data: bytes) -> bytes:
    """The stuffed bytes, without the zero that ends a frame."""
    out = bytearray()
    *middle, last = data.split(b"\0")
    for run in middle:
        while len(run) >= _FULL:
            out += b"\xff" + run[:_FULL]
            run = run[_FULL:]
        out.append(len(run) + 1)
        out += run
    while len(last) > _FULL:
        out += b"\xff" + last[:_FULL]
        last = last[_FULL:]
    out.append(len(last) + 1)
    return bytes(out + last)


def decode(stuffed: bytes) -> bytes | None:
    """The bytes behind what arrived between two zeros, or None if it is damaged."""
    out = bytearray()
    at, end = 0, len(stuffed)
    if not end or 0 in stuffed:
        return None
    while True:
        code = stuffed[at]
        if at + code > end:
            return None
        out += stuffed[at + 1 : at + code]
        at += code
        if at == end:
            return bytes(out)
        if code <= _FULL:
            out.append(0)

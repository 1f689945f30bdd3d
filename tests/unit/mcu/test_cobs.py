from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.device.mcu import cobs

# The examples of Cheshire and Baker's paper as they are commonly quoted, without the zero at the end.
KNOWN = [
    (b"", "01"),
    (b"\0", "0101"),
    (b"\0\0", "010101"),
    (b"\0\x11\0", "01021101"),
    (b"\x11\x22\0\x33", "0311220233"),
    (b"\x11\x22\x33\x44", "0511223344"),
    (b"\x11\0\0\0", "0211010101"),
    (bytes(range(1, 255)), "ff" + bytes(range(1, 255)).hex()),
    (bytes(range(0, 255)), "01ff" + bytes(range(1, 255)).hex()),
    (bytes(range(1, 256)), "ff" + bytes(range(1, 255)).hex() + "02ff"),
    (bytes(range(2, 256)) + b"\0", "ff" + bytes(range(2, 256)).hex() + "0101"),
    (bytes(range(3, 256)) + b"\0\1", "fe" + bytes(range(3, 256)).hex() + "0201"),
]


@pytest.mark.parametrize(("plain", "stuffed"), KNOWN)
def test_known_bytes(plain: bytes, stuffed: str) -> None:
    assert cobs.encode(plain).hex() == stuffed
    assert cobs.decode(bytes.fromhex(stuffed)) == plain


@given(st.lists(st.one_of(st.binary(max_size=8), st.integers(250, 260).map(lambda n: b"\7" * n))).map(b"".join))
def test_round_trip(plain: bytes) -> None:
    stuffed = cobs.encode(plain)
    assert 0 not in stuffed
    assert len(stuffed) <= len(plain) + len(plain) // 254 + 1
    assert cobs.decode(stuffed) == plain


@pytest.mark.parametrize("damaged", [b"", b"\x02", b"\x05abc", b"\x02a\x09", b"\x02a\0\x02b"])
def test_damaged(damaged: bytes) -> None:
    assert cobs.decode(damaged) is None


@given(st.binary(max_size=600))
def test_whatever_arrives_is_decoded_or_refused(data: bytes) -> None:
    plain = cobs.decode(data)
    assert plain is None or len(plain) <= len(data)

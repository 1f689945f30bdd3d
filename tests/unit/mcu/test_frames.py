"""Frames in Python, and the same wire bytes in C."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcu_agents import build_wire

from edgekit.device.mcu import answers, cobs, frames
from edgekit.device.mcu.frames import Decoder, Frame, Kind

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/mcu_frames.json").read_text(encoding="utf-8"))["frames"]


class Wire:
    """The C side, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, line: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def encode(self, frame: Frame) -> bytes:
        numbers = (frame.protocol, int(frame.type), frame.session, frame.sequence, frame.next)
        return bytes.fromhex(self.ask(f"encode {' '.join(map(str, numbers))} {frame.payload.hex() or '-'}"))

    def decode(self, wire: bytes) -> str:
        return self.ask(f"decode {wire.hex()}")


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    program = build_wire(tmp_path_factory.mktemp("wire"))
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Wire(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(10) == 0


def text(frame: Frame) -> str:
    numbers = (frame.protocol, int(frame.type), frame.session, frame.sequence, frame.next)
    return f"{' '.join(map(str, numbers))} {frame.payload.hex() or '-'}"


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_golden_bytes_on_both_sides(wire: Wire, case: dict[str, Any]) -> None:
    numbers = {name: case[name] for name in ("protocol", "type", "session", "sequence", "next")}
    frame = Frame(payload=bytes.fromhex(case["payload"]), **numbers)
    golden = bytes.fromhex(str(case["wire"]))
    assert frames.encode(frame) == golden == wire.encode(frame)
    assert Decoder().feed(golden) == [frame]
    assert wire.decode(golden) == text(frame)


def test_random_frames_are_the_same_on_both_sides(wire: Wire) -> None:
    chance = random.Random(3)
    for _ in range(150):
        payload = bytes(chance.choice((0, 0, 1, 255, chance.randrange(256))) for _ in range(chance.randrange(1001)))
        frame = Frame(chance.randrange(256), *(chance.randrange(65536) for _ in range(3)), payload)
        encoded = frames.encode(frame)
        assert wire.encode(frame) == encoded
        assert wire.decode(encoded) == text(frame)


def test_damage_is_seen_on_both_sides(wire: Wire) -> None:
    chance = random.Random(4)
    good = frames.encode(Frame(Kind.LOAD_DATA, 1, 2, 0, chance.randbytes(100)))
    for _ in range(200):
        at = chance.randrange(len(good) - 1)
        bad = good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1 :]
        assert Decoder().feed(bad) == []
        assert wire.decode(bad).startswith("damaged")
        # A turned bit may have made a zero, which makes two frames of it.
        for _ in range(bad.count(0) - 1):
            assert wire._process.stdout and wire._process.stdout.readline().strip() == "damaged"


def test_the_wire_program_knows_cut_and_long_frames(wire: Wire) -> None:
    good = frames.encode(Frame(1, 2, 3))
    assert wire.decode(good[:-1]) == "more"
    assert wire.decode(b"\1" * 4000 + b"\0") == "damaged"
    assert wire.decode(b"\x09ab\0") == "damaged"
    # Left over from the calls before: nothing.
    assert wire.decode(good) == "1 1 2 3 0 -"


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000])
def test_sha256(wire: Wire, size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert wire.ask(f"sha256 {data.hex() or '-'}") == hashlib.sha256(data).hexdigest()


@given(st.lists(st.integers(0, 400), max_size=6), st.integers(1, 50))
def test_a_stream_in_pieces(sizes: list[int], piece: int) -> None:
    sent = [Frame(3, 1, number, 0, bytes([number]) * size) for number, size in enumerate(sizes)]
    stream = b"\0" + b"rubbish\0" + b"".join(map(frames.encode, sent))
    decoder, got = Decoder(), []
    for at in range(0, len(stream), piece):
        got += decoder.feed(stream[at : at + piece])
    assert got == sent
    assert decoder.rubbish_bytes == 7


def test_rubbish_without_an_end_takes_no_memory() -> None:
    decoder = Decoder()
    for _ in range(100):
        assert decoder.feed(b"\xff" * 4096) == []
    assert len(decoder._unfinished) <= frames.MOST + 16
    assert decoder.rubbish_bytes >= 90 * 4096
    frame = Frame(1, 2, 3)
    assert decoder.feed(b"\0" + frames.encode(frame)) == [frame]


@given(st.binary(max_size=1100))
def test_whatever_arrives_is_a_frame_or_not(data: bytes) -> None:
    frame = frames.parse(data)
    assert frame is None or len(frame.payload) <= frames.PAYLOAD_BYTES
    for parser in (answers.identity, answers.opened, answers.memory, answers.profile, lambda p: answers.bench(p, 3)):
        with suppress(answers.MalformedError):
            parser(data)


def test_an_identity() -> None:
    numbers = (4, 992, 3, 216_000_000, 1, 1, 1, 327_680, 1_048_576, 262_144, 786_432, 4, 262_144, 7000)
    head = b"".join(n.to_bytes(4, "little") for n in numbers)
    identity = answers.identity(head + b"0.1.0\0abcd\0stm32f746g_disco\0cortex-m7\0")
    assert (identity.board, identity.core, identity.kernels) == ("stm32f746g_disco", "cortex-m7", "dsp")
    assert (identity.clock_hz, identity.counts, identity.store_is_flash) == (216_000_000, "cycles", True)
    for bad in (
        b"",
        b"a\0b\0c\0",
        b"a\0b\0c\0d",
        b"a\0b\0c\0d\0e\0",
        b"a\0b\0c\0\0",
        b"a\0b\xff\0c\0d\0",
        b"a\0b\0c;d\0d\0",
        b"a\0" * 3 + b"d" * 65 + b"\0",
    ):
        with pytest.raises(answers.MalformedError):
            answers.identity(head + bad)


def test_frames_fill_their_bound() -> None:
    longest = Frame(3, 65535, 65535, 65535, b"\x01" * frames.PAYLOAD_BYTES)
    assert len(frames.encode(longest)) <= 1018
    assert Decoder().feed(frames.encode(longest)) == [longest]
    too_long = cobs.encode(b"\x01" * (frames.MOST + 1)) + b"\0"
    assert Decoder().feed(too_long) == []

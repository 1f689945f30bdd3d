from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.device.adb import messages, shell
from edgekit.device.adb.link import Patience
from edgekit.device.adb.messages import MAX_PAYLOAD, parse_banner, unpack
from edgekit.device.adb.sync import Sync
from edgekit.errors import DeviceError, LinkLostError

COMMANDS = (messages.CNXN, messages.AUTH, messages.OPEN, messages.OKAY, messages.WRTE, messages.CLSE, messages.STLS)
uint32 = st.integers(0, 0xFFFFFFFF)


class Canned:
    """A link whose only service sends these pieces and takes everything."""

    name, how, lost = "canned", "from the test", False
    features = frozenset({"shell_v2"})

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.opened: list[str] = []

    def open(self, service: str, timeout_s: float) -> Canned:
        self.opened.append(service)
        return self

    def send(self, data: memoryview, timeout_s: float) -> int:
        return len(data)

    def receive(self, timeout_s: float) -> memoryview | None:
        return memoryview(next(self._pieces, b""))

    def close(self) -> None:
        pass


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, none of them empty."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def test_the_wire_format_of_a_packet() -> None:
    """From AOSP's protocol.txt."""
    assert messages.pack(messages.WRTE, 1, 2, b"\xff\x01", with_checksum=True) == (
        b"WRTE" + struct.pack("<IIII", 1, 2, 2, 0x100) + bytes(c ^ 0xFF for c in b"WRTE")
    )


@given(st.sampled_from(COMMANDS), uint32, uint32, st.binary(max_size=100), st.booleans())
def test_what_was_packed_is_unpacked(command: int, arg0: int, arg1: int, data: bytes, checksum: bool) -> None:
    header = unpack(messages.pack(command, arg0, arg1, data, with_checksum=checksum))
    assert (header.command, header.arg0, header.arg1, header.length) == (command, arg0, arg1, len(data))
    assert header.checksum == (sum(data) if checksum else 0)


@given(st.binary(min_size=24, max_size=24))
def test_any_24_bytes_are_a_packet_of_bounded_length_or_an_error(raw: bytes) -> None:
    try:
        header = unpack(raw, "there")
    except DeviceError as error:
        assert error.where == "there"
    else:
        assert header.command in COMMANDS and header.length <= MAX_PAYLOAD


@given(st.sampled_from(COMMANDS), uint32)
def test_a_length_over_the_largest_payload_is_an_error(command: int, length: int) -> None:
    raw = struct.pack("<6I", command, 0, 0, length, 0, command ^ 0xFFFFFFFF)
    if length > MAX_PAYLOAD:
        with pytest.raises(DeviceError):
            unpack(raw)
    else:
        assert unpack(raw).length == length


@given(st.binary(max_size=6000))
def test_any_banner_is_read(data: bytes) -> None:
    banner = parse_banner(data)
    assert sum(map(len, banner.features)) <= 4096
    assert "" not in banner.features and "features" not in banner.properties


def test_a_phone_s_banner() -> None:
    data = b"device::ro.product.name=panther;ro.product.model=Pixel 7;ro.product.device=panther;features=shell_v2,cmd\0"
    banner = parse_banner(data)
    assert banner.kind == "device"
    assert banner.properties["ro.product.model"] == "Pixel 7"
    assert banner.features == {"shell_v2", "cmd"}
    assert parse_banner(b"device:serial:").features == frozenset()


packets = st.lists(st.tuples(st.sampled_from([0, 1, 2, 4, 9]), st.binary(max_size=40)), max_size=12)
places = st.lists(st.integers(0, 1000), max_size=20)


@given(packets, st.integers(0, 255), places)
def test_a_shell_answer_is_read_however_it_is_cut(sent: list[tuple[int, bytes]], code: int, where: list[int]) -> None:
    stream = b"".join(struct.pack("<BI", kind, len(data)) + data for kind, data in sent)
    stream += struct.pack("<BIB", 3, 1, code)
    link = Canned(cut(stream, where))
    answer = shell.run(link, ["x"], what="test", patience=Patience(), say=print)
    out, err = (b"".join(data for kind, data in sent if kind == wanted) for wanted in (1, 2))
    assert answer == shell.Result(code, out, err)
    assert answer.complaint.isprintable() and len(answer.complaint) <= 200


@given(st.binary(max_size=200), places)
def test_any_bytes_as_a_shell_answer_end_in_a_result_or_an_error(data: bytes, where: list[int]) -> None:
    """A lost link is never an exit code."""
    try:
        answer = shell.run(Canned(cut(data, where)), ["x"], what="test", patience=Patience(), say=print)
    except (LinkLostError, DeviceError):
        return
    assert b"\3" in data and 0 <= answer.code <= 255


def test_an_exit_packet_without_a_code_counts_as_a_failure() -> None:
    answer = shell.run(Canned([b"\3\0\0\0\0"]), ["x"], what="test", patience=Patience(), say=print)
    assert answer.code == 255 and answer.complaint == "exit code 255"


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), places)
def test_a_pulled_file_is_read_however_it_is_cut(chunks: list[bytes], where: list[int]) -> None:
    stream = b"".join(b"DATA" + struct.pack("<I", len(chunk)) + chunk for chunk in chunks) + b"DONE\0\0\0\0"
    sink = io.BytesIO()
    sync = Sync(Canned(cut(stream, where)), Patience(), print)
    assert sync.pull("/x", sink, limit=10_000) == len(b"".join(chunks))
    assert sink.getvalue() == b"".join(chunks)


def test_a_sink_that_takes_little_at_a_time_gets_everything() -> None:
    class Slow(io.BytesIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            return super().write(bytes(data[:3]))

    sink = Slow()
    sync = Sync(Canned([b"DATA\x0a\0\0\0" + b"0123456789" + b"DONE\0\0\0\0"]), Patience(), print)
    assert sync.pull("/x", sink, limit=100) == 10
    assert sink.getvalue() == b"0123456789"


@given(st.text(max_size=300))
def test_what_is_shown_is_printable_and_short(text: str) -> None:
    shown = shell.printable(text, 40)
    assert len(shown) <= 40 and (shown.isprintable())

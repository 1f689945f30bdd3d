"""Replies that no adbd sends: each ends with an error in bounded time and memory, and nothing of them is shown raw."""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from edgekit.device.adb import shell
from edgekit.device.adb.connection import Connection
from edgekit.device.adb.direct import connect_tcp
from edgekit.device.adb.link import Link, Patience
from edgekit.device.adb.messages import AUTH, CLSE, CNXN, OKAY, OPEN, VERSION, WRTE
from edgekit.device.adb.server import ServerLink, listed
from edgekit.device.adb.sync import Sync
from edgekit.errors import DeadlineError, DeviceError, LinkLostError

from .peer import BANNER, QUICK, Peer, device, linked, pair

MIB = 1 << 20


def run(link: Link, deadline_s: float = 5.0) -> shell.Result:
    return shell.run(link, ["true"], what="test", patience=QUICK, say=print, deadline_s=deadline_s)


def sync_of(link: Link) -> Sync:
    return Sync(link, QUICK, print)


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """The most bytes that were in use since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


# While connecting


@pytest.mark.parametrize(
    "answer",
    [
        struct.pack("<6I", CNXN, VERSION, 1 << 20, 0xFFFFFFFF, 0, CNXN ^ 0xFFFFFFFF),
        struct.pack("<6I", CNXN, VERSION, 1 << 20, MIB + 1, 0, CNXN ^ 0xFFFFFFFF),
        struct.pack("<6I", CNXN, VERSION, 1 << 20, 0, 0, CNXN),
        struct.pack("<6I", 0x41414141, 0, 0, 0, 0, 0x41414141 ^ 0xFFFFFFFF),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x1b[31m" * 20,
    ],
)  # fmt: skip
def test_what_is_no_packet_is_told_without_repeating_it(answer: bytes, memory: Callable[[], int]) -> None:
    def script(peer: Peer) -> None:
        peer.expect(CNXN)
        peer.socket.sendall(answer)
        peer.wait_for_end()

    with device(script) as (host, port), pytest.raises(DeviceError, match="does not speak the adb protocol") as caught:
        connect_tcp(host, port, patience=QUICK, say=print)
    assert caught.value.where == f"{host}:{port}"
    assert "\x1b" not in caught.value.message
    assert memory() < 3 * MIB


def test_a_banner_without_end_is_cut(memory: Callable[[], int]) -> None:
    with linked(Peer.wait_for_end, banner=b"device::" + b"a=b;" * 250_000) as link:
        assert link.features == frozenset()
    assert memory() < 8 * MIB


def test_who_hangs_up_while_connecting_is_told() -> None:
    with device(lambda peer: peer.expect(CNXN) and None) as (host, port), pytest.raises(LinkLostError):
        connect_tcp(host, port, patience=QUICK, say=print)


def test_who_never_answers_is_told_within_the_bound() -> None:
    said: list[str] = []
    with device(Peer.wait_for_end) as (host, port):
        begun = time.monotonic()
        with pytest.raises(DeviceError, match="accepts connections but has not answered") as caught:
            connect_tcp(host, port, patience=QUICK, say=said.append)
        assert QUICK.limit_s <= time.monotonic() - begun < QUICK.limit_s + 1
    assert caught.value.facts["silent_s"] >= QUICK.limit_s
    assert "giving up in" in said[0]


def test_a_handshake_that_dribbles_or_never_ends_is_left() -> None:
    def dribble(peer: Peer) -> None:
        for byte in struct.pack("<6I", CNXN, VERSION, 1 << 20, 0, 0, CNXN ^ 0xFFFFFFFF):
            peer.socket.sendall(bytes([byte]))
            time.sleep(0.15)

    def leftovers(peer: Peer) -> None:
        while True:
            peer.send(WRTE, 1, 1, b"x")

    for script in (dribble, leftovers):
        with device(script) as (host, port):
            begun = time.monotonic()
            with pytest.raises(DeviceError):
                connect_tcp(host, port, patience=QUICK, say=print)
            assert time.monotonic() - begun < QUICK.limit_s + 1


def test_nobody_there_and_a_host_name_that_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for host in ("127.0.0.1", "a" * 70 + ".example", "..", ""):
        with pytest.raises(DeviceError, match="There is no adb device at"):
            connect_tcp(host, port, patience=QUICK, say=print)


# While services are open


def test_a_flood_without_acknowledgement_ends_the_link_in_bounded_memory(memory: Callable[[], int]) -> None:
    connection, peer = pair()

    def flood() -> None:
        identity, _ = peer.service()
        with pytest.raises(OSError):
            for _ in range(100):
                peer.send(WRTE, 7, identity, bytes(MIB))

    thread = threading.Thread(target=flood)
    thread.start()
    quiet = connection.open("quiet:", 5)
    assert quiet is not None
    with pytest.raises(DeviceError, match="sends before it may"):
        connection.wait(lambda: False, 5)
    thread.join(5)
    assert connection.broken
    assert memory() < 12 * MIB


def test_a_flood_of_empty_packets_is_ended_too() -> None:
    connection, peer = pair()

    def flood() -> None:
        identity, _ = peer.service()
        with pytest.raises(OSError):
            for _ in range(100_000):
                peer.send(WRTE, 7, identity)

    thread = threading.Thread(target=flood)
    thread.start()
    assert connection.open("quiet:", 5)
    with pytest.raises(DeviceError, match="sends before it may"):
        connection.wait(lambda: False, 5)
    thread.join(5)


def test_data_before_the_service_is_open_end_the_link() -> None:
    def script(peer: Peer) -> None:
        header, _ = peer.expect(OPEN)
        peer.send(WRTE, 7, header.arg0, b"early")
        peer.wait_for_end()

    with linked(script) as link, pytest.raises(DeviceError, match="sends before it may"):
        run(link)


def test_packets_for_nobody_are_refused_and_the_link_goes_on() -> None:
    def script(peer: Peer) -> None:
        host_id, _ = peer.service()
        peer.send(WRTE, 99, 12345, b"for nobody")
        assert (peer.expect(CLSE)[0].arg0, 99) == (12345, 99)
        peer.send(CLSE, 99, 54321)
        peer.send(CNXN, VERSION, 4096, BANNER)
        peer.send(AUTH, 1, host_id, bytes(20))
        peer.write(host_id, b"\3\1\0\0\0\5")
        peer.wait_for_end()

    with linked(script) as link:
        assert run(link).code == 5
        assert not link.lost


def test_an_answer_after_the_time_is_refused_so_that_no_service_stays_open() -> None:
    connection, peer = pair()
    with pytest.raises(TimeoutError):
        connection.open("slow:", 0.05)
    header, _ = peer.expect(OPEN)
    peer.send(OKAY, 31, header.arg0)
    assert not connection.broken
    assert (lambda h: (h.arg0, h.arg1))(peer.expect(CLSE)[0]) == (header.arg0, 31)
    assert connection._services == {}


def test_a_refused_service_leaves_nothing() -> None:
    connection, peer = pair()
    thread = threading.Thread(target=lambda: peer.send(CLSE, 0, peer.expect(OPEN)[0].arg0))
    thread.start()
    assert connection.open("none:", 5) is None
    thread.join()
    assert connection._services == {}


def test_a_service_closed_with_unread_data_tells_the_device_and_refuses_what_is_under_way() -> None:
    connection, peer = pair()

    def talk() -> None:
        identity, _ = peer.service()
        peer.send(WRTE, 7, identity, b"never read")
        assert peer.expect(CLSE)[0].arg1 == 7
        peer.send(WRTE, 7, identity, b"under way")

    thread = threading.Thread(target=talk)
    thread.start()
    service = connection.open("talk:", 5)
    assert service is not None
    connection.wait(lambda: service._received, 5)
    service.close()
    thread.join()
    assert not connection.broken
    assert peer.expect(CLSE)[0].arg1 == 7
    assert connection._services == {}


def test_a_packet_with_a_wrong_length_in_the_middle_ends_the_link() -> None:
    def script(peer: Peer) -> None:
        peer.service()
        peer.socket.sendall(struct.pack("<6I", WRTE, 7, 1, 0xFFFFFFFF, 0, WRTE ^ 0xFFFFFFFF))
        peer.wait_for_end()

    with linked(script) as link:
        with pytest.raises(DeviceError, match="does not speak the adb protocol"):
            run(link)
        assert link.lost


def test_a_shell_packet_with_a_huge_length_is_an_error(memory: Callable[[], int]) -> None:
    def script(peer: Peer) -> None:
        host_id, _ = peer.service()
        peer.write(host_id, b"\1\xff\xff\xff\xff" + bytes(1000))
        peer.wait_for_end()

    with linked(script) as link, pytest.raises(DeviceError, match="packet of 4294967295 bytes"):
        run(link)
    assert memory() < MIB


def test_output_in_single_bytes_takes_no_more_memory_than_its_size(memory: Callable[[], int]) -> None:
    def script(peer: Peer) -> None:
        host_id, _ = peer.service()
        one = b"\1\2\0\0\0ab"
        for _ in range(8):
            peer.write(host_id, one * 10_000)
        peer.write(host_id, b"\3\1\0\0\0\0")
        peer.wait_for_end()

    with linked(script) as link:
        assert run(link, deadline_s=60.0).stdout == b"ab" * 80_000  # tracing every allocation takes its time
    assert memory() < 2 * MIB


@pytest.mark.parametrize("pause_s", [0.05, 0.25])
def test_a_device_that_dribbles_is_left_at_the_deadline(pause_s: float) -> None:
    """Both within the patience and beyond it; it gives every sign of life that it is asked for."""

    def script(peer: Peer) -> None:
        identity, _ = peer.service()
        threading.Thread(target=lambda: peer.refuse_all(), daemon=True).start()
        while True:
            peer.send(WRTE, 7, identity, b"\0")
            time.sleep(pause_s)

    with linked(script) as link:
        begun = time.monotonic()
        with pytest.raises(DeadlineError):
            run(link, deadline_s=0.8)
        assert 0.8 <= time.monotonic() - begun < 1.5


def test_a_service_that_accepts_nothing_more_is_left_when_the_device_is_dead() -> None:
    left = threading.Event()

    def script(peer: Peer) -> None:
        peer.service()
        left.wait(10)

    with linked(script) as link:
        begun = time.monotonic()
        with pytest.raises(DeviceError, match="has not answered for"):
            sync_of(link).push(io.BytesIO(bytes(16 * MIB)), "/x")
        assert time.monotonic() - begun < QUICK.limit_s + 0.5
        left.set()


def test_no_step_waits_longer_than_the_patience_or_the_deadline() -> None:
    slow = Patience(ask_s=5, notice_s=0.1, limit_s=0.4)

    def script(peer: Peer) -> None:
        peer.service()
        peer.wait_for_end()

    for deadline_s, expected in ((60.0, "has not answered for 0 s"), (0.3, r"did not end within 0\.3 s")):
        with linked(script) as link:
            begun = time.monotonic()
            with pytest.raises((DeviceError, DeadlineError), match=expected):
                shell.run(link, ["true"], what="test", patience=slow, say=print, deadline_s=deadline_s)
            assert time.monotonic() - begun < 0.9


# Transfers


def request(peer: Peer, count: int = 8) -> int:
    host_id, name = peer.service()
    assert name == b"sync:\0"
    peer.expect(WRTE)
    peer.send(OKAY, 7, host_id)
    return host_id


@pytest.mark.parametrize("reply", [b"DATA\x01\0\1\0", b"DATA\xff\xff\xff\xff", b"DATA\0\0\0\0", b"\x1b[31mXXX"])
def test_a_pull_that_sends_what_no_adbd_sends(reply: bytes, memory: Callable[[], int]) -> None:
    def script(peer: Peer) -> None:
        peer.write(request(peer), reply + bytes(70_000))
        peer.wait_for_end()

    sink = io.BytesIO()
    with linked(script) as link, pytest.raises(DeviceError, match="what the sync protocol does not know") as caught:
        sync_of(link).pull("/x", sink, limit=1 << 30)
    assert sink.getvalue() == b""
    assert "\x1b" not in caught.value.message
    assert memory() < MIB


def test_a_refusal_of_megabytes_with_escape_sequences_is_cut_and_cleaned(memory: Callable[[], int]) -> None:
    text = "\x1b]0;owned\x07\x1b[2J\r\n\u202e".encode() * 100_000

    def script(peer: Peer) -> None:
        host_id = request(peer)
        peer.write(host_id, b"FAIL" + struct.pack("<I", len(text)))
        peer.send(WRTE, 7, host_id, text[: 1 << 20])
        peer.wait_for_end()

    with linked(script) as link, pytest.raises(DeviceError, match="refused the pull of /x") as caught:
        sync_of(link).pull("/x", io.BytesIO(), limit=1 << 30)
    assert caught.value.message.isprintable() and len(caught.value.message) < 500
    assert caught.value.facts["said"].isprintable()
    assert memory() < 8 * MIB


def test_a_daemon_that_closes_a_push_at_once_has_its_reason_heard() -> None:
    """Older ones do, instead of taking the rest of the file."""

    def script(peer: Peer) -> None:
        host_id = request(peer)
        peer.expect(WRTE)
        peer.send(WRTE, 7, host_id, b"FAIL\x17\0\0\0No space left on device")
        peer.send(CLSE, 7, host_id)
        peer.wait_for_end()

    with linked(script) as link:
        with pytest.raises(DeviceError, match=r"refused the push of /x: No space left on device\.") as caught:
            sync_of(link).push(io.BytesIO(bytes(8 * MIB)), "/x")
        assert not isinstance(caught.value, LinkLostError)


def test_a_daemon_that_closes_a_push_without_a_word_is_a_lost_link() -> None:
    def script(peer: Peer) -> None:
        peer.send(CLSE, 7, request(peer))
        peer.wait_for_end()

    with linked(script) as link:
        with pytest.raises(LinkLostError):
            sync_of(link).push(io.BytesIO(bytes(8 * MIB)), "/x")
        assert not link.lost


@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_transfer_that_dribbles_is_left(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """It gives every sign of life that it is asked for."""
    monkeypatch.setattr("edgekit.device.adb.sync._GRACE_S", 0.8)
    monkeypatch.setattr("edgekit.device.adb.sync._LEAST_BYTES_PER_S", 1 << 30)

    def script(peer: Peer) -> None:
        host_id = request(peer)
        threading.Thread(target=lambda: peer.refuse_all(), daemon=True).start()
        while True:
            peer.send(WRTE if way == "pull" else OKAY, 7, host_id, b"DATA\1\0\0\0x" if way == "pull" else b"")
            time.sleep(0.05 if way == "pull" else 0.2)

    with linked(script) as link:
        begun = time.monotonic()
        with pytest.raises(DeadlineError, match=rf"The {way} on .* did not end within"):
            if way == "pull":
                sync_of(link).pull("/x", io.BytesIO(), limit=1 << 30)
            else:
                sync_of(link).push(io.BytesIO(bytes(16 * MIB)), "/x")
        assert time.monotonic() - begun < 2


# Old devices


@pytest.mark.parametrize("payload", [0, 4096, 256 * 1024])
def test_an_old_device_gets_checksums_and_small_packets(payload: int) -> None:
    """Before Android 9 a receiver drops a packet whose checksum is wrong."""
    data, taken = bytes(range(256)) * 1000, bytearray()

    def script(peer: Peer) -> None:
        peer.verify_checksums = True
        peer.accept(version=0x01000000, payload=payload)
        host_id, _ = peer.service()
        peer.expect(WRTE)
        peer.send(OKAY, 7, host_id)
        while b"DONE" not in taken[-8:]:
            header, part = peer.expect(WRTE)
            assert header.length <= max(payload, 4096)
            taken.extend(part)
            peer.send(OKAY, 7, host_id)
        peer.write(host_id, b"OKAY\0\0\0\0")
        peer.wait_for_end()

    with device(script) as (host, port):
        link = connect_tcp(host, port, patience=Patience(), say=print)
        assert sync_of(link).push(io.BytesIO(data), "/x") == len(data)
        with pytest.raises(DeviceError, match="takes no command of more than"):
            link.open("shell:" + "x" * max(payload, 4096), 1)
        link.close()
    assert len(taken) == len(data) + 8 * 4 + 8


def test_a_device_without_shell_protocol_2_is_told() -> None:
    with (
        linked(Peer.wait_for_end, banner=b"device::features=cmd") as link,
        pytest.raises(DeviceError, match="no shell protocol 2"),
    ):
        run(link)


# The connection's own care


def test_an_interrupt_in_the_middle_of_a_packet_ends_the_connection() -> None:
    connection, peer = pair()

    class Interrupted:
        def __bool__(self) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connection.wait(lambda: bool(Interrupted()), 1)
    assert connection.broken
    with pytest.raises(LinkLostError):
        connection.open("x:", 1)
    assert peer.socket.recv(100) == b"", "nothing may follow half a packet"


def test_closing_wakes_the_threads_that_wait() -> None:
    connection, peer = pair()
    ended: list[DeviceError] = []

    def wait(connection: Connection) -> None:
        try:
            connection.wait(lambda: False, 10)
        except DeviceError as error:
            ended.append(error)

    threads = [threading.Thread(target=wait, args=(connection,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    begun = time.monotonic()
    connection.close()
    for thread in threads:
        thread.join(5)
    assert time.monotonic() - begun < 1
    assert [type(error) for error in ended] == [LinkLostError] * 3
    assert peer.socket.recv(1) == b""


def test_a_packet_cut_by_a_time_out_is_finished_before_the_next() -> None:
    connection, peer = pair()
    threading.Thread(target=peer.service, daemon=True).start()
    service = connection.open("sink:", 5)
    assert service is not None
    data = bytearray(b"a" * MIB)
    assert service.send(memoryview(data), 0.05) == MIB  # the socket's buffer is smaller
    data[:] = b"b" * MIB  # what was given may change meanwhile
    assert service.send(memoryview(data), 0.05) == 0  # not acknowledged yet
    got: list[bytes] = []

    def take() -> None:
        got.append(peer.expect(WRTE)[1])
        peer.send(OKAY, 7, service.local_id)

    thread = threading.Thread(target=take)
    thread.start()
    assert connection.wait(lambda: service._may_send, 5)
    thread.join()
    assert got == [b"a" * MIB]
    connection.close()


# The adb server


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([b"FAIL0009\x1b[2Joops!"], "The adb server refuses"),
        ([b"FAILzzzz"], "The adb server lost"),
        ([b"FAILffff"], "The adb server lost"),
        ([b"HTTP/1.1 400 Bad Request\r\n"], "is no adb server"),
        ([b"OKAYffff" + b"a" * 10], "The adb server lost"),
        ([b""], "The adb server lost"),
    ],
)
def test_an_adb_server_that_answers_nonsense(
    answers: list[bytes], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Peer) -> None:
        peer.exactly(int(peer.exactly(4), 16))
        peer.socket.sendall(answers[0])

    with device(script) as (_, port):
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        with pytest.raises(DeviceError, match=expected) as caught:
            ServerLink("phone")
        assert caught.value.message.isprintable()


def test_names_in_the_server_s_list_are_bounded_and_printable(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "good\tdevice\n\x1b[31mbad\tdevice\n\tdevice\nno state\n" + "x" * 300 + "\tdevice\nodd\t\x1b[2J\n"

    def script(peer: Peer) -> None:
        assert peer.exactly(int(peer.exactly(4), 16)) == b"host:devices"
        peer.socket.sendall(b"OKAY" + f"{len(lines):04x}".encode() + lines.encode())

    with device(lambda peer: None, script) as (_, port):  # the first look only sees whether one listens
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        assert [(found.serial, found.state) for found in listed()] == [("good", "device"), ("odd", "?[2J")]


@pytest.mark.parametrize("port", ["", "abc", "0", "70000", "-1"])
def test_a_wrong_port_in_the_environment_is_told(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", port)
    with pytest.raises(DeviceError, match="which is no port"):
        listed()

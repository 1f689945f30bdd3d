"""The adb transport against a real adbd: transfers, commands, and every fault that can be made with the real one."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit/device/adb"))

from adbd import Adbd, adbd, free_port, require
from peer import Peer, device

from edgekit.device.adb import shell
from edgekit.device.adb.direct import connect_tcp
from edgekit.device.adb.link import Link, Patience
from edgekit.device.adb.messages import CLSE, OKAY, WRTE
from edgekit.device.adb.server import ServerLink, listed
from edgekit.device.adb.shell import Result
from edgekit.device.adb.sync import Sync
from edgekit.errors import DeadlineError, DeviceError, LinkLostError

QUICK = Patience(ask_s=0.2, notice_s=0.4, limit_s=2.0)
# A step that waited for patience's end adds at most this, on a busy machine.
SLACK_S = 1.5
REMOTE = "/data/local/tmp"
MIB = 1 << 20
BOTH = pytest.mark.parametrize("way", ["direct", "server"])


class AdbServer:
    """The stock adb server, on a port of its own."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.environment = {**os.environ, "HOME": str(home), "ANDROID_ADB_SERVER_PORT": str(self.port)}
        self.process = subprocess.Popen(
            ["adb", "nodaemon", "server"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: self._listens())

    def connect(self, address: str) -> None:
        self.adb("connect", address)
        wait_until(lambda: f"{address}\tdevice" in self.adb("devices"))

    def adb(self, *arguments: str) -> str:
        return subprocess.run(["adb", *arguments], env=self.environment, capture_output=True, text=True).stdout

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Relay:
    """A cable: forwards one address to another until it is cut, by hand or after so many bytes in both directions."""

    def __init__(self, port: int, cut_after: int | None = None) -> None:
        self._target, self._left, self._lock = port, cut_after, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.host, self.port = "127.0.0.1", int(self._listener.getsockname()[1])
        self.address = f"{self.host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def cut_after(self, count: int) -> None:
        with self._lock:
            self._left = count

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    if self._left is not None:
                        data, self._left = data[: self._left], max(self._left - len(data), 0)
                sink.sendall(data)
                if self._left == 0:
                    break
        self.cut() if self._left == 0 else None
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come to hold"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adbd]:
    """A daemon that no test disturbs."""
    with adbd(tmp_path_factory.mktemp("phone")) as daemon:
        yield daemon


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Adbd]:
    """A daemon of the test's own."""
    with adbd(tmp_path) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    require("adb")
    made = AdbServer(tmp_path_factory.mktemp("home"))
    yield made
    made.kill()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdbServer]:
    """An adb server of the test's own, which edgekit uses too."""
    require("adb")
    made = AdbServer(tmp_path)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(made.port))
    yield made
    made.kill()


@pytest.fixture
def said() -> list[str]:
    return []


Open = Callable[..., Link]


@pytest.fixture
def open_link(
    shared_server: AdbServer, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> Iterator[Callable[[str, Adbd | Relay], Link]]:
    """A link of either kind to a daemon, or to a cable that leads to one; closed in the end."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(shared_server.port))
    with contextlib.ExitStack() as closing:

        def opened(way: str, to: Adbd | Relay) -> Link:
            link: Link
            if way == "direct":
                link = connect_tcp(to.host, to.port, patience=QUICK, say=said.append)
            else:
                shared_server.connect(to.address)
                closing.callback(shared_server.adb, "disconnect", to.address)
                link = ServerLink(to.address)
            closing.callback(link.close)
            return link

        yield opened


def run(link: Link, *arguments: str, say: Callable[[str], None] = print, **options: object) -> Result:
    return shell.run(link, arguments, what="test command", patience=QUICK, say=say, **options)  # type: ignore[arg-type]


def sync_of(link: Link, say: Callable[[str], None] = print) -> Sync:
    return Sync(link, QUICK, say)


def pull(link: Link, path: str, say: Callable[[str], None] = print) -> bytes:
    sink = io.BytesIO()
    sync_of(link, say).pull(path, sink, limit=1 << 30)
    return sink.getvalue()


@functools.cache
def noise(size: int) -> bytes:
    return os.urandom(size)


class At:
    """Does something once, when a transfer has come to so many bytes."""

    def __init__(self, count: int, action: Callable[[], object]) -> None:
        self._count, self._action, self.done = count, action, False

    def __call__(self, moved: int) -> None:
        if not self.done and moved >= self._count:
            self.done = True
            self._action()


class Sink(io.BytesIO):
    """Tells how much was written to it."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        super().__init__()
        self._progress = progress

    def write(self, data: bytes) -> int:  # type: ignore[override]
        count = super().write(data)
        self._progress(self.tell())
        return count


# Commands


@BOTH
def test_every_exit_code_arrives(open_link: Open, phone: Adbd, way: str) -> None:
    link = open_link(way, phone)
    assert [run(link, "sh", "-c", f"exit {code}").code for code in range(256)] == list(range(256))


@BOTH
def test_stderr_is_separate_and_a_signal_is_told(open_link: Open, phone: Adbd, way: str) -> None:
    link = open_link(way, phone)
    assert run(link, "sh", "-c", "echo out; echo err >&2; exit 7") == Result(7, b"out\n", b"err\n")
    assert run(link, "sh", "-c", "sh -c 'kill -9 $$'; exit $?").code == 137


@BOTH
def test_binary_output_arrives_unchanged(open_link: Open, phone: Adbd, way: str) -> None:
    link, data = open_link(way, phone), noise(300_000) + bytes(range(256)) + b"\r\n\0"
    sync_of(link).push(io.BytesIO(data), f"{REMOTE}/binary")
    assert run(link, "cat", f"{REMOTE}/binary").stdout == data


@BOTH
def test_standard_input_is_empty(open_link: Open, phone: Adbd, way: str) -> None:
    begun = time.monotonic()
    assert run(open_link(way, phone), "cat") == Result(0, b"", b"")
    assert time.monotonic() - begun < SLACK_S


@BOTH
def test_arguments_arrive_literally(open_link: Open, phone: Adbd, way: str) -> None:
    arguments = [
        "", " ", "a b", "'", '"', "it's \"so\"", "$(touch /data/local/tmp/evaluated)", "`id`", "$HOME", "a\nb", "\\",
        "\\n", ";exit 3", "&& false", "| cat", "> /x", "*", "?", "~", "#", "!", "%s", "-n", "grün 漢字 🤖", "\t",
        "\x1b[31m", "a" * 20_000,
    ]  # fmt: skip
    answer = run(open_link(way, phone), "sh", "-c", 'for a in "$@"; do printf "%s\\0" "$a"; done', "sh", *arguments)
    assert answer.stdout.decode().split("\0")[:-1] == arguments
    assert not (phone.data / "evaluated").exists()


def test_an_argument_with_a_nul_is_refused_before_it_is_sent(open_link: Open, phone: Adbd) -> None:
    with pytest.raises(ValueError, match="NUL"):
        run(open_link("direct", phone), "echo", "a\0b")


@pytest.mark.parametrize(("way", "size"), [("direct", 2 * MIB), ("server", 70_000)])
def test_a_command_that_is_too_long_is_refused_and_the_link_goes_on(
    open_link: Open, phone: Adbd, way: str, size: int
) -> None:
    link = open_link(way, phone)
    with pytest.raises(DeviceError, match="takes no command of more than"):
        run(link, "echo", "a" * size)
    assert run(link, "echo", "b").stdout == b"b\n"


@BOTH
def test_output_over_the_bound_is_an_error_and_the_link_goes_on(open_link: Open, phone: Adbd, way: str) -> None:
    link = open_link(way, phone)
    assert len(run(link, "head", "-c", "1000000", "/dev/zero", max_output=1_000_000).stdout) == 1_000_000
    with pytest.raises(DeviceError, match="more than 1000000 bytes"):
        run(link, "cat", "/dev/zero", max_output=1_000_000)
    assert run(link, "echo", "b").stdout == b"b\n"


@BOTH
def test_a_command_that_does_not_end_is_left_at_its_deadline(open_link: Open, phone: Adbd, way: str) -> None:
    link, begun = open_link(way, phone), time.monotonic()
    with pytest.raises(DeadlineError, match=r"did not end within 0\.5 s"):
        run(link, "sleep", "60", deadline_s=0.5)
    assert 0.5 <= time.monotonic() - begun < 0.5 + SLACK_S
    with pytest.raises(DeadlineError):  # nor does one that never stops talking
        run(link, "sh", "-c", "while true; do echo; sleep 0.01; done", deadline_s=0.5)
    assert run(link, "echo", "b").stdout == b"b\n"


def test_a_command_longer_than_the_patience_is_waited_for(open_link: Open, phone: Adbd, said: list[str]) -> None:
    """A silent command is no silent device."""
    link = open_link("direct", phone)
    assert run(link, "sh", "-c", "sleep 2.5; echo b", say=said.append).stdout == b"b\n"
    assert said == []


@BOTH
def test_calls_leave_nothing_open(open_link: Open, phone: Adbd, way: str) -> None:
    link = open_link(way, phone)

    def files() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{phone.pid}/fd"))

    def settled() -> bool:
        """What earlier services had open is closed: nothing has changed for a while."""
        seen = files()
        time.sleep(0.2)
        return files() == seen

    run(link, "true")
    wait_until(settled)
    before = files()
    for number in range(200):
        run(link, "true")
        if number % 10 == 0:
            sync_of(link).stat(REMOTE)
    wait_until(lambda: files() == before)


def test_many_threads_share_one_direct_link(open_link: Open, phone: Adbd) -> None:
    link, big = open_link("direct", phone), noise(8 * MIB)

    def command(number: int) -> None:
        size, code = 37 * number * number, number % 256
        script = f"head -c {size} /dev/zero | tr '\\0' x; echo error {number} >&2; exit {code}"
        answer = run(link, "sh", "-c", script)
        assert answer == Result(code, b"x" * size, f"error {number}\n".encode())

    def transfer(number: int) -> None:
        sync_of(link).push(io.BytesIO(big), f"{REMOTE}/big{number}")
        assert pull(link, f"{REMOTE}/big{number}") == big

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(transfer, number) for number in range(2)]
        jobs += [pool.submit(command, number) for number in range(120)]
        for job in jobs:
            job.result(timeout=30)


# Transfers

SIZES = (0, 1, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 5 * MIB + 3)


@BOTH
def test_files_of_every_size_arrive_byte_for_byte(open_link: Open, phone: Adbd, way: str) -> None:
    link = open_link(way, phone)
    for size in SIZES:
        data, path = noise(size), f"{REMOTE}/size"
        assert sync_of(link).push(io.BytesIO(data), path, mode=0o755) == size
        assert (phone.data / "size").read_bytes() == data, size
        assert pull(link, path) == data, size
        found = sync_of(link).stat(path)
        assert (found.exists, found.size, found.mode & 0o700) == (True, size, 0o700)


@BOTH
def test_missing_directories_are_made_and_a_missing_file_is_told_at_once(
    open_link: Open, phone: Adbd, way: str
) -> None:
    link, begun = open_link(way, phone), time.monotonic()
    sync_of(link).push(io.BytesIO(b"a"), f"{REMOTE}/new-{way}/deep/file")
    assert (phone.data / f"new-{way}/deep/file").read_bytes() == b"a"
    assert not sync_of(link).stat(f"{REMOTE}/none").exists
    with pytest.raises(DeviceError, match="No such file or directory"):
        pull(link, f"{REMOTE}/none")
    with pytest.raises(DeviceError, match=r"refused the push of .*/file/below"):
        sync_of(link).push(io.BytesIO(noise(3 * MIB)), f"{REMOTE}/new-{way}/deep/file/below")
    assert time.monotonic() - begun < SLACK_S


@BOTH
def test_a_file_larger_than_expected_is_not_taken(open_link: Open, phone: Adbd, way: str) -> None:
    link, sink = open_link(way, phone), io.BytesIO()
    sync_of(link).push(io.BytesIO(noise(MIB)), f"{REMOTE}/large")
    with pytest.raises(DeviceError, match="larger than the 1000000 bytes"):
        sync_of(link).pull(f"{REMOTE}/large", sink, limit=1_000_000)
    assert sink.tell() <= 1_000_000
    assert run(link, "echo", "b").stdout == b"b\n"


@BOTH
def test_a_full_disk_is_told_in_the_middle_of_the_push(open_link: Open, tmp_path: Path, way: str) -> None:
    with adbd(tmp_path, data_bytes=4 * MIB) as daemon:
        link, sent = open_link(way, daemon), [0]
        with pytest.raises(DeviceError, match="No space left on device") as caught:
            sync_of(link).push(io.BytesIO(noise(64 * MIB)), f"{REMOTE}/big", progress=lambda count: sent.append(count))
        assert type(caught.value) is DeviceError
        assert sent[-1] < 60 * MIB, "the rest was sent although the device had said that it is full"
        wait_until(lambda: not (daemon.data / "big").exists())
        sync_of(link).push(io.BytesIO(noise(MIB)), f"{REMOTE}/small")
        assert (daemon.data / "small").read_bytes() == noise(MIB)


def test_a_daemon_that_closes_a_push_at_once_has_its_reason_heard_through_the_server(server: AdbServer) -> None:
    """The real one reads the rest of the file first; a script stands for an older one behind the real server."""

    def script(peer: Peer) -> None:
        peer.accept(banner=b"device::ro.product.name=old;features=shell_v2,cmd\0")
        host_id, name = peer.service()
        assert name == b"sync:\0"
        for _ in range(3):
            peer.expect(WRTE)
            peer.send(OKAY, 7, host_id)
        peer.send(WRTE, 7, host_id, b"FAIL\x17\0\0\0No space left on device")
        peer.send(CLSE, 7, host_id)
        peer.wait_for_end()

    with device(script) as (host, port):
        server.connect(f"{host}:{port}")
        with pytest.raises(DeviceError, match=r"refused the push of /x: No space left on device\.") as caught:
            sync_of(ServerLink(f"{host}:{port}")).push(io.BytesIO(noise(64 * MIB)), "/x")
        assert type(caught.value) is DeviceError
        server.kill()


@BOTH
def test_a_read_only_target_is_told(open_link: Open, fragile: Adbd, way: str) -> None:
    link, begun = open_link(way, fragile), time.monotonic()
    (fragile.root / "data/local/tmp").chmod(0o555)
    with pytest.raises(DeviceError, match="Permission denied") as caught:
        sync_of(link).push(io.BytesIO(noise(3 * MIB)), f"{REMOTE}/file")
    assert type(caught.value) is DeviceError
    assert time.monotonic() - begun < SLACK_S


@BOTH
def test_an_interrupt_leaves_a_link_that_works_or_says_that_it_is_lost(open_link: Open, phone: Adbd, way: str) -> None:
    """Wherever it strikes: no half packet is followed by another, and the clean-up after it does not hang."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    link, data = open_link(way, phone), noise(64 * MIB)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(24):  # at most 24 ms: the whole push takes longer on any machine
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.001 * (number + 1))  # it may strike before the next line
                if number % 2:
                    sync_of(link).push(io.BytesIO(data), f"{REMOTE}/cut")
                run(link, "cat", "/dev/zero", max_output=1 << 40)
            if link.lost:
                assert way == "direct"
                link = open_link(way, phone)
            assert run(link, "echo", str(number)).stdout == f"{number}\n".encode()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    wait_until(lambda: not (phone.data / "cut").exists())


_MEMORY = """
import sys
from pathlib import Path
from edgekit.device.adb.direct import connect_tcp
from edgekit.device.adb.link import Patience
from edgekit.device.adb.server import ServerLink
from edgekit.device.adb.shell import run
from edgekit.device.adb.sync import Sync

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

way, host, port, small, large, pulled = sys.argv[1:]
link = connect_tcp(host, int(port), patience=Patience(), say=print) if way == "direct" else ServerLink(f"{host}:{port}")
run(link, ["true"], what="start", patience=Patience(), say=print)
before = peak()
for path in (small, large):
    with open(path, "rb") as source:
        Sync(link, Patience(), print).push(source, "/data/local/tmp/memory")
    with open(pulled, "wb") as sink:
        Sync(link, Patience(), print).pull("/data/local/tmp/memory", sink, limit=1 << 30)
    print(peak() - before)
"""


@BOTH
def test_memory_is_constant_in_the_size_of_the_file(open_link: Open, phone: Adbd, tmp_path: Path, way: str) -> None:
    open_link(way, phone)
    small, large, pulled = tmp_path / "small", tmp_path / "large", tmp_path / "pulled"
    small.write_bytes(noise(10 * MIB))
    with large.open("wb") as file:
        for _ in range(20):
            file.write(noise(10 * MIB))
    command = [sys.executable, "-c", _MEMORY, way, phone.host, str(phone.port), str(small), str(large), str(pulled)]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    of_small, of_large = map(int, answer.stdout.split())
    assert of_large < 8 * MIB
    assert of_large - of_small < 4 * MIB
    assert _sha256(pulled) == _sha256(large)
    (phone.data / "memory").unlink()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(MIB):
            digest.update(chunk)
    return digest.hexdigest()


# A link that ends


@BOTH
def test_cable_pulled_at_a_third_of_a_push(open_link: Open, phone: Adbd, way: str) -> None:
    relay = Relay(phone.port)
    link, begun = open_link(way, relay), time.monotonic()
    relay.cut_after(4 * MIB)
    with pytest.raises(LinkLostError):
        sync_of(link).push(io.BytesIO(noise(12 * MIB)), f"{REMOTE}/cut")
    assert time.monotonic() - begun < SLACK_S
    assert link.lost is (way == "direct")
    wait_until(lambda: not (phone.data / "cut").exists())  # the daemon leaves no half of a file
    relay.close()


@BOTH
def test_cable_pulled_at_a_third_of_a_pull(open_link: Open, phone: Adbd, way: str) -> None:
    sync_of(open_link("direct", phone)).push(io.BytesIO(noise(12 * MIB)), f"{REMOTE}/whole")
    relay = Relay(phone.port)
    link = open_link(way, relay)
    relay.cut_after(4 * MIB)
    sink, begun = io.BytesIO(), time.monotonic()
    with pytest.raises(LinkLostError):
        sync_of(link).pull(f"{REMOTE}/whole", sink, limit=1 << 30)
    assert time.monotonic() - begun < SLACK_S
    assert sink.getvalue() == noise(12 * MIB)[: sink.tell()]
    relay.close()


@BOTH
def test_cable_pulled_at_a_third_of_a_command(open_link: Open, phone: Adbd, way: str) -> None:
    """The stock client ends with exit code 0 here."""
    relay = Relay(phone.port)
    link, begun = open_link(way, relay), time.monotonic()
    threading.Timer(0.3, relay.cut).start()
    with pytest.raises(LinkLostError):
        run(link, "sh", "-c", "echo 1; sleep 2; echo 2; sleep 4; echo 3")
    assert time.monotonic() - begun < 0.3 + SLACK_S
    relay.close()


@BOTH
def test_daemon_killed_during_a_push_a_pull_and_a_command(open_link: Open, fragile: Adbd, way: str) -> None:
    link, data = open_link(way, fragile), noise(12 * MIB)
    (fragile.data / "whole").write_bytes(data)
    with pytest.raises(LinkLostError):
        sync_of(link).push(io.BytesIO(data), f"{REMOTE}/cut", progress=At(4 * MIB, fragile.kill))
    fragile.start()
    link = open_link(way, fragile)
    with pytest.raises(LinkLostError):
        sync_of(link).pull(f"{REMOTE}/whole", Sink(At(4 * MIB, fragile.kill)), limit=1 << 30)
    fragile.start()
    link = open_link(way, fragile)
    threading.Timer(0.3, fragile.kill).start()
    with pytest.raises(LinkLostError):
        run(link, "sh", "-c", "echo 1; sleep 5")
    fragile.start()
    assert run(open_link(way, fragile), "echo", "b").stdout == b"b\n"


def test_daemon_restarted_between_two_commands_is_noticed_before_the_next(open_link: Open, fragile: Adbd) -> None:
    link = open_link("direct", fragile)
    run(link, "true")
    assert not link.lost
    fragile.restart()
    assert link.lost
    with pytest.raises(LinkLostError):
        run(link, "true")
    assert run(open_link("direct", fragile), "echo", "b").stdout == b"b\n"


def test_daemon_restarted_behind_the_server(open_link: Open, fragile: Adbd, shared_server: AdbServer) -> None:
    link = open_link("server", fragile)
    fragile.restart()
    wait_until(lambda: f"{fragile.address}\tdevice" not in shared_server.adb("devices"))
    with pytest.raises(LinkLostError):
        run(link, "true")
    shared_server.adb("disconnect", fragile.address)
    shared_server.connect(fragile.address)
    assert run(link, "echo", "b").stdout == b"b\n"  # the same link: each command asks the server anew


def test_adb_server_killed_during_a_push_a_pull_and_a_command(server: AdbServer, phone: Adbd) -> None:
    def again() -> Link:
        server.__init__(Path(server.environment["HOME"]))  # type: ignore[misc]
        os.environ["ANDROID_ADB_SERVER_PORT"] = str(server.port)
        server.connect(phone.address)
        return ServerLink(phone.address)

    server.connect(phone.address)
    link, data = ServerLink(phone.address), noise(12 * MIB)
    with pytest.raises(LinkLostError):
        sync_of(link).push(io.BytesIO(data), f"{REMOTE}/cut", progress=At(4 * MIB, server.kill))
    with pytest.raises(LinkLostError, match="no adb server"):
        run(link, "true")
    link = again()
    (phone.data / "whole").write_bytes(data)
    with pytest.raises(LinkLostError):
        sync_of(link).pull(f"{REMOTE}/whole", Sink(At(4 * MIB, server.kill)), limit=1 << 30)
    link = again()
    threading.Timer(0.3, server.kill).start()
    with pytest.raises(LinkLostError):
        run(link, "sleep", "5")


def test_adb_server_started_meanwhile_leaves_a_direct_link_alone(
    open_link: Open, phone: Adbd, server: AdbServer
) -> None:
    link, data = open_link("direct", phone), noise(12 * MIB)

    def start() -> None:
        server.connect(phone.address)
        assert [device.serial for device in listed()] == [phone.address]

    sync_of(link).push(io.BytesIO(data), f"{REMOTE}/file", progress=At(4 * MIB, start))
    assert run(ServerLink(phone.address), "echo", "b").stdout == b"b\n"
    server.kill()
    assert pull(link, f"{REMOTE}/file") == data


def test_no_server_is_started_by_looking_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    assert listed() == []
    with pytest.raises(LinkLostError, match="no adb server"):
        ServerLink("127.0.0.1:1")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_device_that_the_server_does_not_know(open_link: Open, phone: Adbd) -> None:
    open_link("server", phone)
    with pytest.raises(DeviceError, match="not found") as caught:
        ServerLink("no-such-serial")
    assert "edgekit devices" in caught.value.next_step


# A device that says nothing


def check_recovery(said: list[str]) -> None:
    assert any("has not answered for" in line for line in said), said
    assert said[-1].endswith("answers again")


@BOTH
def test_frozen_and_thawed_during_a_push(open_link: Open, fragile: Adbd, said: list[str], way: str) -> None:
    def freeze() -> None:
        fragile.freeze()
        threading.Timer(1.2, fragile.thaw).start()

    # More than the sockets and the server's queue hold, so that the writer is stopped in the middle of a packet.
    link, data = open_link(way, fragile), noise(64 * MIB)
    sync_of(link, said.append).push(io.BytesIO(data), f"{REMOTE}/file", progress=At(20 * MIB, freeze))
    check_recovery(said)
    assert (fragile.data / "file").read_bytes() == data


@BOTH
def test_frozen_and_thawed_during_a_pull(open_link: Open, fragile: Adbd, said: list[str], way: str) -> None:
    def freeze() -> None:
        fragile.freeze()
        threading.Timer(1.2, fragile.thaw).start()

    link, data = open_link(way, fragile), noise(64 * MIB)
    (fragile.data / "file").write_bytes(data)
    sink = Sink(At(20 * MIB, freeze))
    sync_of(link, said.append).pull(f"{REMOTE}/file", sink, limit=1 << 30)
    check_recovery(said)
    assert sink.getvalue() == data


@BOTH
def test_frozen_and_thawed_during_a_command(open_link: Open, fragile: Adbd, said: list[str], way: str) -> None:
    link = open_link(way, fragile)
    threading.Timer(0.2, fragile.freeze).start()
    threading.Timer(1.4, fragile.thaw).start()
    answer = run(link, "sh", "-c", "sleep 1.2; echo b", say=said.append)
    assert answer.stdout == b"b\n"
    check_recovery(said)


@BOTH
def test_never_thawed_ends_within_the_bound(open_link: Open, fragile: Adbd, said: list[str], way: str) -> None:
    link, data = open_link(way, fragile), noise(64 * MIB)
    frozen: list[float] = []

    def freeze() -> None:
        fragile.freeze()
        frozen.append(time.monotonic())

    with pytest.raises(DeviceError, match=r"has not answered for 2 s \(during the push\)") as caught:
        sync_of(link, said.append).push(io.BytesIO(data), f"{REMOTE}/file", progress=At(20 * MIB, freeze))
    assert QUICK.limit_s <= time.monotonic() - frozen[0] < QUICK.limit_s + SLACK_S
    assert caught.value.facts["silent_s"] >= QUICK.limit_s
    begun = time.monotonic()
    with pytest.raises(DeviceError, match="has not answered for 2 s"):
        run(link, "true", say=said.append)
    assert time.monotonic() - begun < QUICK.limit_s + SLACK_S
    begun = time.monotonic()
    link.close()
    assert time.monotonic() - begun < SLACK_S
    if way == "direct":
        begun = time.monotonic()
        with pytest.raises(DeviceError, match="accepts connections but has not answered for 2 s"):
            open_link(way, fragile)
        assert time.monotonic() - begun < QUICK.limit_s + SLACK_S


def test_a_frozen_adb_server_ends_within_the_bound(server: AdbServer, phone: Adbd, said: list[str]) -> None:
    server.connect(phone.address)
    link = ServerLink(phone.address)
    os.kill(server.process.pid, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(DeviceError, match="has not answered for 2 s"):
        run(link, "true", say=said.append)
    assert time.monotonic() - begun < QUICK.limit_s + SLACK_S

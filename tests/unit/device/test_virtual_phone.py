"""The virtual phone's state, image and process, without QEMU: processes that look like it, and scripts in its place
for what the real one can't be made to do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.device import virtual_phone, virtual_qemu
from edgekit.device.lease import process_start
from edgekit.errors import DeadlineError, DeviceError, UsageError

from .phone_parts import stand_in, write_image

NAME = "phone-arm64"
PATIENT = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
PLAIN = "import time; print(flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own."""
    monkeypatch.setenv("EDGEKIT_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data/virtual"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image that is whole, but nothing that boots."""
    return write_image(tmp_path / "image", b"no kernel", b"no files")


@contextlib.contextmanager
def lookalike(
    folder: Path, name: str = NAME, code: str = PLAIN, program: str = virtual_qemu.QEMU
) -> Iterator[subprocess.Popen[str]]:
    """A process whose command line is a phone's QEMU's as far as it is looked at."""
    console = folder / f"{name}.console.log"
    console.touch()
    process = subprocess.Popen(
        [f"/usr/bin/{program}", "-I", "-S", "-c", code, f"file:{console}"], executable=sys.executable,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == "\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def ended(process: subprocess.Popen[str]) -> bool:
    """Whether it has ended; how is not known, because the code under test has taken its exit status."""
    process.wait(10)
    return not Path(f"/proc/{process.pid}").exists()


def write_state(folder: Path, pid: int, **other: object) -> Path:
    facts: dict[str, object] = {
        "name": NAME, "host": "127.0.0.1", "port": 20002, "pid": pid, "started": process_start(pid), "since": 1.0,
        "boot_s": 5.0, "boot_id": "0", "image": "/image", "schema": 1,
    }  # fmt: skip
    path = folder / f"{facts['name']}.json"
    path.write_text(json.dumps({**facts, **other}))
    return path


def test_nothing_was_started(places: Path) -> None:
    assert virtual_phone.running() is None
    assert virtual_phone.phones() == []
    assert virtual_phone.stop() is False


def test_a_running_phone_is_found_and_stopped(places: Path) -> None:
    with lookalike(places) as process:
        write_state(places, process.pid)
        found = virtual_phone.running()
        assert found is not None
        assert (found.spec, found.host, found.port, found.pid) == (f"virtual:{NAME}", "127.0.0.1", 20002, process.pid)
        assert [p.state for p in virtual_phone.phones()] == ["running"]
        assert virtual_phone.stop() is True
        assert ended(process)
    assert virtual_phone.phones() == []
    assert sorted(path.name for path in places.iterdir()) == [f"{NAME}.lock"]


def test_a_frozen_phone_is_shown_and_stopped_at_once(places: Path) -> None:
    with lookalike(places) as process:
        write_state(places, process.pid)
        process.send_signal(signal.SIGSTOP)
        give_up = time.monotonic() + 10
        while virtual_phone.phone(NAME).state != "frozen":
            assert time.monotonic() < give_up
        assert virtual_phone.running() is not None
        began = time.monotonic()
        assert virtual_phone.stop() is True
        assert time.monotonic() - began < 3
        assert ended(process)


def test_one_that_ignores_the_request_is_killed(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_qemu, "_STOP_S", 0.3)
    with lookalike(places, code=PATIENT) as process:
        write_state(places, process.pid)
        assert virtual_phone.stop() is True
        assert ended(process)


def test_a_recycled_number_is_neither_a_phone_nor_ended(places: Path) -> None:
    with lookalike(places, program="another-program") as process:
        write_state(places, process.pid)
        assert virtual_phone.phone(NAME).state == "dead"
        assert virtual_phone.stop() is False
        assert process.poll() is None


def test_another_phones_process_is_not_taken_for_this_one(places: Path) -> None:
    with lookalike(places, name="other") as process:
        write_state(places, process.pid)
        assert virtual_phone.phone(NAME).state == "dead"
        assert virtual_phone.stop() is False
        assert process.poll() is None


def test_the_start_time_must_agree(places: Path) -> None:
    with lookalike(places) as process:
        write_state(places, process.pid, started=1)
        assert virtual_phone.running() is None


def test_a_phone_that_died_is_listed_as_dead_until_it_is_stopped(places: Path) -> None:
    with lookalike(places) as process:
        write_state(places, process.pid)
    assert [(p.name, p.state) for p in virtual_phone.phones()] == [(NAME, "dead")]
    assert virtual_phone.stop() is False
    assert virtual_phone.phones() == []


def test_what_a_killed_start_left_is_listed_and_stopped(places: Path) -> None:
    with lookalike(places) as process:
        assert [(p.name, p.state, p.running) for p in virtual_phone.phones()] == [(NAME, "booting", None)]
        assert virtual_phone.stop() is True
        assert ended(process)


HOSTILE = {
    "empty": b"", "no JSON": b"\xff\x00{", "cut": b'{"name": "phone-arm64", "po', "a list": b"[]",
    "deep": b"[" * 100_000, "endless": b'{"name": "' + b"x" * 10_000_000, "null": b"null",
    "a wrong type": b'{"name": 1, "host": "127.0.0.1", "port": "x"}',
}  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_damaged_state_file_is_shown_and_stops_nothing(places: Path, content: bytes) -> None:
    (places / f"{NAME}.json").write_bytes(content)
    assert [(p.name, p.state, p.running) for p in virtual_phone.phones()] == [(NAME, "damaged", None)]
    assert virtual_phone.running() is None
    assert virtual_phone.stop() is False
    assert virtual_phone.phones() == []


def test_a_state_file_without_end_is_not_read_to_its_end(places: Path) -> None:
    (places / f"{NAME}.json").symlink_to("/dev/zero")
    assert virtual_phone.phone(NAME).state == "damaged"


@pytest.mark.parametrize(
    "change",
    [{"pid": 0}, {"pid": -1}, {"pid": 1}, {"pid": os.getpid()}, {"pid": 10**30}, {"port": 0}, {"port": 70_000},
     {"host": "203.0.113.1"}, {"name": "../other"}, {"name": "other"}, {"schema": 2}, {"extra": 1}],
    ids=str,
)  # fmt: skip
def test_a_state_file_with_hostile_values_names_no_phone(places: Path, change: dict[str, object]) -> None:
    with lookalike(places) as process:
        write_state(places, process.pid).rename(places / f"{NAME}.json")
        facts = json.loads((places / f"{NAME}.json").read_bytes())
        (places / f"{NAME}.json").write_text(json.dumps({**facts, **change}))
        assert virtual_phone.running() is None


def test_files_that_are_no_phones_are_passed_over(places: Path) -> None:
    for name in ("UPPER.json", ".json", "a b.json", "x" * 60 + ".json", "notes.txt"):
        (places / name).write_text("{}")
    assert virtual_phone.phones() == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "A", "a b", "x" * 33, "a\n", "a,b"])
def test_names_that_cant_be(name: str) -> None:
    for act in (virtual_phone.running, virtual_phone.start, virtual_phone.stop):
        with pytest.raises(UsageError, match="not a name"):
            act(name)


@pytest.mark.parametrize(
    "options",
    [{"port": 80}, {"port": 65536}, {"memory_mib": 100}, {"memory_mib": 10**6}, {"storage_mib": 0},
     {"memory_mib": 1024, "storage_mib": 1000}],
    ids=str,
)  # fmt: skip
def test_sizes_and_ports_that_cant_be(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        virtual_phone.start(**options)  # type: ignore[arg-type]


def test_without_qemu_the_package_is_named(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(DeviceError) as caught:
        virtual_phone.start(image=image)
    assert "qemu-system-arm" in caught.value.next_step
    assert caught.value.facts["missing"] == ["qemu-system-arm"]


def test_what_qemu_says_is_reported_without_escape_sequences(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, r"printf 'cannot \033[31mset up\033[0m guest memory\n' >&2; exit 1")
    with pytest.raises(DeviceError) as caught:
        virtual_phone.start(image=image)
    assert "set up" in caught.value.message and "guest memory" in caught.value.message
    assert "\x1b" not in caught.value.message
    assert virtual_phone.running() is None


def test_a_taken_port_is_tried_once_if_it_was_asked_for(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "calls"
    stand_in(tmp_path, monkeypatch, f"echo x >>'{log}'; echo 'Could not set up host forwarding rule' >&2; exit 1")
    with pytest.raises(virtual_phone.PortTakenError, match="Port 20010"):
        virtual_phone.start(image=image, port=20010)
    assert log.read_text().count("x") == 1
    with pytest.raises(virtual_phone.PortTakenError):
        virtual_phone.start(image=image)
    assert log.read_text().count("x") == 6


def test_one_that_never_comes_up_is_ended_in_time(
    image: Path, places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "qemu.py"
    code.write_text(
        "import sys, time\nconsole = next(word for word in sys.argv if word.startswith('file:'))\n"
        "open(console[5:], 'w').write('waiting for nothing')\ntime.sleep(600)\n"
    )
    stand_in(tmp_path, monkeypatch, f'exec -a "$0" {sys.executable} -I -S {code} "$@"')
    with pytest.raises(DeadlineError, match="waiting for nothing"):
        virtual_phone.start(image=image, boot_timeout_s=1.5)
    assert virtual_qemu.processes(places / f"{NAME}.console.log") == []
    assert virtual_phone.running() is None


def test_a_directory_that_cant_be_written(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEKIT_DATA", str(tmp_path / "file"))
    with pytest.raises(DeviceError, match="can't be written") as caught:
        virtual_phone.start(image=image)
    assert "EDGEKIT_DATA" in caught.value.next_step


@contextlib.contextmanager
def server(answer: bytes) -> Iterator[int]:
    """A service on loopback that says one thing and stays."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                link = listening.accept()[0]
                kept.append(link)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)
        for link in kept:
            link.close()


def header(command: bytes) -> bytes:
    return command + b"\0" * 20


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(header(b"CNXN"), True), (header(b"AUTH"), True), (b"HTTP/1.1 400 Bad Request\r\n\r\n", False), (b"", False),
     (b"CNXN", False)],
)  # fmt: skip
def test_only_an_adb_daemon_answers(answer: bytes, expected: bool) -> None:
    began = time.monotonic()
    with server(answer) as port:
        assert virtual_phone.answers(port, 0.5) is expected
    assert time.monotonic() - began < 5


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert virtual_phone.answers(probe.getsockname()[1], 0.5) is False

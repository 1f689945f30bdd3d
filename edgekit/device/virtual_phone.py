"""The virtual phone: an arm64 machine in QEMU with a real adb daemon, for correctness and faults, never for latency.

What runs is written into a small file under the user's data directory. A process is taken for a phone only if its
number, its start time and its command line all agree with that file, so a recycled number is never stopped. Linux
only, because that is read from /proc.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edgekit import paths
from edgekit.device import virtual_image, virtual_qemu
from edgekit.device.adb import messages
from edgekit.device.lease import process_start
from edgekit.device.virtual_image import Say
from edgekit.errors import DeadlineError, DeviceError, UsageError

DEFAULT = "phone-arm64"
HOST = "127.0.0.1"
MEMORY_MIB, STORAGE_MIB = 2048, 1024
BOOT_TIMEOUT_S = 90.0

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_BOOTED = re.compile(rb"^edgekit-boot ([0-9a-f-]{36}) ", re.MULTILINE)
_STATE_BYTES = 1 << 16
_LOCK_TIMEOUT_S = 900.0
_PORT_TRIES = 5


class Running(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A phone that has booted: its adb address, its QEMU process, and when that was started.

    ``since`` is in Unix seconds, ``started`` in clock ticks since the host's boot, ``boot_s`` is what the boot took;
    ``boot_id`` is the guest kernel's own, of the first boot.
    """

    name: str
    host: str
    port: int
    pid: int
    started: int
    since: float
    boot_s: float
    boot_id: str
    image: str
    schema: Literal[1] = 1

    @property
    def spec(self) -> str:
        """How the user names it as a device."""
        return f"virtual:{self.name}"


@dataclass(frozen=True)
class Phone:
    """One name in the listing; ``running`` is there if its state is ``running`` or ``frozen``. ``booting``: there is a
    process, but nobody has seen it come up; that stays so if its start was killed, until the next start or a stop.
    ``damaged``: the file about it can't be read."""

    name: str
    state: Literal["running", "frozen", "booting", "dead", "damaged"]
    running: Running | None
    console: Path


def running(name: str = DEFAULT) -> Running | None:
    """The phone of that name if it runs, frozen or not. Takes no lock and asks the phone nothing.

    Raises:
        UsageError: that can't be a phone's name.
    """
    return phone(name).running


def phones() -> list[Phone]:
    """Every phone that was started and not stopped, by name."""
    folder = _folder()
    names = {path.name.partition(".")[0] for ending in ("json", "console.log") for path in folder.glob(f"*.{ending}")}
    return [phone(name) for name in sorted(names) if _NAME.fullmatch(name)]


def phone(name: str) -> Phone:
    """What is known of one phone; ``dead`` if it was never started. Raises UsageError as :func:`running` does."""
    path, console = _file(name, "json"), _file(name, "console.log")
    try:
        state = msgspec.json.decode(_read(path), type=Running)
    except FileNotFoundError:
        return Phone(name, "booting" if virtual_qemu.processes(console) else "dead", None, console)
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return Phone(name, "damaged", None, console)
    if state.name != name or state.host != HOST or not 0 < state.port < 65536:
        return Phone(name, "damaged", None, console)
    if not virtual_qemu.is_phone(state.pid, console) or process_start(state.pid) != state.started:
        return Phone(name, "dead", None, console)
    return Phone(name, "frozen" if virtual_qemu.status(state.pid) == "T" else "running", state, console)


def start(
    name: str = DEFAULT,
    *,
    image: Path | None = None,
    port: int | None = None,
    memory_mib: int = MEMORY_MIB,
    storage_mib: int = STORAGE_MIB,
    boot_timeout_s: float = BOOT_TIMEOUT_S,
    say: Say = lambda text: None,
) -> Running:
    """Boot a phone and wait until its adb daemon answers; the running one if there is one of that name already.

    Args:
        image: a directory that the build script made; by default the one in the cache, built if it is missing.
        port: where adb listens on 127.0.0.1; a free one by default.
        memory_mib: the machine's memory, in MiB.
        storage_mib: the size of /data, in MiB; it is held in that memory.
        say: told what happens, in short lines.

    Raises:
        UsageError: a name, port or size that can't be.
        DeviceError: QEMU or what the build needs is missing, or QEMU refuses to start.
        DeadlineError: the guest did not come up in time.
    """
    _check(port, memory_mib, storage_mib)
    with _locked(name):
        found = running(name)
        if found is not None:
            return found
        virtual_qemu.program()
        folder = (image or virtual_image.image_dir()).resolve()
        files = virtual_image.ensure(folder, build=image is None, say=say)
        _clear(name)
        say(f"boot virtual:{name}")
        for attempt in range(1, _PORT_TRIES + 1):
            chosen = _free_port() if port is None else port
            command = virtual_qemu.command(files, name, _file(name, "console.log"), chosen, memory_mib, storage_mib)
            try:
                return _boot(name, command, folder, chosen, boot_timeout_s)
            except PortTakenError:
                if port is not None or attempt == _PORT_TRIES:
                    raise
    raise AssertionError("unreachable")


def stop(name: str = DEFAULT) -> bool:
    """Switch the phone off and remove its files; whether anything ran.

    Raises:
        UsageError: that can't be a phone's name.
        DeviceError: it can't be stopped.
    """
    with _locked(name):
        ran = _clear(name)
        _file(name, "console.log").unlink(missing_ok=True)
        return ran


def answers(port: int, timeout_s: float) -> bool:
    """Whether an adb daemon on loopback accepts a connection (or asks for a key) within the time, in seconds."""
    banner = b"host::\0"
    hello = messages.pack(messages.CNXN, messages.VERSION, messages.MAX_PAYLOAD_LEGACY, banner, with_checksum=True)
    try:
        with socket.create_connection((HOST, port), timeout_s) as link:
            link.sendall(hello + banner)
            raw = link.recv(messages.HEADER_BYTES, socket.MSG_WAITALL)
    except OSError:
        return False
    known = (messages.CNXN, messages.AUTH)
    return len(raw) == messages.HEADER_BYTES and int.from_bytes(raw[:4], "little") in known


class PortTakenError(DeviceError):
    """QEMU could not listen on the port."""


def _check(port: int | None, memory_mib: int, storage_mib: int) -> None:
    if port is not None and not 1024 <= port < 65536:
        raise UsageError(f"{port} is not a port for a phone.", where="port", next_step="Give one of 1024 to 65535.")
    if not 512 <= memory_mib <= 65536:
        raise UsageError(f"A phone can't have {memory_mib} MiB of memory.", where="memory",
                         next_step="Give 512 MiB to 64 GiB.")  # fmt: skip
    if not 1 <= storage_mib <= memory_mib - 256:
        raise UsageError(f"/data can't have {storage_mib} MiB: it is held in the phone's memory ({memory_mib} MiB).",
                         where="storage", next_step="Leave at least 256 MiB of the memory.")  # fmt: skip


def _folder() -> Path:
    return paths.virtual_phones_dir()


def _file(name: str, ending: str) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a name for a virtual phone.", where="name",
                         next_step="Use up to 32 of a-z, 0-9 and -, such as phone-arm64.")  # fmt: skip
    return _folder() / f"{name}.{ending}"


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """One process at a time starts or stops a phone; the lock ends with its holder."""
    from filelock import FileLock, Timeout  # here: it costs more to import than listing may take

    path = _file(name, "lock")
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_LOCK_TIMEOUT_S)
    except Timeout as error:
        raise DeviceError(f"Another process has been starting or stopping virtual:{name} for too long.",
                          where=str(path), next_step="End that process, then try again.") from error  # fmt: skip
    except OSError as error:
        raise _unwritable(error) from error
    try:
        yield
    finally:
        lock.release()


def _unwritable(error: OSError) -> DeviceError:
    return DeviceError(f"The state of virtual phones can't be written: {error}.", where=str(_folder()),
                       next_step="Make room, or set EDGEKIT_DATA to a directory that you can write.")  # fmt: skip


def _free_port() -> int:
    """Below the ports that the system gives to outgoing connections, so that a phone finds its own again."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - only to be spread
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def _boot(name: str, command: list[str], image: Path, port: int, timeout_s: float) -> Running:
    began, since = time.monotonic(), time.time()
    console = _file(name, "console.log")
    try:
        pid = _spawn(name, command)
        boot_id = _wait(name, pid, port, console, began + timeout_s)
        started = process_start(pid)
        assert started is not None
        made = Running(name, HOST, port, pid, started, since, round(time.monotonic() - began, 3), boot_id, str(image))
        _keep(made)
    except BaseException:
        # Found by its command line: Ctrl-C may come when it runs already and its number is not known yet.
        for left in virtual_qemu.processes(console):
            virtual_qemu.end(left, console)
        raise
    return made


def _spawn(name: str, command: list[str]) -> int:
    try:
        _file(name, "console.log").unlink(missing_ok=True)
        return virtual_qemu.spawn(command, _file(name, "qemu.log"))
    except OSError as error:
        raise _unwritable(error) from error


def _keep(made: Running) -> None:
    part = _file(made.name, "part")
    try:
        part.write_bytes(msgspec.json.encode(made))
        part.replace(_file(made.name, "json"))
    except OSError as error:
        raise _unwritable(error) from error


def _wait(name: str, pid: int, port: int, console: Path, ends: float) -> str:
    """Wait until the daemon answers; the guest's boot id."""
    while time.monotonic() < ends:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise _refused(name, port)
        booted = _BOOTED.search(_read(console)) if console.exists() else None
        if booted is not None and answers(port, 2.0):
            return booted[1].decode()
        time.sleep(0.02)
    raise DeadlineError(
        f"virtual:{name} did not come up in time. The end of its console: {_tail(console) or 'nothing'}",
        where=f"virtual:{name}", next_step="Try again when the machine is less busy.",
    )  # fmt: skip


def _refused(name: str, port: int) -> DeviceError:
    said = _tail(_file(name, "qemu.log"))
    if "host forwarding" in said:
        return PortTakenError(f"Port {port} on {HOST} is taken.", where=f"virtual:{name}",
                              next_step="Give another --port, or none.")  # fmt: skip
    return DeviceError(f"{virtual_qemu.QEMU} ended at once: {said or 'it said nothing'}", where=f"virtual:{name}",
                       next_step="Check the memory of this machine and the version of QEMU (7 or later).")  # fmt: skip


def _clear(name: str) -> bool:
    """End the phone of that name, and any that an interrupted start left; whether there was one."""
    console = _file(name, "console.log")
    ran = virtual_qemu.processes(console)
    for pid in ran:
        virtual_qemu.end(pid, console)
    for ending in ("json", "part", "qemu.log"):
        _file(name, ending).unlink(missing_ok=True)
    return bool(ran)


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(virtual_qemu.LOG_BYTES if path.suffix == ".log" else _STATE_BYTES)


def _tail(path: Path) -> str:
    """The end of a log in one line, without what could steer a terminal."""
    try:
        text = _read(path).decode("ascii", "replace")[-600:]
    except OSError:
        return ""
    return " ".join(re.sub(r"[^ -~]+", " ", text).split())

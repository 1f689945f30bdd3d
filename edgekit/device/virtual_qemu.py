"""The virtual phone's QEMU process: its arguments, and how it is started, recognised and ended. Linux only."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shutil
import signal
from pathlib import Path

from edgekit.device.virtual_image import Image
from edgekit.errors import DeviceError

QEMU = "qemu-system-aarch64"
LOG_BYTES = 1 << 20
_STOP_S = 5.0


def program() -> str:
    """QEMU's path. Raises DeviceError if it is not installed."""
    found = shutil.which(QEMU)
    if found is None:
        raise DeviceError(
            f"{QEMU} is not installed.", where="the virtual phone", missing=["qemu-system-arm"],
            next_step="On Debian or Ubuntu: apt-get install qemu-system-arm (and, to build the image, "
            "debian-archive-keyring).",
        )  # fmt: skip
    return found


def command(image: Image, name: str, console: Path, port: int, memory_mib: int, storage_mib: int) -> list[str]:
    """QEMU's arguments: the guest reaches nothing, and only this machine reaches the guest's adb port."""
    words = f"console=ttyAMA0 quiet panic=-1 rdinit=/init androidboot.serialno={name} edgekit.data_mib={storage_mib}"
    return [
        program(), "-name", f"edgekit-{name}", "-machine", "virt", "-cpu", "cortex-a72", "-smp", "2",
        "-m", str(memory_mib), "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none",
        "-serial", f"file:{console}", "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
        "-append", words,
        "-netdev", f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:5555",
        "-device", "virtio-net-pci,netdev=n0,romfile=",
    ]  # fmt: skip


def spawn(words: list[str], log: Path) -> int:
    """Start QEMU in a session of its own, which Ctrl-C does not reach. Python ignores SIGXFSZ, and so does its child:
    a full log is an error that QEMU passes over. Raises OSError."""
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=actions, setsid=True)
    # A guest that never stops talking fills no disk.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (LOG_BYTES, LOG_BYTES))
    return pid


def processes(console: Path) -> list[int]:
    """The processes that are this phone: more than one only if its starts were killed."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in numbers if is_phone(pid, console)]


def is_phone(pid: int, console: Path) -> bool:
    """Whether the process is a QEMU that writes this phone's console."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    return words[0].endswith(QEMU.encode()) and os.fsencode(f"file:{console}") in words


def end(pid: int, console: Path) -> None:
    """SIGTERM, then SIGKILL, to the phone's process and to no other that takes its number meanwhile. A frozen one
    would not hear the first."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGKILL,) if status(pid) == "T" else (signal.SIGTERM, signal.SIGKILL):
            if not is_phone(pid, console):
                break
            signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], _STOP_S)[0]:
                break
        else:
            raise DeviceError(f"The process {pid} of a virtual phone can't be ended.", where=str(pid),
                              next_step="Look at what holds it, then try again.")  # fmt: skip
    except PermissionError as error:
        raise DeviceError(f"The virtual phone's process {pid} belongs to another user.", where=str(pid),
                          next_step="Let that user stop it.") from error  # fmt: skip
    finally:
        os.close(handle)
        with contextlib.suppress(ChildProcessError):  # it is this process's own child if it was started here
            os.waitpid(pid, os.WNOHANG)


def status(pid: int) -> str:
    """The letter of proc(5), such as R, S, T (stopped) or Z (ended, not yet reaped); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""

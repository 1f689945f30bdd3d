"""Virtual boards: the agent on QEMU's emulated Cortex-M4, M7 and M55, behind a socket on the loopback interface.

Every instruction takes the same virtual time, so instruction counts are exact and repeatable; they are not cycles.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO

from edgekit import processes
from edgekit.device.mcu.images import Image, find_image
from edgekit.device.mcu.listing import QEMU
from edgekit.errors import DeviceError

MACHINES: Mapping[str, str] = MappingProxyType(
    {"cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500", "cortex-m55": "mps3-an547"}
)
"""The core, which is also the spec's part behind ``virtual:``, and QEMU's machine with it."""
# 2^6 ns a counted instruction; mcu/boards/virtual/board.c reckons with it.
ICOUNT = "shift=6,align=off,sleep=off"
_HOST = "127.0.0.1"
_STOP_S = 5.0
_SAID_BYTES = 400  # the registers of a dead core follow
# Asks the kernel to end this process with the thread that started it (prctl(2), PR_SET_PDEATHSIG, SIGKILL), makes sure
# that it is still there, and becomes QEMU.
_LAUNCH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or os._exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


class VirtualBoard:
    """A virtual board that runs until :meth:`stop`, until the ``with`` block ends, or until the thread that started it
    does.

    Args:
        core: ``cortex-m4``, ``cortex-m7`` or ``cortex-m55``.
        image: the agent; the one in :func:`edgekit.device.mcu.images.images_dir` by default.
        preloaded: a file that lies at the start of the store from the beginning, so that loading it over the serial
            line finds it there. QEMU's UART takes some 20 KB/s.

    Raises:
        DeviceError: no such core, no image, no QEMU, or it can't be started.
    """

    def __init__(self, core: str, image: Image | None = None, *, preloaded: Path | None = None) -> None:
        self.core, self.spec = core, f"virtual:{core}"
        if core not in MACHINES:
            raise DeviceError(f"There is no virtual board {core[:40]!r}.", where=self.spec[:60],
                              next_step=f"Name one of virtual:{', virtual:'.join(MACHINES)}.")  # fmt: skip
        self.image = image or find_image(profile_of(core))
        program, elf = _program(), self.image.file("elf")
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as QEMU
        # QEMU inherits a socket that listens already: no port is guessed, and the first connection may come before
        # QEMU is up.
        with socket.create_server((_HOST, 0)) as listener:
            self.url = f"socket://{_HOST}:{listener.getsockname()[1]}"
            words = command(program, core, elf, listener.fileno())
            if preloaded is not None:
                words += ["-device", _loader(preloaded, self.image.manifest.store_address,
                                             self.image.manifest.store_bytes)]  # fmt: skip
            self._process = self._spawn(words, listener.fileno())

    @property
    def pid(self) -> int:
        """QEMU's process number."""
        return self._process.pid

    def failure(self) -> DeviceError | None:
        """Why it ended by itself, with QEMU's own words; None while it runs, and after :meth:`stop`."""
        code = self._process.poll()
        if code is None or self._log.closed:
            return None
        self._log.seek(0)
        said = " ".join(self._log.read(_SAID_BYTES).decode("ascii", "replace").split())
        printable = "".join(letter if letter.isprintable() else " " for letter in said)
        return DeviceError(
            f"QEMU ended with {code}: {printable or 'it said nothing'}", where=self.spec,
            next_step="Check that qemu-system-arm is of version 7.2 or later and that the image fits: make agents.",
        )  # fmt: skip

    def stop(self) -> None:
        """End it; doing so twice is nothing."""
        processes.end(self._process, _STOP_S)
        self._log.close()

    def __enter__(self) -> VirtualBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, words: list[str], listener: int) -> subprocess.Popen[bytes]:
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *words]
        try:
            return subprocess.Popen(launch, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                                    pass_fds=(listener,))  # fmt: skip
        except OSError as error:
            with contextlib.suppress(OSError):
                self._log.close()
            raise DeviceError(
                f"{QEMU} can't be started: {error}.", where=self.spec,
                next_step="Check that this machine has memory and processes left.",
            ) from error  # fmt: skip


def profile_of(core: str) -> str:
    """``cortex-m7`` to the name of the board's profile and image, ``virtual_cortex_m7``."""
    return f"virtual_{core.replace('-', '_')}"


def command(program: str, core: str, elf: Path, listener: int) -> list[str]:
    """QEMU's arguments: no network, no monitor, no disk; the serial line goes to the inherited socket ``listener``."""
    return [
        program, "-M", MACHINES[core], "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none",
        "-icount", ICOUNT,
        "-chardev", f"socket,id=line,fd={listener},server=on,wait=off,nodelay=on", "-serial", "chardev:line",
        "-kernel", str(elf),
    ]  # fmt: skip


def _loader(path: Path, address: int, room: int) -> str:
    if path.stat().st_size > room:
        raise DeviceError(f"{path.name} has {path.stat().st_size} bytes, the store {room}.", where=str(path),
                          next_step="Take a smaller model.")  # fmt: skip
    escaped = str(path.resolve()).replace(",", ",,")  # QEMU's own way of writing a comma in a value
    return f"loader,file={escaped},addr={address:#x},force-raw=on"


def _program() -> str:
    if sys.platform != "linux":
        raise DeviceError("Virtual boards need Linux.", where=QEMU, next_step="Use a real board: serial:PORT.")
    found = shutil.which(QEMU)
    if found is None:
        raise DeviceError(f"{QEMU} is not installed.", where="virtual boards", missing=["qemu-system-arm"],
                          next_step="On Debian or Ubuntu: apt-get install qemu-system-arm.")  # fmt: skip
    return found

"""Real peers for tests of Android devices: an adbd on this machine's loopback, and the virtual phone.

The daemon is Debian's package in a directory of its own, without root. It runs in user, mount and process namespaces
with every capability dropped, so that permissions bind it although it is root there, and ends with the test process
however that ends. Nothing is mocked: a test injects faults by stopping or killing the daemon, by changing the files
under ``root``, or by giving it a small file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import platformdirs
import pytest

from edgekit import paths
from edgekit.device import virtual_phone
from edgekit.device.virtual_phone import Running

HARNESS = Path(__file__).parents[1] / "android_harness/virtual_phone"
SHIM = HARNESS / "adbd_shim.c"
GETPROP = HARNESS / "guest/getprop"
TARGET = "data/local/tmp"
# What the helpers here need from the machine: program -> Debian package.
NEEDED = {
    "unshare": "util-linux", "setpriv": "util-linux", "gcc": "gcc", "apt-get": "apt", "dpkg-deb": "dpkg",
}  # fmt: skip
PROPERTIES = {
    "ro.product.manufacturer": "edgekit", "ro.product.model": "adbd in a directory", "ro.product.device": "adbd_amd64",
    "ro.product.brand": "edgekit", "ro.product.name": "adbd_amd64", "ro.product.cpu.abi": "x86_64",
    "ro.product.cpu.abilist": "x86_64", "ro.build.version.release": "14", "ro.build.version.sdk": "34",
    "ro.boot.qemu": "1",
}  # fmt: skip
# $1 root, $2 port, $3 options of a tmpfs for the target directory or nothing.
_SCRIPT = """
mount --make-rprivate /
mount -t proc proc "$1/proc"
for d in null zero full random urandom tty; do mount --bind "/dev/$d" "$1/dev/$d"; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$1/dev/pts"
mount --bind "$1/dev/pts/ptmx" "$1/dev/ptmx"
d="$1/data/local/tmp"
if [ -n "$3" ]; then mount -t tmpfs -o "$3" tmpfs "$d"; else mount --bind "$d" "$d"; fi  # df needs a mount of its own
exec setpriv --bounding-set=-all,+sys_chroot --inh-caps=-all chroot "$1" /bin/env -i HOME=/root TERM=dumb \
  PATH=/system/bin:/bin "ADBD_PORT=$2" /apex/lib/ld-linux-x86-64.so.2 --preload /apex/adbd_shim.so \
  --library-path /apex/lib:/apex/lib/android /apex/adbd
"""
_READY_S = 20


def images_dir() -> Path:
    """What the tests build from Debian packages is kept here between runs; it is not the user's cache."""
    return Path(os.environ.get("EDGEKIT_TEST_IMAGES") or platformdirs.user_cache_dir("edgekit-tests", appauthor=False))


def require(*programs: str) -> None:
    """Skip the test by name where a program is missing; in CI, where nothing may be skipped, fail it."""
    packages = {
        **NEEDED, "adb": "adb", "qemu-system-aarch64": "qemu-system-arm", "qemu-system-arm": "qemu-system-arm",
        "kotlinc": "kotlin", "java": "default-jdk-headless", "javac": "default-jdk-headless", "cc": "gcc",
        "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
        "aarch64-linux-gnu-gcc": "g++-aarch64-linux-gnu", "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
        "openssl": "openssl", "cmake": "cmake", "make": "make",
    }  # fmt: skip
    missing = [name for name in programs if shutil.which(name) is None]
    if not missing:
        return
    names = " ".join(dict.fromkeys(packages.get(name, name) for name in missing))
    reason = f"needs {', '.join(missing)}: apt-get install {names}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def free_port() -> int:
    """A free port on loopback, below those that the system gives to outgoing connections: a daemon that is restarted
    must find it free again."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def filesystem() -> Path:
    """The daemon with its libraries and busybox, built once from Debian packages; not to be changed by a test.

    Raises:
        DeviceError: the packages can't be had.
    """
    sys.path.insert(0, str(HARNESS))
    try:
        import debian
    finally:
        sys.path.remove(str(HARNESS))
    inputs = b"".join(path.read_bytes() for path in (Path(__file__), HARNESS / "debian.py", SHIM, GETPROP))
    made = images_dir() / f"adbd-amd64-{sha256(inputs).hexdigest()[:16]}"
    made.parent.mkdir(parents=True, exist_ok=True)
    with (made.parent / "adbd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            with tempfile.TemporaryDirectory(dir=made.parent, prefix=".adbd-") as work:
                packages = debian.Archive(Path(work) / "apt", "amd64").download(["adbd", "busybox-static"])
                debian.unpack(packages, Path(work) / "packages")
                _assemble(Path(work) / "packages", Path(work) / "root")
                (Path(work) / "root").rename(made)
    return made


def _assemble(packages: Path, root: Path) -> None:
    """The few files that the daemon needs. Its libraries and their loader are where only it finds them: as on a
    phone, a program for another C library must bring its own."""
    for name in ("dev/pts", "proc", "root", "tmp", "etc", "system/bin", TARGET, "bin"):
        (root / name).mkdir(parents=True)
    for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx"):
        (root / "dev" / name).touch()
    shutil.copytree(packages / "usr/lib/x86_64-linux-gnu", root / "apex/lib", symlinks=True,
                    ignore=shutil.ignore_patterns("gconv", "audit"))  # fmt: skip
    shutil.copy(packages / "usr/lib/android-sdk/platform-tools/adbd", root / "apex/adbd")
    shutil.copy(packages / "usr/bin/busybox", root / "bin/busybox")
    applets = subprocess.run([root / "bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout
    for applet in applets.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "system/bin/sh").symlink_to("/bin/busybox")
    shutil.copy(GETPROP, root / "system/bin/getprop")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    flags = ["-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", root / "apex/adbd_shim.so", SHIM, "-ldl"], check=True)


@dataclass
class Adbd:
    """One running daemon.

    Attributes:
        root: its file system as this process may change it; not below a size-limited ``/data/local/tmp``, which is
            only visible inside: see :attr:`data`.
    """

    root: Path
    port: int
    options: str
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _stopped: list[int] = field(default_factory=list, repr=False)

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def spec(self) -> str:
        return f"adb:{self.address}"

    @property
    def pid(self) -> int:
        """The daemon itself, not the process that holds its namespaces."""
        assert self._process is not None, "the daemon was killed"
        (pid,) = _children(self._process.pid)
        return pid

    @property
    def data(self) -> Path:
        """``/data/local/tmp`` as the daemon sees it."""
        return Path(f"/proc/{self.pid}/root") / TARGET

    def log(self) -> str:
        """What the daemon wrote on stderr."""
        return self.root.with_name("adbd.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it (again), on the same port and files, and wait until it listens."""
        assert self._process is None
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "-U", "-r", "-m", "-p", "-f", "--kill-child",
                   "sh", "-ec", _SCRIPT, "sh", str(self.root), str(self.port), self.options]  # fmt: skip
        with self.root.with_name("adbd.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        give_up = time.monotonic() + _READY_S
        while not _listens(self.port):
            ended = self._process.poll()
            if ended is not None or time.monotonic() > give_up:
                self.kill()
                raise AssertionError(f"adbd did not start ({ended}):\n{self.log()}")
            time.sleep(0.01)

    def freeze(self) -> None:
        """Stop the daemon and all that it started, as a hung phone: its connections stay open and say nothing."""
        for pid in _family(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._stopped.append(pid)

    def thaw(self) -> None:
        """Let it go on after :meth:`freeze`."""
        while self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._stopped.pop(), signal.SIGCONT)

    def kill(self) -> None:
        """Kill the daemon and all that it started, as a phone unplugged; may be called again."""
        process, self._process, self._stopped = self._process, None, []
        if process is None:
            return
        # The daemon first: the process that holds its namespaces then reaps it, with all that was inside, and ends.
        for pid in _children(process.pid) if process.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_READY_S)
        process.kill()
        process.wait()

    def restart(self) -> None:
        """Kill it and start it again, as a daemon that crashed or a phone that rebooted; its files stay."""
        self.kill()
        self.start()


@contextlib.contextmanager
def adbd(
    folder: Path, *, port: int | None = None, data_bytes: int | None = None, properties: Mapping[str, str] | None = None
) -> Iterator[Adbd]:
    """A daemon for the block, with its files under ``folder`` (which must exist).

    Args:
        port: where it listens on 127.0.0.1; a free one by default.
        data_bytes: the size of /data/local/tmp, a file system of its own then; whole pages.
        properties: added to, or in place of, what ``getprop`` answers.
    """
    require(*NEEDED)
    root = folder / "root"
    shutil.copytree(filesystem(), root, symlinks=True)
    told = {**PROPERTIES, "ro.serialno": folder.name, **(properties or {})}
    (root / "system/build.prop").write_text("".join(f"{key}={value}\n" for key, value in told.items()))
    options = "" if data_bytes is None else f"size={data_bytes},mode=0771"
    daemon = Adbd(root, free_port() if port is None else port, options)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.kill()


def keep_phone_image() -> None:
    """Let this run's cache find the virtual phone's image where the tests keep it, so that it is built once."""
    kept, place = images_dir() / "virtual-phone", paths.cache_dir() / "virtual-phone"
    kept.mkdir(parents=True, exist_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(kept)


@contextlib.contextmanager
def phone(name: str = virtual_phone.DEFAULT, *, storage_mib: int = virtual_phone.STORAGE_MIB) -> Iterator[Running]:
    """A virtual phone for the block. Freeze or unplug it with SIGSTOP or SIGKILL on its ``pid``."""
    require("qemu-system-aarch64")
    keep_phone_image()
    try:
        yield virtual_phone.start(name, storage_mib=storage_mib)
    finally:
        virtual_phone.stop(name)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _family(pid: int) -> list[int]:
    """A process and all below it, parents first, so that a stopped one can't start another."""
    found = [pid]
    for one in found:
        for thread in Path(f"/proc/{one}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found

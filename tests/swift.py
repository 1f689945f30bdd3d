"""A Swift toolchain for tests of generated Swift packages: Debian's swiftlang in a directory of its own.

The machine needs no Swift and the user no root: the packages are unpacked once from Debian's archive, and what runs
there runs in user, mount, process and network namespaces, so that a generated package that wants the network fails.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from tests.adbd import HARNESS, images_dir, require

# What the helpers here need from the machine; tests.adbd.NEEDED names their Debian packages.
NEEDED = ("unshare", "setpriv", "tar", "apt-get", "dpkg-deb")
PACKAGES = ("swiftlang", "libc6-dev", "libstdc++-14-dev")
# Most of what is unpacked, and nothing that building and testing a package on Linux uses: the debugger, the editors'
# servers, modules for other targets, static linking, sanitizers, documentation.
_SWIFT = "./usr/libexec/swift"
_LEFT_OUT = (
    *(f"{_SWIFT}/bin/{name}" for name in ("lldb*", "clangd", "sourcekit-lsp", "docc", "swift-format", "llvm-cov")),
    *(f"{_SWIFT}/lib/{name}" for name in ("liblldb.*", "libsourcekitdInProc.so", "libLTO.*", "swift_static")),
    f"{_SWIFT}/lib/swift/embedded", f"{_SWIFT}/lib/swift/FrameworkABIBaseline", f"{_SWIFT}/lib/clang/17/lib",
    "./usr/share/doc", "./usr/share/man", "./usr/share/locale", "./usr/lib/python3*",
    "./usr/libexec/gcc/x86_64-linux-gnu/14/cc1", "./usr/libexec/gcc/x86_64-linux-gnu/14/lto1", "./usr/bin/*lto-dump*",
)  # fmt: skip
# $1 root, $2 package, the rest a command. The tree is not changed by what runs in it: only /tmp and the package are.
_SCRIPT = """
mount --make-rprivate /
root="$1" package="$2"; shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
for d in null zero full random urandom; do mount --bind "/dev/$d" "$root/dev/$d"; done
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$package" "$root/package"
exec chroot "$root" "$@"
"""
# For the programs outside, chroot among them, as well as for those inside.
_PATH = "/usr/bin:/usr/sbin:/bin:/sbin:/usr/libexec/swift/bin"
_ENVIRONMENT = {"PATH": _PATH, "HOME": "/tmp", "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class Swift:
    """The toolchain; ``root`` is not to be changed."""

    root: Path

    def run(self, package: Path, *command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command with ``package`` as its /package, the only place where what it writes stays.

        Standard output and error come together. The exit code is the caller's to check.
        """
        wrapped = ["setpriv", "--pdeathsig", "KILL", "unshare", "--user", "--map-root-user", "--mount", "--pid",
                   "--fork", "--net", "--kill-child", "sh", "-ec", _SCRIPT, "sh", self.root, package.resolve(),
                   *command]  # fmt: skip
        return subprocess.run(wrapped, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout_s)  # fmt: skip


def swift() -> Swift:
    """The toolchain, unpacked from Debian packages on first use (0.6 GB to fetch, 1.1 GB to keep).

    Raises:
        DeviceError: the packages can't be had.
    """
    require(*NEEDED)
    debian = _debian()
    inputs = b"".join(path.read_bytes() for path in (Path(__file__), HARNESS / "debian.py"))
    made = images_dir() / f"swift-amd64-{sha256(inputs).hexdigest()[:16]}"
    made.parent.mkdir(parents=True, exist_ok=True)
    with (made.parent / "swift.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            with tempfile.TemporaryDirectory(dir=made.parent, prefix=".swift-") as work:
                packages = debian.Archive(Path(work) / "apt", "amd64").download(PACKAGES)
                _unpack(packages, Path(work) / "root")
                (Path(work) / "root").rename(made)
    return Swift(made)


def _unpack(packages: list[Path], root: Path) -> None:
    """As debian.unpack, but without what is left out: it would be two thirds of the time and the disk."""
    for name in ("usr", "dev", "proc", "tmp", "package", "etc"):
        (root / name).mkdir(parents=True)
    for name in ("null", "zero", "full", "random", "urandom"):
        (root / "dev" / name).touch()
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    excluded = [f"--exclude={pattern}" for pattern in _LEFT_OUT]
    for package in packages:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
            subprocess.run(["tar", "-x", "--no-same-owner", "--keep-directory-symlink", "-C", root, *excluded],
                           stdin=archive.stdout, check=True)  # fmt: skip
        if archive.returncode:
            raise subprocess.CalledProcessError(archive.returncode, archive.args)


def _debian() -> ModuleType:
    sys.path.insert(0, str(HARNESS))
    try:
        import debian
    finally:
        sys.path.remove(str(HARNESS))
    return debian

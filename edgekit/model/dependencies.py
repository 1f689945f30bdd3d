"""Which files a model was made from, so that a cache can tell without importing torch that nothing changed.

What is noted while a recording runs: every file that Python opens for reading (through the interpreter's ``open``
audit event, PEP 578) and the source of every module imported meanwhile, except files of the standard library, of
site-packages, of edgekit itself, and of the system (/proc, /sys, /dev). The versions of installed packages are the
cache's own business.

What is missed: files that native code opens by itself (torch.jit.load, safetensors and memory maps do; the loader
opens those once through Python), the *absence* of a file or module (creating an alternative that would have been
found first), environment variables and the network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.records import Record

# Small files are always hashed. A larger one is trusted if size, both times and the inode are as recorded: writing to
# a file always moves its change time, which programs can't set back. So 100 MB of weights cost nothing.
ALWAYS_HASHED = 16 << 20

_CHUNK = 1 << 20
_SYSTEM = ("/proc/", "/sys/", "/dev/")


class Dependency(Record, frozen=True):
    """One file as it was when the model was loaded. An empty ``sha256`` means that it changed during the load."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str


class Recorder:
    """The files read so far; see :func:`recording`."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, int, int] | None] = {}
        self._modules = set(sys.modules)
        self._excluded = _excluded_folders()

    def note(self, path: str) -> None:
        """Add one file; a .pyc is taken for its source."""
        full = os.path.abspath(path)
        if f"{os.sep}__pycache__{os.sep}" in full:
            try:
                full = importlib.util.source_from_cache(full)
            except ValueError:
                return
        if full not in self._seen and not full.startswith(self._excluded):
            self._seen[full] = _identity(full)

    def dependencies(self) -> tuple[Dependency, ...]:
        """Every file noted that still exists, hashed, sorted by path."""
        for name in set(sys.modules) - self._modules:
            source = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(source, str):
                self.note(source)
        found = []
        for path, before in sorted(self._seen.items()):
            now = _identity(path)
            if now is not None:
                digest = _sha256(path) if before == now else ""
                found.append(
                    Dependency(path=path, size=now[0], mtime_ns=now[1], ctime_ns=now[2], inode=now[3], sha256=digest)
                )
        return tuple(found)


_active: list[Recorder] = []
_installed = threading.Lock()


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record the files that are read inside the block, by any thread of this process.

    The recorder stays usable afterwards. The audit hook behind it can't be removed from the interpreter, so it is
    installed once and does nothing while no recording runs.
    """
    # Taking the lock for good is the "once": a second attempt finds it taken.
    if _installed.acquire(blocking=False):
        sys.addaudithook(_hook)
    recorder = Recorder()
    _active.append(recorder)
    try:
        yield recorder
    finally:
        _active.remove(recorder)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _active:
        return
    path, _, flags = arguments
    if not isinstance(path, (str, bytes)) or not isinstance(flags, int) or flags & os.O_ACCMODE == os.O_WRONLY:
        return
    text = os.fsdecode(path)
    for recorder in tuple(_active):
        recorder.note(text)


def _excluded_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])]
    both = {form for folder in folders for form in (os.path.abspath(folder), os.path.realpath(folder))}
    return (*sorted(folder + os.sep for folder in both), *_SYSTEM)


def _identity(path: str) -> tuple[int, int, int, int] | None:
    """Size, modification time, change time and inode; None if it is no regular file."""
    if not os.path.isfile(path):
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _sha256(path: str) -> str:
    """The file's sha256, or "" if it can't be read."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def unchanged(dependencies: Iterable[Dependency]) -> bool:
    """Whether every file is there with the content it had. Nothing to check counts as unchanged."""
    return all(_same(dependency) for dependency in dependencies)


def _same(dependency: Dependency) -> bool:
    now = _identity(dependency.path)
    if now is None or not dependency.sha256 or now[0] != dependency.size:
        return False
    recorded = (dependency.size, dependency.mtime_ns, dependency.ctime_ns, dependency.inode)
    if dependency.size > ALWAYS_HASHED and now == recorded:
        return True
    return _sha256(dependency.path) == dependency.sha256

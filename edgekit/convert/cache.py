"""Content-addressed directories: an entry is complete and verified, or it does not exist.

An entry is made in a temporary directory beside its place, described by a manifest of its files' sha256, and moved
into place by one rename while the key's lock is held. A process that dies leaves only a temporary directory, which
:meth:`Cache.sweep` removes. Two processes that want the same key wait for each other.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import msgspec

from edgekit.errors import ConvertError, EdgekitError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.records import Record

_MANIFEST = "manifest.json"
_PARTIAL = ".partial"
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_SHORT_WRITE = re.compile(r"^\d+ requested and \d+ written")


class Manifest(Record, frozen=True, kw_only=True):
    """Relative path -> sha256 of every file in the entry."""

    schema: int = 1
    files: dict[str, str]


def key_of(*parts: object) -> str:
    """sha256 (hex) over JSON-ready parts; the name of a cache entry."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


# Made before there are threads: two that make a type's decoder at the same time crash msgspec 0.22.
_DECODER = msgspec.json.Decoder(Manifest)


class Cache:
    """Entries of several kinds (``exports``, ``artifacts``, …) under one root directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, kind: str, key: str) -> Path:
        """Where the entry is, or would be."""
        return self.root / kind / key

    def lookup(self, kind: str, key: str) -> Path | None:
        """The entry's directory if it is complete and its files are what they were."""
        entry = self.path(kind, key)
        try:
            manifest = _DECODER.decode((entry / _MANIFEST).read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        # What fails here is not an entry any more; the next producer of the key replaces it by its rename.
        return entry if all(_intact(entry / name, sha) for name, sha in manifest.files.items()) else None

    @contextmanager
    def lock(self, kind: str, key: str) -> Iterator[None]:
        """Hold the key across processes; the operating system frees it if the holder dies.

        Raises:
            ConvertError: the disk is full.
            UsageError: the cache directory can't be written.
        """
        path = self.root / "locks" / f"{kind}-{key}.lock"
        _make_directory(path.parent)
        lock = filelock.FileLock(path)
        try:
            lock.acquire()
        except OSError as failure:
            raise write_failed(failure, path) from failure
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def producing(self, kind: str, key: str) -> Iterator[Path]:
        """A temporary directory that becomes the entry when the block ends without an exception.

        The caller holds :meth:`lock` for the key. Nothing is left behind on failure or Ctrl-C.

        Raises:
            ConvertError: the disk is full.
            UsageError: the cache directory can't be written.
        """
        final = self.path(kind, key)
        work = final.with_name(f".{key}{_PARTIAL}")
        shutil.rmtree(work, ignore_errors=True)
        try:
            _make_directory(work)
            yield work
            files = {str(p.relative_to(work)): sha256_of(p) for p in sorted(work.rglob("*")) if p.is_file()}
            (work / _MANIFEST).write_bytes(msgspec.json.encode(Manifest(files=files)))
            shutil.rmtree(final, ignore_errors=True)
            os.replace(work, final)
        except OSError as failure:
            raise write_failed(failure, work) from failure
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def ensure(self, kind: str, key: str, fill: Callable[[Path], None]) -> Path:
        """The entry, made by ``fill(directory)`` if it is not there yet; safe against other processes."""
        with self.lock(kind, key):
            if self.lookup(kind, key) is None:
                with self.producing(kind, key) as directory:
                    fill(directory)
        return self.path(kind, key)

    def sweep(self) -> None:
        """Remove what processes that were killed have left; what a living one is making is locked and stays."""
        for work in self.root.glob(f"*/.*{_PARTIAL}"):
            kind, key = work.parent.name, work.name.removeprefix(".").removesuffix(_PARTIAL)
            lock = filelock.FileLock(self.root / "locks" / f"{kind}-{key}.lock")
            # A lock that is held, and a cache that can't be written, are no reason to fail here.
            with suppress(OSError, filelock.Timeout), lock.acquire(timeout=0):
                shutil.rmtree(work, ignore_errors=True)


def _intact(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except (OSError, UsageError):  # the second: nothing is there
        return False


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise write_failed(failure, path) from failure


def write_failed(failure: OSError, path: Path) -> EdgekitError:
    """The typed error for a directory that can't take a file."""
    number, reason = _reason(failure)
    # A failed copy names the source first and the target second.
    where = str(failure.filename2 or failure.filename or path)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ConvertError(
            f"There is no room for the file: {reason}.",
            where=where,
            next_step="Free some space, or choose another place with --output or EDGEKIT_CACHE. Nothing half-written "
            "was kept.",
        )
    return UsageError(
        f"Can't write here: {reason}.",
        where=where,
        next_step="Choose a writable directory with --output, or EDGEKIT_CACHE for the cache.",
    )


def _reason(failure: OSError) -> tuple[int | None, str]:
    """Error number and text; copying a directory hides the number in a list, and numpy's writer gives none."""
    inner = _ERRNO.search(str(failure)) if failure.errno is None else None
    if inner is not None:
        return int(inner[1]), os.strerror(int(inner[1]))
    number = errno.ENOSPC if _SHORT_WRITE.search(str(failure)) else failure.errno
    return number, failure.strerror or str(failure)

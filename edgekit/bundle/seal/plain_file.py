"""Files that somebody else may have put there: opened only if they are files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_KINDS = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


class UnfitError(OSError):
    """What is there is no file; ``strerror`` says what it is."""


@contextmanager
def opened(path: Path, *, follow: bool = False) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a file for reading, with its status; neither pipes nor devices, which could wait for ever.

    Args:
        path: the file.
        follow: whether it may be a link to a file.

    Raises:
        UnfitError: it is something else.
        OSError: it can't be opened, or reading in the block failed.
        ValueError: the path has a NUL.
    """
    _must_be_file(os.stat(path, follow_symlinks=follow))
    flags = os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
        status = os.fstat(file.fileno())
        _must_be_file(status)  # it may have been replaced in between
        yield file, status


def reason(failure: OSError) -> str:
    """Why a file could not be read, after its name: "is missing", "is a link, not a file", "can't be read: …"."""
    if isinstance(failure, UnfitError):
        return str(failure.strerror)
    return "is missing" if isinstance(failure, FileNotFoundError) else f"can't be read: {failure.strerror or failure}"


def _must_be_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnfitError(0, f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'a device')}, not a file")

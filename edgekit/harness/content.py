"""The sha256 that names an artifact, for files and for directories such as .mlpackage."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgekit.errors import UsageError

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes, or of a directory's names and contents.

    A directory's digest covers every file below it in the order of its POSIX path: path, size and content digest.
    Times, permissions and empty directories don't count, so a copy has the same digest as its original.

    Raises:
        UsageError: nothing is there, or the directory holds something other than files and directories.
    """
    if path.is_file():
        return _file_digest(path)
    if not path.is_dir():
        raise UsageError(f"{path} does not exist.", where=str(path), next_step="Check the path of the artifact.")
    digest = hashlib.sha256()
    for name, file in _files_below(path):
        digest.update(f"{name}\0{file.stat().st_size}\0{_file_digest(file)}\n".encode())
    return digest.hexdigest()


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    if path.is_dir():
        return sum(file.stat().st_size for _, file in _files_below(path))
    return path.stat().st_size


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _files_below(root: Path) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    for entry in root.rglob("*"):
        # A link could name a file outside the package: its content would then not travel with the artifact.
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise UsageError(
                f"{entry} is neither a file nor a directory.",
                where=str(root),
                next_step="Replace links in the package by the files they point to.",
            )
        if entry.is_file():
            found.append((entry.relative_to(root).as_posix(), entry))
    return sorted(found)

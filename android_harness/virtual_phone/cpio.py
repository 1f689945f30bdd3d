"""Writes an initramfs: a cpio archive in the kernel's "newc" form (Documentation/driver-api/early-userspace/
buffer-format.rst), the same bytes for the same files, owners and device nodes included, without root."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_FILE, _FOLDER, _LINK, _CHARACTER = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR


@dataclass(frozen=True)
class Entry:
    """One file of the archive, owned by root; ``device`` is (major, minor) of a device node."""

    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


class Initramfs:
    """The files of an initramfs, by absolute path; the directories above each are made with mode 0755."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def folder(self, path: str, mode: int = 0o755) -> None:
        """A directory."""
        self._add(path, Entry(_FOLDER | mode))

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """A regular file."""
        self._add(path, Entry(_FILE | mode, content))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._add(path, Entry(_LINK | 0o777, target.encode()))

    def character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        """A character device node."""
        self._add(path, Entry(_CHARACTER | mode, device=(major, minor)))

    def tree(self, source: Path, path: str) -> None:
        """All files and links below ``source``; of the permissions, only whether a file is executable."""
        for found in sorted(source.rglob("*")):
            target = f"{path}/{found.relative_to(source)}"
            if found.is_symlink():
                self.link(target, str(found.readlink()))
            elif found.is_file():
                self.file(target, found.read_bytes(), 0o755 if found.stat().st_mode & 0o100 else 0o644)

    def write(self, stream: BinaryIO) -> None:
        """Write the archive."""
        for number, (path, entry) in enumerate(sorted(self._entries.items()), start=1):
            _write_entry(stream, number, path.lstrip("/"), entry)
        _write_entry(stream, 0, "TRAILER!!!", Entry(0))

    def _add(self, path: str, entry: Entry) -> None:
        parent = path.rpartition("/")[0]
        if parent and parent not in self._entries:
            self.folder(parent)
        self._entries[path] = entry


def _write_entry(stream: BinaryIO, number: int, name: str, entry: Entry) -> None:
    raw = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
    # Name and content each end on a multiple of four bytes.
    stream.write(head + b"\0" * (-len(head) % 4) + entry.content + b"\0" * (-len(entry.content) % 4))

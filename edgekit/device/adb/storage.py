"""edgekit's folder on the device: files by the sha256 of their content, verified there, kept between runs.

Layout below :data:`ROOT`: ``<sha256>`` for artifacts and inputs, ``runner-<sha256>/`` for a runner bundle,
``runs/<host>-<name>/`` for a job in progress, ``parts/`` for transfers that were cut off.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from edgekit.device.adb.shell import Result
from edgekit.device.adb.sync import Readable, Sync
from edgekit.errors import DeviceError, LinkLostError

ROOT = "/data/local/tmp/edgekit"
# A file larger than this goes in parts, so that a lost link costs at most one of them.
PART_BYTES = 16 << 20
# Left free on the device beside what is pushed.
RESERVE_BYTES = 16 << 20
_ATTEMPTS = 4
_RETRY_S = 1.0


class Shell(Protocol):
    """What storage needs of a device: commands, transfers, and a new link after a lost one."""

    def shell(self, arguments: list[str], *, what: str, deadline_s: float = 30.0) -> Result: ...

    def sync(self) -> Sync: ...

    def say(self, text: str) -> None: ...


_FREE = 'mkdir -p "$1" && df -k "$1" | tail -n 1'
_HASH = 'cd "$1" && shift && sha256sum -- "$@" 2>/dev/null; true'
_JOIN = """
cd "$1" && shift && out=$1 && shift || exit 1
for part in "$@"; do cat -- "$part" >> "$out" && rm -f -- "$part" || exit 1; done
"""


class Storage:
    """Pushes by content. ``bytes_sent`` counts what really went over the link.

    Every method raises DeviceError if the device refuses, is full or no longer answers.
    """

    def __init__(self, device: Shell) -> None:
        self._device = device
        self.bytes_sent = 0
        self._verified: set[str] = set()

    def put(self, source: Path, sha256: str, size: int) -> str:
        """Bring one file there under its sha256; its path on the device. One that is there and right is not sent."""
        return self.put_all(ROOT, {sha256: (source, sha256, size)})[sha256]

    def put_all(self, folder: str, files: Mapping[str, tuple[Path, str, int]], mode: int = 0o644) -> dict[str, str]:
        """Bring files into a folder, by name: (source, sha256, bytes). Only what is missing or wrong is sent."""
        paths = {name: f"{folder}/{name}" for name in files}
        self._device.sync()  # a link that was lost is noticed here, and with it all that was seen before
        unknown = [name for name in files if paths[name] not in self._verified]
        if not unknown:
            return paths
        there = self.hashes(folder, unknown)
        missing = [name for name in unknown if there.get(name) != files[name][1]]
        for name in missing:
            if name in there:
                self._device.say(f"{paths[name]} on the device is damaged: it is sent again")
        if missing:
            self._check_room(sum(files[name][2] for name in missing))
            for name in missing:
                self._push(files[name][0], paths[name], files[name][2], mode, files[name][1])
            self._check_pushed(folder, {name: files[name][1] for name in missing})
        self._verified.update(paths.values())
        return paths

    def hashes(self, folder: str, names: list[str]) -> dict[str, str]:
        """The sha256 that the device computes of these files; a file that is not there is left out."""
        answer = self._device.shell(
            ["sh", "-c", _HASH, "sh", folder, *names], what="check of files on the device", deadline_s=300.0
        )
        rows = [line.split(None, 1) for line in answer.text.splitlines()]
        return {row[1].strip().removeprefix("*"): row[0] for row in rows if len(row) == 2 and len(row[0]) == 64}

    def free_bytes(self) -> int | None:
        """Room on the device's storage; None if it does not tell."""
        answer = self._device.shell(["sh", "-c", _FREE, "sh", ROOT], what="look for room on the device")
        if answer.code:
            raise DeviceError(
                f"The device can't hold edgekit's files: {answer.complaint}.", where=ROOT,
                next_step="/data/local/tmp must exist and be writable for the adb shell.",
            )  # fmt: skip
        fields = answer.text.split()
        # File system, blocks, used, available, use%, mounted on; from the right, because the first may hold spaces.
        return int(fields[-3]) * 1024 if len(fields) >= 5 and fields[-3].isdecimal() and len(fields[-3]) < 16 else None

    def forget(self) -> None:
        """The device was restarted or its files removed: nothing counts as verified any more."""
        self._verified.clear()

    def _check_room(self, needed: int) -> None:
        free = self.free_bytes()
        if free is not None and free < needed + RESERVE_BYTES:
            raise DeviceError(
                f"The device has {free >> 20} MiB free, and {(needed + RESERVE_BYTES) >> 20} MiB are needed.",
                where=ROOT, next_step="Free some room on it; edgekit devices clean removes what edgekit keeps there.",
                free_bytes=free, needed_bytes=needed,
            )  # fmt: skip

    def _push(self, source: Path, path: str, size: int, mode: int, sha256: str) -> None:
        """In one go, or in parts that survive a lost link; the final name appears when all of it is there."""
        temporary = f"{ROOT}/parts/{sha256}"
        if size <= PART_BYTES:
            self._retried(partial(self._push_range, source, temporary, 0, size, mode))
        else:
            self._push_in_parts(source, temporary, size, mode)
        folder = path.rpartition("/")[0]
        script = 'mkdir -p "$1" && chmod "$2" "$3" && mv -f -- "$3" "$4"'
        arguments = ["sh", "-c", script, "sh", folder, f"{mode:o}", temporary, path]
        answer = self._device.shell(arguments, what="put a file in its place")
        if answer.code:
            raise DeviceError(f"{path} can't be put in its place: {answer.complaint}.", where=path,
                              next_step="Look at the permissions of /data/local/tmp on the device.")  # fmt: skip

    def _push_in_parts(self, source: Path, temporary: str, size: int, mode: int) -> None:
        folder, _, stem = temporary.rpartition("/")
        parts = {f"{stem}.{n:04d}": (n * PART_BYTES, min(PART_BYTES, size - n * PART_BYTES))
                 for n in range(-(-size // PART_BYTES))}  # fmt: skip
        there = self.hashes(folder, list(parts))  # of an earlier push that was cut off
        for name, (begin, length) in parts.items():
            if name in there and there[name] == _range_sha256(source, begin, length):
                continue
            try:
                self._retried(partial(self._push_range, source, f"{folder}/{name}", begin, length, mode))
            except LinkLostError:
                raise  # what is there already is where the next push goes on
            except DeviceError:
                self._device.shell(["rm", "-f", *(f"{folder}/{part}" for part in parts)], what="removal of parts")
                raise
        self._join(source, folder, stem, list(parts))

    def _join(self, source: Path, folder: str, stem: str, names: list[str]) -> None:
        self._device.shell(["rm", "-f", f"{folder}/{stem}"], what="removal of an old part")
        arguments = ["sh", "-c", _JOIN, "sh", folder, stem, *names]
        answer = self._device.shell(arguments, what="join the parts", deadline_s=600.0)
        if answer.code:
            raise DeviceError(
                f"The parts of {source.name} can't be joined on the device: {answer.complaint}.",
                where=f"{folder}/{stem}", next_step="Free some room on it, and run it again.",
            )  # fmt: skip

    def _push_range(self, source: Path, name: str, begin: int, length: int, mode: int) -> None:
        with source.open("rb") as stream:
            stream.seek(begin)
            sync = self._device.sync()
            self.bytes_sent += sync.push(_Bounded(stream, length), name, mode=mode)

    def _retried(self, action: Callable[[], None]) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return action()
            except LinkLostError as error:
                if attempt == _ATTEMPTS:
                    raise
                self._device.say(f"{error.message} Trying again ({attempt} of {_ATTEMPTS - 1}).")
                time.sleep(_RETRY_S * attempt)

    def _check_pushed(self, folder: str, wanted: Mapping[str, str]) -> None:
        there = self.hashes(folder, list(wanted))
        wrong = [name for name, sha256 in wanted.items() if there.get(name) != sha256]
        if wrong:
            raise DeviceError(
                f"{wrong[0]} does not arrive on the device as it was sent.", where=f"{folder}/{wrong[0]}",
                next_step="Check the cable, and the device's storage.", files=wrong,
            )  # fmt: skip


class _Bounded:
    """A stream that ends after ``length`` bytes."""

    def __init__(self, stream: Readable, length: int) -> None:
        self._stream, self._left = stream, length

    def readinto(self, view: memoryview) -> int:
        count = self._stream.readinto(view[: self._left]) or 0
        self._left -= count
        return count


def _range_sha256(path: Path, begin: int, length: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(begin)
        while length and (chunk := stream.read(min(length, 1 << 20))):
            digest.update(chunk)
            length -= len(chunk)
    return digest.hexdigest()

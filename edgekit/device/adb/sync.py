"""Files to and from the device by adb's sync service (AOSP packages/modules/adb/SYNC.TXT), in bounded memory."""

from __future__ import annotations

import stat
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from edgekit.device.adb.link import Channel, Link, Patience, Say
from edgekit.device.adb.shell import printable
from edgekit.errors import DeviceError, LinkLostError

_REQUEST = struct.Struct("<4sI")
_CHUNK = 64 * 1024  # the most that SYNC.TXT allows in one DATA
_BATCH = 15  # chunks handed to the link at once: with their heads just less than the largest packet, one round trip
# A transfer ends after this time and what its bytes take at the least speed that counts as one: USB 1 does 1 MB/s.
_GRACE_S = 60.0
_LEAST_BYTES_PER_S = 64 * 1024
_MAX_PATH = 1024
_MAX_MESSAGE = 4096


class Readable(Protocol):
    """A source of bytes: a file, or a part of one."""

    def readinto(self, view: memoryview, /) -> int | None:
        """Fill the view as far as possible; how many bytes, 0 at the end."""


@dataclass(frozen=True)
class RemoteFile:
    """What the device says of a path: the mode is 0 if there is nothing."""

    mode: int
    size: int

    @property
    def exists(self) -> bool:
        """Whether anything is there."""
        return self.mode != 0


class Sync:
    """File transfers over one link.

    Every method raises DeviceError if the device refuses or does not answer, LinkLostError if the connection ends,
    DeadlineError if it dribbles. An OSError is this computer's: the local file can't be read or written.
    """

    def __init__(self, link: Link, patience: Patience, say: Say) -> None:
        self._link, self._patience, self._say = link, patience, say

    def stat(self, path: str) -> RemoteFile:
        """What is at ``path``; sizes are modulo 4 GiB, as the protocol has them."""
        with self._channel("look at a file") as channel:
            self._request(channel, b"STAT", path)
            kind, mode = _REQUEST.unpack(channel.read(8))
            size, _mtime = struct.unpack("<II", channel.read(8))
            if kind != b"STAT":
                raise self._rubbish("look at a file")
        return RemoteFile(mode, size)

    def push(
        self, source: Readable, path: str, *, mode: int = 0o644, progress: Callable[[int], None] | None = None
    ) -> int:
        """Write what ``source`` still holds to ``path``; the number of bytes. The device creates missing directories.

        A transfer that fails leaves no file: adbd removes what it had written.
        """
        with self._channel("push") as channel:
            try:
                self._request(channel, b"SEND", f"{path},{stat.S_IFREG | mode}")
                sent = _send(channel, source, progress)
            except LinkLostError as error:
                # A daemon that closes the service at once said before why.
                with suppress(LinkLostError):
                    self._acknowledged(channel, path)
                raise error
            self._acknowledged(channel, path)
        return sent

    def pull(self, path: str, sink: BinaryIO, *, limit: int) -> int:
        """Append the file at ``path`` to ``sink``; its number of bytes. More than ``limit`` is an error."""
        received = 0
        with self._channel("pull") as channel:
            self._request(channel, b"RECV", path)
            while True:
                kind, length = _REQUEST.unpack(channel.read(8))
                if kind == b"DONE":
                    return received
                if kind == b"FAIL":
                    raise self._refused("pull", path, channel.read(min(length, _MAX_MESSAGE)))
                if kind != b"DATA" or not 0 < length <= _CHUNK:
                    raise self._rubbish("pull")
                received += length
                if received > limit:
                    raise DeviceError(
                        f"{path} on {self._link.name} is larger than the {limit} bytes expected.",
                        where=self._link.name, next_step="The file is not what edgekit wrote there: run it again.",
                    )  # fmt: skip
                _receive(channel, length, sink)

    def _channel(self, what: str) -> Channel:
        return Channel(
            self._link, "sync:", what=what, patience=self._patience, say=self._say, deadline_s=_GRACE_S
        )  # fmt: skip

    def _request(self, channel: Channel, kind: bytes, path: str) -> None:
        raw = path.encode("utf-8", "surrogateescape")
        if len(raw) > _MAX_PATH:
            raise DeviceError(f"The path is too long for adb: {path[:80]}…", where=self._link.name)
        channel.write(_REQUEST.pack(kind, len(raw)) + raw)

    def _acknowledged(self, channel: Channel, path: str) -> None:
        kind, length = _REQUEST.unpack(channel.read(8))
        if kind == b"FAIL":
            raise self._refused("push", path, channel.read(min(length, _MAX_MESSAGE)))
        if kind != b"OKAY":
            raise self._rubbish("push")

    def _refused(self, what: str, path: str, message: bytes) -> DeviceError:
        said = printable(message.decode("utf-8", "replace"), 300)
        return DeviceError(
            f"{self._link.name} refused the {what} of {path}: {said}.", where=path,
            next_step="Make room on the device, or look at its permissions; edgekit devices clean removes "
            "what edgekit keeps there.", said=said,
        )  # fmt: skip

    def _rubbish(self, what: str) -> DeviceError:
        return DeviceError(f"{self._link.name} answered the {what} with what the sync protocol does not know.",
                           where=self._link.name, next_step="Restart the device's adb daemon.")  # fmt: skip


def _send(channel: Channel, source: Readable, progress: Callable[[int], None] | None) -> int:
    """DATA up to the source's end, and DONE; or until the device says that it wants no more. Bytes of the file."""
    sent = 0
    buffer = bytearray(_BATCH * (_CHUNK + 8))
    while filled := _fill(buffer, source):
        length, payload = filled
        channel.write(memoryview(buffer)[:length])
        channel.allow(payload / _LEAST_BYTES_PER_S)
        sent += payload
        if progress is not None:
            progress(sent)
        if channel.answered():
            return sent
    channel.write(_REQUEST.pack(b"DONE", int(time.time()) & 0xFFFFFFFF))
    return sent


def _receive(channel: Channel, length: int, sink: BinaryIO) -> None:
    """One DATA, straight from the link's buffer."""
    channel.allow(length / _LEAST_BYTES_PER_S)
    while length:
        view = channel.read_some(length)
        length -= len(view)
        while view:
            view = view[sink.write(view) :]  # an unbuffered file takes less when the disk is nearly full


def _fill(buffer: bytearray, source: Readable) -> tuple[int, int] | None:
    """Lay the next DATA chunks of the source into the buffer: bytes used, and bytes of the file; None at its end."""
    view, used, payload = memoryview(buffer), 0, 0
    for _ in range(_BATCH):
        count = source.readinto(view[used + 8 : used + 8 + _CHUNK])
        if not count:
            break
        _REQUEST.pack_into(buffer, used, b"DATA", count)
        used, payload = used + 8 + count, payload + count
        if count < _CHUNK:
            break
    return (used, payload) if used else None

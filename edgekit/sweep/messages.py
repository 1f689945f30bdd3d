"""What the process that converts and the queue of a device tell each other, in memory or as lines of JSON."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import msgspec

from edgekit.convert.request import ConvertRequest
from edgekit.errors import ConvertError
from edgekit.prepare import Subject
from edgekit.records import Record
from edgekit.selection import CellState, Sweep, SweepCell

Key = tuple[str, str, str]


class Work(Record, frozen=True, kw_only=True):
    """What a queue is to do: the device's cells of this sweep. It may hold a password, in the store's address."""

    sweep: Sweep
    device: str
    store: str
    cache: str
    wait_s: float


class Prepared(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A converted file that is ready to be measured."""

    key: Key
    subject: Subject


class FromFile(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A file that was converted elsewhere; the device itself says which inputs it has."""

    key: Key
    request: ConvertRequest


class Refused(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """There is no file; ``error`` is EdgekitError.to_dict()."""

    key: Key
    error: dict[str, Any]


Provision = Prepared | FromFile | Refused


class Said(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A line for the user."""

    text: str


class Repeated(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A repeat of the cell with this key was made and stored."""

    cell: str
    seconds: float


class Ended(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A cell is settled."""

    cell: str
    state: CellState


class Closed(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The queue has ended; ``error``, as EdgekitError.to_dict(), says why it could not do everything."""

    error: dict[str, Any] | None = None


Event = Said | Repeated | Ended | Closed
# Takes what a queue says.
Tell = Callable[[Said | Repeated | Ended], None]

# Made before there are threads: two that make a type's decoder at the same time crash msgspec 0.22.
_ENCODER = msgspec.json.Encoder()
_WORK = msgspec.json.Decoder(Work)
_PROVISION = msgspec.json.Decoder(Provision)
_EVENT = msgspec.json.Decoder(Event)


def encode(message: msgspec.Struct) -> bytes:
    """One line."""
    return _ENCODER.encode(message) + b"\n"


def decode_work(line: bytes) -> Work:
    """The first line that a worker is sent."""
    return _WORK.decode(line)


def decode_event(line: bytes) -> Event:
    """A line that a worker says."""
    event: Event = _EVENT.decode(line)
    return event


def source_of(cell: SweepCell) -> Key:
    """Which file a cell measures."""
    return cell.model, cell.format, cell.precision


class Feed:
    """The files of one queue, as they become ready. Lines may be put in from another thread."""

    def __init__(self) -> None:
        self._known: dict[Key, Provision] = {}
        self._arriving: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def put(self, provision: Provision) -> None:
        """A file is ready, or there will be none."""
        self._known[provision.key] = provision

    def put_line(self, line: bytes | None) -> None:
        """The same as a line; None ends them."""
        self._arriving.put(line)

    def get(self, key: Key) -> Provision | None:
        """What is known of this file."""
        return self._known.get(key)

    def wait(self) -> None:
        """Wait for the next one.

        Raises:
            ConvertError: there will be no more.
        """
        line = self._arriving.get()
        if line is None:
            self._arriving.put(None)
            raise ConvertError("The conversions ended before every file was there.", where="sweep",
                               next_step="Continue the sweep; the files that are there are kept.")  # fmt: skip
        self.put(_PROVISION.decode(line))

"""The way to one device: a link opens services on it, a channel talks to one of them and never waits in silence.

Above this file nobody knows whether the bytes go through an adb server or straight to the device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from edgekit.errors import DeadlineError, DeviceError, LinkLostError

Say = Callable[[str], None]


class Stream(Protocol):
    """One open service on the device."""

    def send(self, data: memoryview, timeout_s: float) -> int:
        """Send some of ``data``; how many bytes, 0 if none could be sent in time. Raises LinkLostError."""

    def receive(self, timeout_s: float) -> memoryview | None:
        """Some bytes, valid until the next call; none if the device closed the service, None if nothing came in time.

        Raises LinkLostError.
        """

    def close(self) -> None:
        """Close it; never raises."""


class Link(Protocol):
    """An authenticated connection to one device."""

    name: str  # the device, as the user knows it
    how: str  # "directly by TCP", "through the adb server at 127.0.0.1:5037"
    features: frozenset[str]

    @property
    def lost(self) -> bool:
        """Whether the connection has ended, so that only a new one can succeed."""

    def open(self, service: str, timeout_s: float) -> Stream | None:
        """Open a service; None if the device refuses it. Raises DeviceError, LinkLostError, TimeoutError."""

    def close(self) -> None:
        """Close the connection; never raises."""


@dataclass(frozen=True)
class Patience:
    """How long a silent device is waited for, in seconds.

    After ``ask_s`` without a byte the device is asked for a sign of life. One that answers may take as long as the
    command's own deadline allows; one that does not is reported after ``notice_s`` and given up after ``limit_s``.
    """

    ask_s: float = 2.0
    notice_s: float = 3.0
    limit_s: float = 20.0


# A service that no device has: refused at once by a living adbd, which starts no process for it.
PING_SERVICE = "edgekit-ping:"
# The shortest step, so that a patience that is at its end is not spent in a busy loop.
_LEAST_S = 0.01


def is_alive(link: Link, timeout_s: float) -> bool:
    """Whether the device answers at all. Raises LinkLostError if the connection has ended."""
    try:
        stream = link.open(PING_SERVICE, timeout_s)
    except TimeoutError:
        return False
    if stream is not None:
        stream.close()
    return True


class Channel:
    """A conversation with one service, with exact reads and writes and a bound for everything.

    Args:
        what: what is being done, for messages: "push of model.pte".
        deadline_s: seconds for the whole conversation; None if only silence ends it.

    Raises:
        DeviceError: the device refuses the service (``refused``), or no longer answers.
        LinkLostError: the connection ended.
        DeadlineError: the deadline has passed.
    """

    def __init__(
        self, link: Link, service: str, *, what: str, patience: Patience, say: Say, deadline_s: float | None = None
    ) -> None:
        self._link, self._what, self._patience, self._say = link, what, patience, say
        self._deadline_s = deadline_s
        self._begun = self._last = time.monotonic()
        self._rest = memoryview(b"")
        self._told = False
        self._stream = self._open(service)

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(DeviceError):  # whatever ended the block says more than this would
            self._stream.close()

    def allow(self, seconds: float) -> None:
        """Put the deadline off, because so much was achieved."""
        if self._deadline_s is not None:
            self._deadline_s += seconds

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it."""
        view = memoryview(data)
        while view:
            sent = self._stream.send(view, self._turn_s())
            view = view[sent:]
            self._heard() if sent else self._silent()

    def answered(self) -> bool:
        """Whether the device has already sent something to be read, or closed the service."""
        if not self._rest:
            received = self._stream.receive(0.0)
            if received is None:
                return False
            self._rest = received
        return True

    def read_some(self, most: int) -> memoryview:
        """Between 1 and ``most`` bytes, valid until the next call. Raises LinkLostError if the service has ended."""
        while not self._rest:
            received = self._stream.receive(self._turn_s())
            if received is None:
                self._silent()
                continue
            if not received:
                raise LinkLostError(
                    f"{self._link.name} closed the connection in the middle of the {self._what}.",
                    where=self._link.name,
                    next_step="Check the cable and that the device is on, then run it again.",
                )
            self._rest = received
            self._heard()
        some, self._rest = self._rest[:most], self._rest[most:]
        return some

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes. Raises LinkLostError if the service ends before."""
        some = self.read_some(count) if count else memoryview(b"")
        if len(some) == count:
            return bytes(some)
        data = bytearray(some)
        while len(data) < count:
            data += self.read_some(count - len(data))
        return bytes(data)

    def _open(self, service: str) -> Stream:
        while True:
            self._check_deadline()
            try:
                stream = self._link.open(service, self._turn_s())
            except TimeoutError:
                self._wait_for_life()
                continue
            if stream is None:
                raise DeviceError(
                    f"{self._link.name} refuses the {self._what} (service {service.partition(':')[0]}).",
                    where=self._link.name, next_step="edgekit needs Android 7 or later.", refused=True,
                )  # fmt: skip
            self._is_alive()
            return stream

    def _heard(self) -> None:
        self._is_alive()
        self._check_deadline()

    def _is_alive(self) -> None:
        self._last = time.monotonic()
        if self._told:
            self._told = False
            self._say(f"{self._link.name} answers again")

    def _silent(self) -> None:
        """Nothing moved for a while: go on if the device gives a sign of life."""
        self._check_deadline()
        if is_alive(self._link, self._turn_s()):
            self._heard()
        else:
            self._wait_for_life()

    def _wait_for_life(self) -> None:
        self._check_deadline()
        quiet = time.monotonic() - self._last
        if quiet >= self._patience.limit_s:
            raise DeviceError(
                f"{self._link.name} has not answered for {quiet:.0f} s (during the {self._what}).",
                where=self._link.name,
                next_step="Wake the device, check its cable, or restart it; then run it again.",
                silent_s=round(quiet, 1),
            )
        if quiet >= self._patience.notice_s:
            left = self._patience.limit_s - quiet
            self._say(f"{self._link.name} has not answered for {quiet:.0f} s; giving up in {left:.0f} s")
            self._told = True

    def _turn_s(self) -> float:
        """How long the next step may wait: no longer than until the device is given up, or the deadline."""
        now = time.monotonic()
        left = self._last + self._patience.limit_s - now
        if self._deadline_s is not None:
            left = min(left, self._begun + self._deadline_s - now)
        return min(self._patience.ask_s, max(left, _LEAST_S))

    def _check_deadline(self) -> None:
        if self._deadline_s is not None and time.monotonic() > self._begun + self._deadline_s:
            raise DeadlineError(
                f"The {self._what} on {self._link.name} did not end within {self._deadline_s:.3g} s.",
                where=self._link.name, next_step="Allow more time, or do less at once.", timeout_s=self._deadline_s,
            )  # fmt: skip

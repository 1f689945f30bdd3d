"""The serial line to an agent: requests in order, a window of them on the way, sent again until they are answered.

Whatever the other side sends, memory is bounded and every call ends: with an answer or with an error within seconds.
"""

from __future__ import annotations

import secrets
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import serial

from edgekit.device.mcu import refusals
from edgekit.device.mcu.frames import ANSWER, PROTOCOL, Decoder, Frame, Kind, encode
from edgekit.errors import DeadlineError, DeviceError, LinkLostError

BAUD = 921_600
_READ_BYTES = 4096
_WRITE_S = 3.0
# Without select (Windows) the port is asked this often.
_POLL_S = 0.001
_AGAIN_S = 0.25
_AGAIN_WORKING_S = 1.0
_ROUND_S = 1.0  # an answer that took longer says nothing about the line
# A demand to send again is followed once in so long: the frames behind the missing one may each bring it again.
_DEMAND_S = 0.05
_BITS_PER_BYTE = 10


class Port(Protocol):
    """What is used of a pyserial port; reads don't wait."""

    def read(self, size: int) -> bytes: ...

    def write(self, data: bytes) -> int | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Patience:
    """Bounds in seconds: without any answer; with answers but without progress; for one request in work."""

    silence_s: float = 3.0
    stuck_s: float = 10.0
    work_s: float = 60.0


def open_port(url: str, baud: int = BAUD) -> Port:
    """Open a serial port: ``/dev/ttyACM0``, a pty's name, ``socket://HOST:PORT`` or any URL of pyserial.

    Raises:
        DeviceError: there is none, it is in use, or may not be opened.
    """
    try:
        port: Port = serial.serial_for_url(url, baudrate=baud, timeout=0, write_timeout=_WRITE_S, exclusive=True)
    except (serial.SerialException, ValueError, OSError) as error:
        raise DeviceError(
            f"The serial port {url} can't be opened: {error}.", where=url,
            next_step="Check the cable and the port's name, that no other program has it open, and that you may open "
            "it (Linux: group dialout).",
        ) from error  # fmt: skip
    return port


class Link:
    """One connection. Not for several threads."""

    def __init__(self, port: Port, name: str, *, baud: int = BAUD, patience: Patience | None = None) -> None:
        self.name = name
        self.resent = 0
        self._port, self._baud = port, baud
        self._patience = patience or Patience()
        self._decoder = Decoder()
        self._arrived: deque[Frame] = deque()
        self._session = 0
        self._sequence = 0
        self._window = 1
        self._round_s = 0.0  # from a request to its answer, smoothed

    def close(self) -> None:
        """Close the port."""
        try:
            self._port.close()
        except OSError:
            pass  # it is gone already

    def start(self) -> bytes:
        """Begin a session: what was on the line before no longer counts. Returns the answer to IDENTIFY.

        Raises:
            DeviceError: nobody answers, or it is no agent of this protocol version.
        """
        self._session = 1 + secrets.randbelow(0xFFFF)
        self._sequence = secrets.randbelow(0x10000)
        self._window = 1
        self._arrived.clear()
        self._decoder.rubbish_bytes = 0
        self._write(b"\0")  # ends whatever an earlier host left unfinished
        try:
            return self.request(Kind.IDENTIFY)
        except LinkLostError as error:
            raise self._no_agent(error) from error

    def widen(self, window: int) -> None:
        """How many bulk frames may be on the way at once, as the agent says."""
        self._window = window

    def request(self, kind: Kind, payload: bytes = b"", *, limit_s: float | None = None) -> bytes:
        """Send one request and return what it was answered.

        Args:
            kind: which one.
            payload: its content.
            limit_s: how long the agent may work at it; by default ``patience.work_s``.

        Raises:
            LinkLostError: no answer.
            DeadlineError: the agent took the request, but was not done within the limit.
            DeviceError: the agent refused it.
        """
        return _Exchange(self, kind, iter([payload]), 1, limit_s or self._patience.work_s).run()

    def bulk(self, kind: Kind, payloads: Iterable[bytes], progress: Callable[[int], None] | None = None) -> None:
        """Send many requests whose answers have no content, a window of them on the way at a time.

        Args:
            kind: of all of them.
            payloads: the content of each.
            progress: called with how many have been answered.

        Raises:
            LinkLostError, DeviceError: see :meth:`request`.
        """
        _Exchange(self, kind, iter(payloads), self._window, self._patience.work_s, progress).run()

    def _write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._lost(f"{error}") from error

    def _next_frame(self, ends: float) -> Frame | None:
        """The next frame of this session, or None at that time."""
        while True:
            while self._arrived:
                frame = self._arrived.popleft()
                if frame.session == self._session and frame.type & ANSWER:
                    return frame
            left = ends - time.monotonic()
            if left <= 0:
                return None
            self._arrived.extend(self._decoder.feed(self._read(left)))

    def _read(self, wait_s: float) -> bytes:
        try:
            fileno = getattr(self._port, "fileno", None)
            if fileno:
                select.select([fileno()], [], [], wait_s)
            else:
                time.sleep(min(wait_s, _POLL_S))
            return self._port.read(_READ_BYTES)
        except (serial.SerialException, OSError, ValueError, TypeError) as error:
            # The last two are what a port gives that was closed under its reader.
            raise self._lost(f"{error}") from error

    def _lost(self, reason: str) -> LinkLostError:
        return LinkLostError(
            f"The connection to the board at {self.name} was lost: {reason}.", where=self.name,
            next_step="Check cable and power, then run the command again: a load goes on where it stopped.",
        )  # fmt: skip

    def _no_agent(self, error: LinkLostError) -> DeviceError:
        rubbish = self._decoder.rubbish_bytes
        what = f"{rubbish} bytes arrived that are no frames" if rubbish else "nothing arrived"
        return DeviceError(
            f"No edgekit agent answers at {self.name}: {what} ({error.message})", where=self.name,
            next_step="Check that it is the right port and speed, reset the board, and put the agent on it: "
            "edgekit mcu flash --board BOARD.",
        )  # fmt: skip

    def _other_protocol(self, frame: Frame) -> DeviceError:
        return DeviceError(
            f"The agent at {self.name} speaks version {frame.protocol} of the protocol, this edgekit {PROTOCOL}.",
            where=self.name, next_step="Put this edgekit's agent on the board: edgekit mcu flash --board BOARD.",
        )  # fmt: skip


class _Exchange:
    """Some requests until the last is answered."""

    def __init__(
        self, link: Link, kind: Kind, payloads: Iterator[bytes], window: int, limit_s: float,
        progress: Callable[[int], None] | None = None,
    ) -> None:  # fmt: skip
        self._link, self._kind, self._payloads, self._window = link, kind, payloads, window
        self._progress = progress
        self._waiting: deque[tuple[int, bytes]] = deque()  # sequence number and wire bytes of what has no answer yet
        self._done, self._answer = 0, b""
        self._working = False
        self._demanded = (-1, 0.0)
        self._sent_once: dict[int, float] = {}  # when; only what was not sent again says how long an answer takes
        self._limit_s = limit_s
        self._heard = self._moved = self._sent = time.monotonic()

    def run(self) -> bytes:
        """The content of the last answer."""
        while True:
            self._fill()
            if not self._waiting:
                return self._answer
            frame = self._link._next_frame(self._again_at())
            if frame is None:
                self._check_patience()
                self._send_again()
            else:
                self._heard = time.monotonic()
                self._take(frame)
                self._check_patience()

    def _fill(self) -> None:
        link = self._link
        while len(self._waiting) < self._window:
            payload = next(self._payloads, None)
            if payload is None:
                return
            wire = encode(Frame(self._kind, link._session, link._sequence, 0, payload))
            self._waiting.append((link._sequence, wire))
            self._sent = self._sent_once[link._sequence] = time.monotonic()
            link._sequence = (link._sequence + 1) & 0xFFFF
            link._write(wire)

    def _again_at(self) -> float:
        if self._working:
            return self._sent + _AGAIN_WORKING_S
        line_s = sum(len(wire) for _, wire in self._waiting) * _BITS_PER_BYTE / self._link._baud
        return max(self._sent, self._moved) + _AGAIN_S + 2 * max(line_s, self._link._round_s)

    def _send_again(self) -> None:
        self._sent_once.clear()
        for _, wire in self._waiting:
            self._link._write(wire)
            self._link.resent += 1
        self._sent = time.monotonic()

    def _take(self, frame: Frame) -> None:
        link = self._link
        if frame.protocol != PROTOCOL:
            raise link._other_protocol(frame)
        is_waiting = any(sequence == frame.sequence for sequence, _ in self._waiting)
        if frame.type == Kind.RESEND:
            self._take_up_to(frame.next)
            if frame.next != self._demanded[0] or time.monotonic() > self._demanded[1] + _DEMAND_S:
                self._demanded = (frame.next, time.monotonic())
                self._send_again()
        elif not is_waiting:
            return  # the echo of a request that was sent twice
        elif frame.type == Kind.ERROR:
            raise refusals.error(frame.payload, self._kind, link.name)
        elif frame.type == Kind.WORKING:
            self._working = True
        elif frame.type == self._kind | ANSWER:
            self._answer = frame.payload
            self._take_up_to((frame.sequence + 1) & 0xFFFF, answered=True)
        elif frame.type == Kind.ACKNOWLEDGED and self._window > 1:
            self._take_up_to(frame.next)
        elif frame.type == Kind.ACKNOWLEDGED:
            raise link._lost("the answer to a request is no longer known")

    def _take_up_to(self, following: int, *, answered: bool = False) -> None:
        """Drop what the agent has taken. A single request is only done when its own answer is there."""
        taken = (following - self._waiting[0][0]) & 0xFFFF
        if not 0 < taken <= len(self._waiting) or (self._window == 1 and not answered):
            return
        self._moved = time.monotonic()
        for sequence, _ in [self._waiting.popleft() for _ in range(taken)]:
            sent = self._sent_once.pop(sequence, None)
            if sent is not None and not self._working:
                self._link._round_s += (min(self._moved - sent, _ROUND_S) - self._link._round_s) / 8
        self._done += taken
        if self._progress:
            self._progress(self._done)

    def _check_patience(self) -> None:
        patience, link, now = self._link._patience, self._link, time.monotonic()
        if self._working:
            if now - self._moved > self._limit_s:
                raise DeadlineError(
                    f"The board at {link.name} was not done with {self._kind.name} within {self._limit_s:g} s.",
                    where=link.name, next_step="Reset the board, or allow more time.",
                )  # fmt: skip
        elif now - max(self._heard, self._moved) > patience.silence_s:
            raise link._lost(f"no answer to {self._kind.name} for {patience.silence_s:g} s")
        elif now - self._moved > patience.stuck_s:
            raise link._lost(f"{self._kind.name} did not get through for {patience.stuck_s:g} s")

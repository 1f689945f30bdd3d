"""One direct connection to a device: the adb protocol's packets, and the services multiplexed over them.

There is no thread of its own: whoever waits for an answer reads packets, for himself and for the others.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from edgekit.device.adb import messages
from edgekit.device.adb.messages import CLSE, HEADER_BYTES, OKAY, OPEN, WRTE, Header
from edgekit.errors import DeviceError, LinkLostError

# A packet that was cut off while it was sent is tried again at least this often while packets are waited for.
_RESUME_S = 0.05
# How many packets are looked at, at most, to see whether an idle connection has ended.
_LOOK_PACKETS = 64
# Of one service, how much may arrive that nobody has taken yet.
_MOST_WAITING, _MOST_PACKETS = 4 * messages.MAX_PAYLOAD, 64


class Transport(Protocol):
    """Bytes to and from one device; see :class:`edgekit.device.adb.sockets.BoundedSocket`."""

    def send(self, data: memoryview, timeout_s: float) -> int: ...

    def receive_into(self, view: memoryview, timeout_s: float) -> int | None: ...

    def close(self) -> None: ...


class Wire:
    """Packets over a transport. A packet that was cut by a time-out is finished later, in either direction.

    Every method but :meth:`close` raises LinkLostError if the connection has ended.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport, self._name = transport, name
        self._incoming, self._filled = bytearray(HEADER_BYTES), 0
        self._header: Header | None = None
        self._outgoing: list[memoryview] = []
        self._closed = False
        self.with_checksum = True

    @property
    def unfinished(self) -> bool:
        """Whether a part of a packet still has to be sent."""
        return bool(self._outgoing)

    def read(self, timeout_s: float) -> tuple[Header, bytearray] | None:
        """The next packet, or None if it did not arrive in time. Raises DeviceError if it is no packet."""
        ends = time.monotonic() + timeout_s
        if self._header is None:
            if not self._fill(ends):
                return None
            self._header = messages.unpack(self._incoming, self._name)
            self._incoming, self._filled = bytearray(self._header.length), 0
        if not self._fill(ends):
            return None
        header, payload = self._header, self._incoming
        self._header, self._incoming, self._filled = None, bytearray(HEADER_BYTES), 0
        return header, payload

    def write(self, command: int, arg0: int, arg1: int, data: bytes | memoryview = b"", *, timeout_s: float) -> bool:
        """Send a packet; False if not a byte of it went out in time, so that it may be tried again."""
        ends = time.monotonic() + timeout_s
        if not self.flush(ends - time.monotonic()):
            return False
        head = memoryview(messages.pack(command, arg0, arg1, data, with_checksum=self.with_checksum))
        self._outgoing = [head, memoryview(data)]
        if not self.flush(ends - time.monotonic()):
            if self._outgoing[0] is head:
                self._outgoing = []
                return False
            # The rest is sent later, when the caller may have changed what he gave.
            self._outgoing = [memoryview(bytes(view)) for view in self._outgoing]
        return True

    def flush(self, timeout_s: float) -> bool:
        """Send what an earlier time-out cut off; whether all of it is out."""
        ends = time.monotonic() + timeout_s
        while self._outgoing:
            view = self._outgoing[0]
            if view:
                sent = self._call(self._transport.send, view, ends)
                if not sent:
                    return False
                view = view[sent:]
            if view:
                self._outgoing[0] = view
            else:
                self._outgoing.pop(0)
        return True

    def close(self) -> None:
        """Close the transport; never raises."""
        self._closed = True
        try:
            self._transport.close()
        except Exception:  # noqa: BLE001, S110 - libusb raises types of its own, and closing is all that is left
            pass

    def _fill(self, ends: float) -> bool:
        view = memoryview(self._incoming)
        while self._filled < len(view):
            count = self._call(self._transport.receive_into, view[self._filled :], ends)
            if count is None:
                return False
            if not count:
                raise lost(self._name, "closed the connection")
            self._filled += count
        return True

    def _call(self, method: Callable[[memoryview, float], Any], view: memoryview, ends: float) -> Any:
        try:
            return method(view, max(ends - time.monotonic(), 0.0))
        except OSError as error:
            raise lost(self._name, f"cut the connection ({error.strerror or error})") from error
        except Exception as error:
            if not self._closed:
                raise
            # libusb's binding, for one, stumbles when another thread closes the device.
            raise lost(self._name, "was closed") from error


def lost(name: str, what: str) -> LinkLostError:
    """The error for a connection that has ended."""
    return LinkLostError(
        f"{name} {what}.", where=name, next_step="Check the cable and that the device is on, then run it again."
    )


class Connection:
    """The services of one device over one wire, for any number of threads; each service is used by one of them.

    An interrupt (KeyboardInterrupt) may come between any two steps, when a packet is half sent or half read. So it
    ends the connection: nothing may follow on it, and a new one is cheap.

    Args:
        max_payload: the most bytes of a packet that the device accepts.
    """

    def __init__(self, wire: Wire, name: str, max_payload: int) -> None:
        self._wire, self.name = wire, name
        self.max_payload = max_payload
        self._changed = threading.Condition()
        self._reading = False
        self._writing = threading.Lock()
        self._next_id = 1
        self._services: dict[int, Service] = {}
        self._broken: DeviceError | None = None

    @property
    def broken(self) -> bool:
        """Whether it has ended, as far as the packets that have arrived tell."""
        try:
            for _ in range(_LOOK_PACKETS):
                with self._changed:
                    if self._broken is not None or self._reading:
                        break
                    self._reading = True
                if not self._read_one(0.0):
                    break
        except DeviceError:
            pass  # it has just ended
        except BaseException as error:
            self._break(error)
            raise
        return self._broken is not None

    def open(self, service: str, timeout_s: float) -> Service | None:
        """Open a service; None if the device refuses it.

        Raises:
            DeviceError: the service's name is longer than the device accepts.
            LinkLostError: the connection has ended.
            TimeoutError: no answer in time.
        """
        ends = time.monotonic() + timeout_s
        raw = service.encode("utf-8", "surrogateescape") + b"\0"
        if len(raw) > self.max_payload:
            raise DeviceError(f"{self.name} takes no command of more than {self.max_payload} bytes.", where=self.name,
                              next_step="Do less at once.")  # fmt: skip
        with self._changed:
            made = Service(self, self._next_id)
            self._services[made.local_id] = made
            self._next_id = self._next_id % 0x7FFFFFFF + 1
        if self.write(OPEN, made.local_id, 0, raw, timeout_s) and self.wait(
            lambda: made.remote_id or made.closed, ends - time.monotonic()
        ):
            return made if made.remote_id else None
        # An answer that still comes is for a service that nobody knows any more, and is refused.
        self.forget(made)
        raise TimeoutError

    def write(self, command: int, arg0: int, arg1: int, data: bytes | memoryview, timeout_s: float) -> bool:
        """Send a packet; False if it could not even begin in time."""
        if not self._writing.acquire(timeout=max(timeout_s, 0.0)):
            return False
        try:
            self._check()
            return self._wire.write(command, arg0, arg1, data, timeout_s=timeout_s)
        except BaseException as error:
            self._break(error)
            raise
        finally:
            self._writing.release()

    def wait(self, until: Callable[[], object], timeout_s: float) -> bool:
        """Read packets until the condition holds; whether it came to hold in time."""
        ends = time.monotonic() + timeout_s
        try:
            while True:
                with self._changed:
                    if until():
                        return True
                    self._check()
                    left = ends - time.monotonic()
                    if left <= 0:
                        return False
                    if self._reading:
                        self._changed.wait(left)
                        continue
                    self._reading = True
                self._read_one(left)
        except BaseException as error:
            self._break(error)
            raise

    def forget(self, service: Service) -> None:
        """Packets for this service are refused from now on."""
        with self._changed:
            self._services.pop(service.local_id, None)

    def close(self) -> None:
        """End the connection and every service on it."""
        self._break(lost(self.name, "was closed"))

    def _read_one(self, timeout_s: float) -> bool:
        """Read one packet and hand it out; whether one came. For the thread that set ``_reading``."""
        packet, reply = None, None
        try:
            if self._resume():
                timeout_s = min(timeout_s, _RESUME_S)
            packet = self._wire.read(timeout_s)
        except DeviceError as error:
            self._break(error)
        finally:
            with self._changed:
                self._reading = False
                if packet is not None:
                    reply = self._deliver(*packet)
                self._changed.notify_all()
        if reply is not None and self._broken is None:
            self.write(CLSE, *reply, b"", timeout_s)
        return packet is not None

    def _resume(self) -> bool:
        """Send more of a packet that was cut off; whether some of it is left."""
        if self._wire.unfinished and self._writing.acquire(blocking=False):
            try:
                self._wire.flush(0.0)
            finally:
                self._writing.release()
        return self._wire.unfinished

    def _deliver(self, header: Header, payload: bytearray) -> tuple[int, int] | None:
        """Hand a packet to its service; the ids of a CLSE to answer if there is none."""
        service = self._services.get(header.arg1)
        if service is None:
            return (header.arg1, header.arg0) if header.command in (WRTE, OKAY) else None
        if not service.take(header, payload):
            self._break(DeviceError(f"{self.name} does not keep to the adb protocol: it sends before it may.",
                                    where=self.name, next_step="Restart the device's adb daemon."))  # fmt: skip
        if service.closed:
            self._services.pop(header.arg1, None)
        return None

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken.with_traceback(None)

    def _break(self, error: BaseException) -> None:
        with self._changed:
            if self._broken is None:
                interrupted = lost(self.name, "was left in the middle of a packet")
                self._broken = error if isinstance(error, DeviceError) else interrupted
                self._wire.close()
            self._changed.notify_all()


class Service:
    """One open service: a :class:`edgekit.device.adb.link.Stream` over a connection."""

    def __init__(self, connection: Connection, local_id: int) -> None:
        self._connection = connection
        self.local_id = local_id
        self.remote_id = 0
        self.closed = False
        self._may_send = False
        self._received: deque[bytearray] = deque()

    def take(self, header: Header, payload: bytearray) -> bool:
        """A packet for this service, under the connection's lock; False if it may not come now.

        A device sends the next data when we acknowledged the last; only what is left when the service ends comes at
        once. One that does not wait would fill our memory.
        """
        if header.command == OKAY:
            self.remote_id = self.remote_id or header.arg0
            self._may_send = True
        elif header.command == CLSE:
            self.closed = True
        elif header.command == WRTE:
            self._received.append(payload)
            waiting = sum(len(packet) for packet in self._received)
            return bool(self.remote_id) and waiting <= _MOST_WAITING and len(self._received) <= _MOST_PACKETS
        return True

    def send(self, data: memoryview, timeout_s: float) -> int:
        ends = time.monotonic() + timeout_s
        if not self._connection.wait(lambda: self._may_send or self.closed, timeout_s):
            return 0
        if self.closed:
            raise lost(self._connection.name, "ended the service that was being written to")
        part = data[: self._connection.max_payload]
        self._may_send = False
        if not self._connection.write(WRTE, self.local_id, self.remote_id, part, ends - time.monotonic()):
            self._may_send = True
            return 0
        return len(part)

    def receive(self, timeout_s: float) -> memoryview | None:
        ends = time.monotonic() + timeout_s
        if not self._connection.wait(lambda: self._received or self.closed, timeout_s):
            return None
        if not self._received:
            return memoryview(b"")
        # Taken before it is acknowledged: the next may come at once, read by another thread.
        packet = self._received.popleft()
        try:
            if not self.closed and not self._connection.write(
                OKAY, self.local_id, self.remote_id, b"", ends - time.monotonic()
            ):
                self._received.appendleft(packet)
                return None
        except LinkLostError:
            pass  # what arrived before the end still counts; the next call tells
        return memoryview(packet)

    def close(self) -> None:
        try:
            if not self.closed:
                self._connection.write(CLSE, self.local_id, self.remote_id, b"", 0.5)
        except DeviceError:
            pass  # the connection is gone, and the service with it
        self.closed = True
        self._connection.forget(self)

"""Through a running adb server, which then holds the device.

The server is never started from here: that is the user's choice, and it would take the USB device away. So no library
is used for it: adbutils starts a server wherever none answers, and takes 0.2 s to import, for one socket.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from edgekit.device.adb.presence import server_address, server_is_running
from edgekit.device.adb.shell import printable
from edgekit.device.adb.sockets import BoundedSocket
from edgekit.errors import DeviceError, LinkLostError

_CONNECT_S = 5.0
_CHUNK = 256 * 1024
_MAX_LIST = 64 * 1024
_MAX_COMMAND = 0xFFFF  # its length is sent as four hexadecimal digits


@dataclass(frozen=True)
class Listed:
    """A device that the server knows, and its state there: device, unauthorized, offline, …"""

    serial: str
    state: str


class ServerLink:
    """A link to one device of the server's; every service is a connection of its own."""

    lost = False  # there is no connection to lose: the next service asks the server again

    def __init__(self, serial: str) -> None:
        self.name, self.serial = serial, serial
        host, port = server_address()
        self.how = f"through the adb server at {host}:{port}"
        self._open_streams: set[SocketStream] = set()
        self.features = frozenset(_ask(f"host-serial:{serial}:features", serial).split(","))

    def open(self, service: str, timeout_s: float) -> SocketStream | None:
        connection = _connect(self.serial, timeout_s)
        try:
            self._to_device(connection)
            _command(connection, service, self.serial)
        except _RefusedError:
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        stream = SocketStream(connection, self.name, self._open_streams)
        self._open_streams.add(stream)
        return stream

    def close(self) -> None:
        for stream in list(self._open_streams):
            stream.close()

    def _to_device(self, connection: socket.socket) -> None:
        try:
            _command(connection, f"host:transport:{self.serial}", self.serial)
        except _RefusedError as error:
            if "unauthorized" in error.message:
                raise
            # The server had it when this link was made, and may have it again.
            raise LinkLostError(error.message, where=error.where, next_step=error.next_step) from error


class SocketStream:
    """A service behind the server: a plain socket."""

    def __init__(self, connection: socket.socket, name: str, siblings: set[SocketStream]) -> None:
        self._socket, self._name, self._siblings = BoundedSocket(connection), name, siblings
        self._buffer: memoryview | None = None

    def send(self, data: memoryview, timeout_s: float) -> int:
        try:
            return self._socket.send(data, timeout_s)
        except OSError as error:
            raise _lost(self._name, error) from error

    def receive(self, timeout_s: float) -> memoryview | None:
        self._buffer = self._buffer or memoryview(bytearray(_CHUNK))
        try:
            count = self._socket.receive_into(self._buffer, timeout_s)
        except OSError as error:
            raise _lost(self._name, error) from error
        return None if count is None else self._buffer[:count]

    def close(self) -> None:
        self._siblings.discard(self)
        self._socket.close()


def listed() -> list[Listed]:
    """The devices of the running server; none if no server runs."""
    if not server_is_running():
        return []
    found = []
    for line in _ask("host:devices", None).splitlines():
        serial, tab, state = line.partition("\t")
        if tab and serial and serial.isprintable() and len(serial) <= 256:
            found.append(Listed(serial, printable(state.strip(), 40)))
    return found


class _RefusedError(DeviceError):
    """The server answered FAIL."""


def _connect(serial: str | None, timeout_s: float) -> socket.socket:
    """A connection whose every read and write ends within ``timeout_s``. Raises LinkLostError, TimeoutError."""
    host, port = server_address()
    try:
        connection = socket.create_connection((host, port), timeout_s)
    except TimeoutError:
        raise
    except (OSError, UnicodeError) as error:
        raise LinkLostError(
            f"There is no adb server at {host}:{port}: {getattr(error, 'strerror', None) or error}.",
            where=serial or f"{host}:{port}",
            next_step="Start it (adb start-server), or connect directly with adb:HOST:PORT.",
        ) from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _command(connection: socket.socket, command: str, serial: str | None) -> None:
    """One command of the server's protocol (OVERVIEW.TXT): length in hex, text; OKAY or FAIL with a reason.

    Raises:
        _RefusedError: FAIL. LinkLostError: the server is gone. TimeoutError: no answer in the connection's time.
    """
    where = serial or "adb server"
    raw = command.encode("utf-8", "surrogateescape")
    if len(raw) > _MAX_COMMAND:
        raise DeviceError(f"The adb server takes no command of more than {_MAX_COMMAND} bytes.", where=where,
                          next_step="Do less at once.")  # fmt: skip
    try:
        connection.sendall(f"{len(raw):04x}".encode() + raw)
        status = _exactly(connection, 4)
        if status == b"OKAY":
            return
        reason = _text(connection) if status == b"FAIL" else ""
    except TimeoutError:
        raise
    except OSError as error:
        raise _lost(where, error) from error
    if status != b"FAIL":
        raise DeviceError(f"What listens at {server_address()[0]}:{server_address()[1]} is no adb server.", where=where,
                          next_step="Check ANDROID_ADB_SERVER_PORT.")  # fmt: skip
    raise _refused(where, reason)


def _refused(serial: str, reason: str) -> _RefusedError:
    steps = {
        "unauthorized": "Unlock the phone and accept the prompt for this computer's key.",
        "offline": "Plug the device in again, or restart it; adb reconnect offline.",
        "not found": "edgekit devices lists what is attached.",
    }
    step = next((step for word, step in steps.items() if word in reason), "adb devices -l shows what the server knows.")
    return _RefusedError(f"The adb server refuses {serial}: {printable(reason, 200)}.", where=serial, next_step=step,
                         refused=True)  # fmt: skip


def _ask(command: str, serial: str | None) -> str:
    try:
        with _connect(serial, _CONNECT_S) as connection:
            _command(connection, command, serial)
            return _text(connection)
    except TimeoutError:
        host, port = server_address()
        raise DeviceError(
            f"The adb server at {host}:{port} has not answered for {_CONNECT_S:g} s.",
            where=serial or f"{host}:{port}", next_step="Restart it: adb kill-server.",
        ) from None  # fmt: skip
    except OSError as error:
        raise _lost(serial or "adb server", error) from error


def _text(connection: socket.socket) -> str:
    raw = _exactly(connection, 4)
    try:
        length = int(raw, 16)
    except ValueError:
        raise OSError(f"no length, but {raw!r}") from None
    if length > _MAX_LIST:
        raise OSError(f"an answer of {length} bytes")
    return _exactly(connection, length).decode("utf-8", "replace")


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionResetError("it closed the connection")
        data += chunk
    return data


def _lost(name: str, error: OSError) -> LinkLostError:
    return LinkLostError(
        f"The adb server lost {name}, or was stopped: {error.strerror or error}.", where=name,
        next_step="Check that the device is attached and the adb server runs (adb devices), then run it again.",
    )  # fmt: skip

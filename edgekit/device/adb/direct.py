"""Straight to the device, by TCP or USB; adb_shell finds the device on the USB bus and talks to libusb."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

from adb_shell.exceptions import UsbReadFailedError, UsbWriteFailedError

from edgekit.device.adb import keys, messages
from edgekit.device.adb.connection import Connection, Service, Transport, Wire
from edgekit.device.adb.link import Patience, Say
from edgekit.device.adb.messages import (
    AUTH,
    AUTH_PUBLIC_KEY,
    AUTH_SIGNATURE,
    AUTH_TOKEN,
    CLSE,
    CNXN,
    MAX_PAYLOAD,
    MAX_PAYLOAD_LEGACY,
    OKAY,
    STLS,
    TOKEN_BYTES,
    VERSION,
    WRTE,
)
from edgekit.device.adb.sockets import BoundedSocket
from edgekit.errors import DeviceError, UnauthorisedError

CONNECT_S = 5.0
PROMPT_S = 60.0
_LIBUSB_TIMEOUT = -7
_USB_LEAST_S = 0.001  # libusb takes 0 for "without end"
_USB_END_S = 1.0
_USB_IN = 0x80
_MAX_SERIAL = 256
# What this side understands; a service is only used in the newer form where both sides name it.
_FEATURES = b"host::features=shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir\0"


class DirectLink:
    """A :class:`edgekit.device.adb.link.Link` that needs no adb server."""

    def __init__(self, name: str, how: str, connection: Connection, banner: messages.Banner) -> None:
        self.name, self.how = name, how
        self.features = banner.features
        self._connection = connection

    @property
    def lost(self) -> bool:
        return self._connection.broken

    def open(self, service: str, timeout_s: float) -> Service | None:
        return self._connection.open(service, timeout_s)

    def close(self) -> None:
        self._connection.close()


def connect_tcp(host: str, port: int, *, patience: Patience, say: Say, prompt: bool = True) -> DirectLink:
    """Connect to an adbd that listens on TCP (``adb tcpip``, an emulator, a virtual phone).

    Args:
        prompt: let the phone ask its user about an unknown key; otherwise that is an error at once.

    Raises:
        DeviceError: nothing listens there, or it is no adbd.
        UnauthorisedError: the phone does not accept this computer's keys.
    """
    name = f"{host}:{port}"
    try:
        connection = socket.create_connection((host, port), CONNECT_S)
    except (OSError, UnicodeError) as error:  # the latter for a host name that can be none
        raise DeviceError(
            f"There is no adb device at {name}: {getattr(error, 'strerror', None) or error}.", where=name,
            next_step="Check the address, and that adb over TCP is on (adb tcpip 5555).",
        ) from error  # fmt: skip
    return _handshake(BoundedSocket(connection), name, "directly by TCP", patience, say, prompt)


def connect_usb(serial: str, *, patience: Patience, say: Say, prompt: bool = True) -> DirectLink:
    """Connect to the device with this serial number on the USB bus.

    Raises:
        DeviceError: libusb is missing, the device is not there or not to be opened.
        UnauthorisedError: the phone does not accept this computer's keys.
    """
    usb = usb_transports()
    if usb is None:
        raise DeviceError(
            "Direct USB needs libusb, which is not installed.",
            where=serial,
            next_step='pip install "edgekit[usb]", or start an adb server (adb start-server).',
        )
    try:
        transport = usb.find_adb(serial=serial, default_transport_timeout_s=CONNECT_S)
        transport.connect(CONNECT_S)
    except Exception as error:
        # The binding raises what libusb reports: no access, busy, no device.
        raise DeviceError(
            f"The device {serial} can't be opened on the USB bus: {error}.", where=serial,
            next_step="Check the cable and the udev rules; if an adb server holds it, edgekit uses that server.",
        ) from error  # fmt: skip
    return _handshake(_Usb(transport), serial, "directly by USB", patience, say, prompt)


def usb_transports() -> Any | None:
    """adb_shell's USB transport class; None where libusb is not installed."""
    try:
        from adb_shell.transport.usb_transport import UsbTransport
    except (ImportError, OSError):
        return None
    return UsbTransport


class _Usb:
    """adb_shell's USB transport as :class:`edgekit.device.adb.connection.Transport` has it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        outward = [e for e in transport._setting.iterEndpoints() if not e.getAddress() & _USB_IN]
        self._packet = int(outward[0].getMaxPacketSize())

    def send(self, data: memoryview, timeout_s: float) -> int:
        try:
            sent = int(self._transport.bulk_write(bytearray(data), max(timeout_s, _USB_LEAST_S)))
            if sent == len(data) and sent % self._packet == 0:
                # Only a shorter packet ends a transfer: adbd would wait for more where the data fill the last one.
                self._transport.bulk_write(b"", _USB_END_S)
            return sent
        except UsbWriteFailedError as error:
            return int(_timed_out(error).transferred)

    def receive_into(self, view: memoryview, timeout_s: float) -> int | None:
        ends = time.monotonic() + timeout_s
        while True:
            try:
                data = self._transport.bulk_read(len(view), max(ends - time.monotonic(), _USB_LEAST_S))
            except UsbReadFailedError as error:
                data = bytes(_timed_out(error).received)
                if not data:
                    return None
            if data:  # an empty packet only ends the transfer before
                view[: len(data)] = data
                return len(data)

    def close(self) -> None:
        self._transport.close()


def _timed_out(error: UsbReadFailedError | UsbWriteFailedError) -> Any:
    """libusb's time-out, which knows what was transferred before it. Raises OSError for every other error."""
    reason = error.args[-1]
    if getattr(reason, "value", None) != _LIBUSB_TIMEOUT:
        raise OSError(f"USB: {reason or error.args[0]}") from error
    return reason


def _handshake(transport: Transport, name: str, how: str, patience: Patience, say: Say, prompt: bool) -> DirectLink:
    wire = Wire(transport, name)
    try:
        header, banner = _negotiate(wire, name, patience, say, prompt)
        wire.with_checksum = header.arg0 < VERSION
        if banner.kind not in ("device", "recovery"):
            raise DeviceError(f"{name} is in the state {banner.kind[:40]!r}, where it runs nothing.", where=name,
                              next_step="Start Android on it.")  # fmt: skip
        limit = min(max(header.arg1, MAX_PAYLOAD_LEGACY), MAX_PAYLOAD)
        return DirectLink(name, how, Connection(wire, name, limit), banner)
    except BaseException:
        wire.close()
        raise


def _negotiate(
    wire: Wire, name: str, patience: Patience, say: Say, prompt: bool
) -> tuple[messages.Header, messages.Banner]:
    """Connect and, if asked to, authenticate; the device's CNXN."""
    _send(wire, name, patience, CNXN, VERSION, MAX_PAYLOAD, _FEATURES)
    untried: list[keys.Key] | None = None
    ends = time.monotonic() + patience.limit_s
    offered = False
    while True:
        header, payload = _receive(wire, name, ends, patience, say, offered)
        if header.command in (OKAY, WRTE, CLSE):
            continue  # left over on the USB from a connection that was cut
        if header.command == CNXN:
            return header, messages.parse_banner(payload)
        if header.command == STLS:
            raise DeviceError(
                f"{name} asks for TLS, as Android's wireless debugging does, which only adb itself speaks.", where=name,
                next_step="adb pair and adb connect it first; edgekit then uses that adb server.",
            )  # fmt: skip
        if header.command != AUTH or header.arg0 != AUTH_TOKEN or len(payload) != TOKEN_BYTES:
            raise DeviceError(f"{name} does not keep to the adb protocol while connecting.", where=name,
                              next_step="Restart the device's adb daemon.")  # fmt: skip
        untried = keys.load_all() if untried is None else untried
        if untried:
            _send(wire, name, patience, AUTH, AUTH_SIGNATURE, 0, untried.pop(0).sign(bytes(payload)))
            ends = time.monotonic() + patience.limit_s
            continue
        key = keys.own()
        if not prompt or offered:
            raise _unauthorised(name, key)
        say(f"accept the prompt on {name}: this computer's key is {key.fingerprint} (waiting {PROMPT_S:.0f} s)")
        _send(wire, name, patience, AUTH, AUTH_PUBLIC_KEY, 0, key.public + b"\0")
        offered, ends = True, time.monotonic() + PROMPT_S


def _send(wire: Wire, name: str, patience: Patience, command: int, arg0: int, arg1: int, data: bytes) -> None:
    # What a time-out cuts off would be sent with the next packet; here there may be none, so it counts as silence.
    if not wire.write(command, arg0, arg1, data, timeout_s=patience.limit_s) or wire.unfinished:
        raise _silent(name, patience.limit_s)


def _receive(
    wire: Wire, name: str, ends: float, patience: Patience, say: Say, offered: bool
) -> tuple[messages.Header, bytearray]:
    begun = time.monotonic()
    while (left := ends - time.monotonic()) > 0:
        packet = wire.read(min(patience.ask_s, left))
        if packet is not None:
            return packet
        waited, left = time.monotonic() - begun, ends - time.monotonic()
        if not offered and waited >= patience.notice_s and left > 0:
            say(f"{name} has not answered for {waited:.0f} s; giving up in {left:.0f} s")
    if offered:
        raise _unauthorised(name, keys.own())
    raise _silent(name, time.monotonic() - begun)


def _unauthorised(name: str, key: keys.Key) -> UnauthorisedError:
    return UnauthorisedError(
        f"{name} has not authorised this computer.", where=name,
        next_step=f"Unlock the phone, accept the prompt for the key {key.fingerprint}, and run it again.",
        fingerprint=key.fingerprint, key=str(key.path),
    )  # fmt: skip


def _silent(name: str, seconds: float) -> DeviceError:
    return DeviceError(
        f"{name} accepts connections but has not answered for {seconds:.0f} s.", where=name,
        next_step="Wake or restart the device; check that the address is an adb port.", silent_s=round(seconds, 1),
    )  # fmt: skip


def usb_serials() -> list[str]:
    """Serial numbers of the adb devices on the USB bus that this user may open; none where libusb is not installed."""
    usb = usb_transports()
    if usb is None:
        return []
    try:
        found = list(usb.find_all_adb_devices())
    except Exception:  # noqa: BLE001 - libusb's own errors: there is no bus; then there is none that can be used
        return []
    serials = []
    for device in found:
        with suppress(Exception):  # one that this user may not open hides none of the others
            serials.append(str(device.serial_number))
    return [serial for serial in serials if serial.isprintable() and 0 < len(serial) <= _MAX_SERIAL]

"""Which serial port a board is at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgekit.device.mcu.boards import Board
from edgekit.errors import DeviceError

SERIAL = "serial:"
MAX_TEXT = 80
MAX_PORTS = 8  # named in an error


@dataclass(frozen=True)
class SerialPort:
    """A serial port of this machine; ``usb_id`` is ``vendor:product`` in lower case hexadecimal, None if it is no USB
    device, ``what`` is the USB device's own word for itself."""

    name: str
    usb_id: str | None = None
    serial_number: str | None = None
    what: str = ""


def attached() -> tuple[SerialPort, ...]:
    """The serial ports that the system lists now, by name; none of them is opened."""
    from serial.tools import list_ports

    found = []
    for port in list_ports.comports():
        usb = None if port.vid is None or port.pid is None else f"{port.vid:04x}:{port.pid:04x}"
        number = None if port.serial_number is None else _plain(port.serial_number)
        found.append(SerialPort(port.device, usb, number, _plain(port.description or "")))
    return tuple(sorted(found, key=lambda port: port.name))


def choose(board: Board, ports: Iterable[SerialPort]) -> SerialPort:
    """The one port that may be the board's, by the USB ids of its profile. Debug probes of one maker share their ids,
    so it may still be another board: the agent says which.

    Raises:
        DeviceError: there is none, or several.
    """
    present = tuple(ports)
    fitting = [port for port in present if port.usb_id in board.usb_ids]
    if len(fitting) == 1:
        return fitting[0]
    listed = [port.name for port in fitting]
    if fitting:
        raise DeviceError(
            f"Several serial ports may be {board.label}: "
            + ", ".join(f"{port.name} ({port.what or port.usb_id})" for port in fitting) + ".",
            where=board.spec, next_step=f"Name the port: {' or '.join(SERIAL + name for name in listed)}.",
            ports=listed,
        )  # fmt: skip
    ids = f" (USB {', '.join(board.usb_ids)})" if board.usb_ids else ""
    others = [port.name for port in present if port.usb_id is not None]
    also = f"; attached by USB: {', '.join(others[:MAX_PORTS])}" if others else ""
    raise DeviceError(
        f"No serial port looks like {board.label}{ids}{also}.",
        where=board.spec, ports=listed,
        next_step="Check the cable (some only charge), or, with an adapter, name the port: "
        + f"--device {SERIAL}{others[0] if others else '/dev/ttyACM0'}.",
    )  # fmt: skip


def candidates(boards: Iterable[Board], ports: Iterable[SerialPort]) -> list[tuple[SerialPort, tuple[Board, ...]]]:
    """Each port that some board's USB ids fit, with those boards: for listings, where nothing is opened."""
    boards = tuple(boards)
    pairs = ((port, tuple(board for board in boards if port.usb_id in board.usb_ids)) for port in ports)
    return [(port, fitting) for port, fitting in pairs if fitting]


def _plain(text: str) -> str:
    """A device's own words, for a terminal: printable and short."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_TEXT])

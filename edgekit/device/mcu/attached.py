"""Opening microcontroller boards: virtual ones, those at a named serial port, and those that a profile describes."""

from __future__ import annotations

from pathlib import Path

from edgekit.device.mcu import boards, ports
from edgekit.device.mcu.agent import Agent, connect
from edgekit.device.mcu.board import BoardDevice, Say
from edgekit.device.mcu.boards import Board
from edgekit.device.mcu.images import find_image
from edgekit.device.mcu.virtual import VirtualBoard, profile_of
from edgekit.errors import DeviceError


class SerialLine:
    """A serial port of this machine, or a URL of pyserial."""

    preloads = False

    def __init__(self, board: Board | None, url: str | None) -> None:
        self._board, self._url = board, url

    def connect(self, model: Path | None) -> Agent:
        """Open the port; the profile's USB ids choose it where none was named."""
        url = self._url
        if url is None:
            assert self._board is not None
            url = ports.choose(self._board, ports.attached()).name
        return connect(url) if self._board is None else connect(url, baud=self._board.baud)

    def failure(self) -> DeviceError | None:
        """A wire tells nothing."""
        return None

    def close(self) -> None:
        """The port is closed with the connection."""


class VirtualLine:
    """QEMU with the agent, started by :meth:`connect`."""

    preloads = True

    def __init__(self, core: str, say: Say) -> None:
        self._core, self._say = core, say
        self._running: VirtualBoard | None = None

    def connect(self, model: Path | None) -> Agent:
        """Start the board and connect to it."""
        self.close()
        self._say(f"starting the virtual {self._core}")
        image = find_image(profile_of(self._core))
        # One that is too large is left to the check of what the board says that it has room for.
        fits = model is not None and model.stat().st_size <= image.manifest.store_bytes
        self._running = VirtualBoard(self._core, image, preloaded=model if fits else None)
        return connect(self._running.url, reconnect_s=0)  # a line to QEMU only breaks with QEMU

    def failure(self) -> DeviceError | None:
        """What QEMU said when it ended by itself."""
        return None if self._running is None else self._running.failure()

    def close(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.stop()
            self._running = None


def open_virtual(core: str, say: Say) -> BoardDevice:
    """``virtual:cortex-m7`` and its like. Raises DeviceError: there is no such board."""
    board = boards.find(f"{boards.VIRTUAL}{core}")
    return BoardDevice(board.spec, board, VirtualLine(board.core, say), "virtual", say)


def open_port(url: str, say: Say) -> BoardDevice:
    """``serial:/dev/ttyACM0``: whatever board is there."""
    return BoardDevice(f"{ports.SERIAL}{url}", None, SerialLine(None, url), "serial", say)


def open_named(board: Board, say: Say) -> BoardDevice:
    """The attached board that a profile describes."""
    return BoardDevice(board.spec, board, SerialLine(board, None), "serial", say)

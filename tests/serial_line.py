"""A serial line between edgekit and the agent on this machine: as fast as a real one, and as bad as a test wants it.

The agent is the real one, behind a pty. The line is a TCP port that pyserial opens as ``socket://``; every byte takes
the time that it takes at the line's speed, and whole frames can be damaged, dropped, doubled, delayed.
"""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

Fault = Callable[[bytes], Sequence[bytes]]
_PIECE = 64
_IDLE_S = 0.05


@contextmanager
def running(program: Path, mode: str = "--pty") -> Iterator[str]:
    """The agent's program; the value is the name of its pty or its TCP port.

    Fails if it died or a sanitizer complained.
    """
    with subprocess.Popen(
        [str(program), mode, "--until-eof"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout and process.stdin and process.stderr
        try:
            yield process.stdout.readline().strip()
            assert process.poll() is None, process.stderr.read()
        finally:
            process.stdin.close()
            code = process.wait(10)
        assert code == 0, process.stderr.read()


class Line:
    """Between one TCP peer at a time and a board.

    Args:
        board: the name of the agent's pty, or ``socket://HOST:PORT``.
        bytes_per_s: the speed of each direction; None for as fast as it goes.
        to_board: what becomes of each frame (its zero included) on the way to the board; None leaves them alone.
        to_host: the same for the other way.
    """

    def __init__(
        self,
        board: str,
        *,
        bytes_per_s: float | None = None,
        to_board: Fault | None = None,
        to_host: Fault | None = None,
    ) -> None:
        self._board, self._rate, self._faults = board, bytes_per_s, (to_board, to_host)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self.bytes_to_board = 0
        self.cut_after: int | None = None  # bytes to the board
        self.back_after_s: float | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the line away."""
        self._closing.set()
        self._listener.close()
        self._thread.join()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            if not select.select([self._listener], [], [], _IDLE_S)[0]:
                continue
            with suppress(OSError):
                peer, _ = self._listener.accept()
                with peer:
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._connect(peer)

    def _connect(self, peer: socket.socket) -> None:
        board = _open(self._board)
        gone = threading.Event()
        ends = (peer.fileno(), board)
        ways = [
            threading.Thread(target=self._carry, args=(ends[way], ends[1 - way], self._faults[way], way == 0, gone))
            for way in (0, 1)
        ]
        for thread in ways:
            thread.start()
        for thread in ways:
            thread.join()
        os.close(board)
        if self.cut_after is not None and self.bytes_to_board >= self.cut_after:
            self.cut_after = None
            peer.close()
            self._closing.wait(self.back_after_s)

    def _carry(self, source: int, sink: int, fault: Fault | None, counts: bool, gone: threading.Event) -> None:
        """One direction: what was read keeps the time of its arrival, so that a late wake-up costs the line nothing."""
        waiting: deque[tuple[float, bytes]] = deque()
        frame = bytearray()
        free_at = 0.0
        while not gone.is_set() and not self._closing.is_set():
            pause = _IDLE_S if not waiting else max(0.0, waiting[0][0] - time.monotonic())
            try:
                if select.select([source], [], [], min(pause, _IDLE_S))[0]:
                    data = os.read(source, 4096)
                    if not data:
                        break
                    for piece in _through(data, frame, fault):
                        for at in range(0, len(piece), _PIECE):
                            part = piece[at : at + _PIECE]
                            free_at = max(free_at, time.monotonic()) + (len(part) / self._rate if self._rate else 0)
                            waiting.append((free_at, part))
                while waiting and waiting[0][0] <= time.monotonic():
                    part = waiting.popleft()[1]
                    _write(sink, part, gone)
                    self.bytes_to_board += len(part) if counts else 0
                if counts and self.cut_after is not None and self.bytes_to_board >= self.cut_after:
                    break
            except OSError:
                break
        gone.set()


def _open(board: str) -> int:
    if not board.startswith("socket://"):
        return os.open(board, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    host, _, port = board.removeprefix("socket://").rpartition(":")
    connection = socket.create_connection((host, int(port)), 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    return connection.detach()


def _through(data: bytes, frame: bytearray, fault: Fault | None) -> Iterator[bytes]:
    if fault is None:
        yield data
        return
    *ended, rest = data.split(b"\0")
    for piece in ended:
        whole = bytes(frame) + piece + b"\0"
        frame.clear()
        yield from fault(whole)
    frame += rest


def _write(sink: int, data: bytes, gone: threading.Event) -> None:
    while data and not gone.is_set():
        if select.select([], [sink], [], _IDLE_S)[1]:
            data = data[os.write(sink, data) :]


def damaged(of_100: int, seed: int = 1) -> Fault:
    """One bit of so many frames in a hundred is turned over."""
    chance = random.Random(seed)

    def fault(frame: bytes) -> Sequence[bytes]:
        if chance.randrange(100) >= of_100:
            return [frame]
        at = chance.randrange(len(frame))
        return [frame[:at] + bytes([frame[at] ^ 1 << chance.randrange(8)]) + frame[at + 1 :]]

    return fault


def dropped(of_100: int, seed: int = 2) -> Fault:
    """So many frames in a hundred never arrive."""
    chance = random.Random(seed)
    return lambda frame: [] if chance.randrange(100) < of_100 else [frame]


def doubled(of_100: int, seed: int = 3) -> Fault:
    """So many frames in a hundred arrive twice."""
    chance = random.Random(seed)
    return lambda frame: [frame, frame] if chance.randrange(100) < of_100 else [frame]


def reordered(of_100: int, seed: int = 4) -> Fault:
    """So many frames in a hundred arrive after the next one."""
    chance = random.Random(seed)
    held: list[bytes] = []

    def fault(frame: bytes) -> Sequence[bytes]:
        if held:
            return [frame, held.pop()]
        if chance.randrange(100) < of_100:
            held.append(frame)
            return []
        return [frame]

    return fault


def overrun(of_100: int, seed: int = 5) -> Fault:
    """Of so many frames in a hundred some bytes get lost, the end perhaps among them, as by a UART nobody emptied."""
    chance = random.Random(seed)

    def fault(frame: bytes) -> Sequence[bytes]:
        if chance.randrange(100) >= of_100:
            return [frame]
        at = chance.randrange(len(frame))
        return [frame[:at] + frame[at + 1 + chance.randrange(len(frame)) :]]

    return fault


def chained(*faults: Fault) -> Fault:
    """One after another."""

    def fault(frame: bytes) -> Sequence[bytes]:
        frames: Sequence[bytes] = [frame]
        for one in faults:
            frames = [out for into in frames for out in one(into)]
        return frames

    return fault

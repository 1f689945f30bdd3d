"""A TCP connection that never waits longer than it is told to, and that another thread may close."""

from __future__ import annotations

import errno
import os
import select
import socket


class BoundedSocket:
    """Takes a connected socket over.

    Every method but :meth:`close` raises OSError if the connection has ended.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        # Without this Nagle's algorithm holds each small packet back for 40 ms.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection

    def send(self, data: memoryview, timeout_s: float) -> int:
        """Send some of ``data``; how many bytes, 0 if none could be sent in time."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            pass
        if not self._wait(select.POLLOUT, timeout_s):
            return 0
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def receive_into(self, view: memoryview, timeout_s: float) -> int | None:
        """Fill some of ``view``; how many bytes, 0 at the end, None if nothing came in time."""
        try:
            return self._socket.recv_into(view)
        except BlockingIOError:
            pass
        if not self._wait(select.POLLIN, timeout_s):
            return None
        try:
            return self._socket.recv_into(view)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Close it; never raises. A thread that waits in another method is woken."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was first
        try:
            self._socket.close()
        except OSError:
            pass

    def _wait(self, event: int, timeout_s: float) -> bool:
        number = self._socket.fileno()
        if number < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        poll = select.poll()  # select() knows no file whose number is above 1023
        poll.register(number, event)
        return bool(poll.poll(max(timeout_s, 0.0) * 1000))

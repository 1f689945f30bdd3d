"""The queue of a remote device as the sweep sees it: a process that is fed, listened to and, if need be, stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import IO

import msgspec

from edgekit import processes
from edgekit.errors import DeviceError, EdgekitError
from edgekit.sweep.messages import Closed, Provision, Tell, Work, decode_event, encode

# For ending the run on the device and restoring its clocks.
_STOP_S = 20.0
_LOG_BYTES = 4096


class Remote:
    """A running queue. :meth:`stop` it, or wait for it with :meth:`join`."""

    def __init__(self, work: Work, tell: Tell) -> None:
        self._device, self._tell = work.device, tell
        self._closed: Closed | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # In a session of its own: Ctrl-C reaches the sweep, which stops its queues.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgekit.sweep.worker", str(os.getpid())], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, start_new_session=True,
        )  # fmt: skip
        self._send(encode(work))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def put(self, provision: Provision) -> None:
        """A file is ready, or there will be none."""
        self._send(encode(provision))

    def close(self) -> None:
        """There are no more files."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def join(self) -> EdgekitError | None:
        """Wait for its end; why it could not do everything."""
        self.close()
        self._process.wait()
        self._thread.join()
        if self._closed is not None:
            return EdgekitError.from_dict(self._closed.error) if self._closed.error else None
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _LOG_BYTES))
        return DeviceError(
            f"The process that measures on {self._device} ended with {self._process.returncode}.", where=self._device,
            next_step="Continue the sweep; what was measured is kept.",
            log_tail=self._log.read(_LOG_BYTES).decode("utf-8", "replace"),
        )  # fmt: skip

    def stop(self) -> None:
        """End it as Ctrl-C would; after 20 s by force."""
        processes.end(self._process, _STOP_S)  # not by SIGINT, which a shell's background job and its children ignore
        self.close()

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended; join says why
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                event = decode_event(line)
                if isinstance(event, Closed):
                    self._closed = event
                else:
                    self._tell(event)
        except (OSError, msgspec.DecodeError):  # nobody reads what we say, or it was killed within a line
            # It would wait for ever for somebody to take its events.
            self._process.terminate()

"""One piece of work in a forked copy of this process, while this one goes on."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import Generic, TypeVar

from edgekit.errors import ConvertError

_T = TypeVar("_T")


class Aside(Generic[_T]):
    """Runs ``work`` at once; its result, which has to be picklable, is there when :meth:`result` is called.

    The copy sees everything as it is now, whatever this process changes later. Without fork, or with ``wait``, the work
    is simply done here and now.
    """

    def __init__(self, work: Callable[[], _T], *, wait: bool) -> None:
        self._done: tuple[_T] | None = None
        if wait or sys.platform != "linux":
            self._done = (work(),)
            return
        self._read, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _child(work, write)
        os.close(write)

    def result(self) -> _T:
        """Wait for it.

        Raises:
            ConvertError: the copy died.
            MemoryError: the work ran out of memory.
            RuntimeError: the work raised something else, which is in the message.
        """
        if self._done is None:
            with os.fdopen(self._read, "rb") as pipe:
                content = pipe.read()
            _, status = os.waitpid(self._pid, 0)
            if not content:
                how = f"was killed by {signal.Signals(status).name}" if os.WIFSIGNALED(status) else "died"
                raise ConvertError(
                    f"The doctor's process {how}.", next_step="Try --jobs 1; if it happens again, please report it."
                )
            value, failure = pickle.loads(content)  # noqa: S301 - written by our own fork
            if failure is not None:
                raise failure
            self._done = (value,)
        return self._done[0]


def _child(work: Callable[[], _T], write: int) -> None:
    """The rest of the copy's life: nothing of the caller's must run in it, not even its clean-up."""
    content = b""
    try:
        try:
            content = pickle.dumps((work(), None))
        except MemoryError:
            content = pickle.dumps((None, MemoryError()))
        except Exception as failure:  # noqa: BLE001 - raised again in the process that asked
            content = pickle.dumps((None, RuntimeError(repr(failure))))
        with os.fdopen(write, "wb") as pipe:
            pipe.write(content)
    finally:
        os._exit(0 if content else 1)

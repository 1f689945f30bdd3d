"""A process that has lost its parent ends: nothing is left to burn a core in the next measurement."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send this process the signal when its parent ends, however that ends; Linux only (prctl(2)).

    A fork does not inherit it, so every process asks for itself.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if sys.platform == "linux" and prctl is not None:
        prctl(_PR_SET_PDEATHSIG, number)

"""Fixed-performance mode: clocks held without root, on phones from Android 11 on whose maker built it in.

``cmd power set-fixed-performance-mode-enabled`` answers success on phones where it does nothing, and Android has no
command that tells the mode. It "sets CPU and GPU clocks with an upper and lower bound" (developer.android.com, Fixed
Performance Mode), so the bounds themselves are read before, while and after: a mode that moved none is not claimed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from edgekit.device.adb.link import Say
from edgekit.device.adb.shell import Result
from edgekit.device.adb.storage import ROOT
from edgekit.errors import EdgekitError

Shell = Callable[..., Result]

_SET = ["cmd", "power", "set-fixed-performance-mode-enabled"]
_BOUNDS = """
for p in /sys/devices/system/cpu/cpufreq/policy*; do
echo "${p##*/policy} $(cat $p/scaling_min_freq 2>/dev/null) $(cat $p/scaling_max_freq 2>/dev/null)"
done
"""
# There while the mode is on: an edgekit that was killed can't restore it, the next one does.
MARK = f"{ROOT}/clocks-pinned"
_SETTLE_S = 2.0
_POLL_S = 0.2

Bounds = dict[int, tuple[int, int]]


@contextmanager
def fixed_performance(shell: Shell, say: Say) -> Iterator[str | None]:
    """The mode for the block; the value is None if the clocks are seen to be held, else why that is not known."""
    before = bounds(shell)
    shell(["sh", "-c", 'mkdir -p "$1" && touch "$2"', "sh", ROOT, MARK], what="note of the clocks' state")
    try:
        answer = shell([*_SET, "true"], what="request to hold the clocks")
        if answer.code:
            yield f"The clocks were not held: the device refuses fixed-performance mode ({answer.complaint})."
        elif not before:
            yield "Fixed-performance mode was asked for, but the device does not tell its clocks' bounds."
        elif not _settled(lambda: bounds(shell) != before):
            yield "Fixed-performance mode was asked for, but no clock's bounds changed."
        else:
            yield None
    finally:
        # If the device is gone, the mark stays and the next connection restores it.
        with suppress(EdgekitError):
            _restore(shell, before, say)


def restore_left_over(shell: Shell, say: Say) -> None:
    """Switch the mode off if an edgekit that did not get to its end left it on."""
    if shell(["test", "-e", MARK], what="look for clocks left held").code == 0:
        say("an earlier edgekit left the clocks held: they are set free")
        _restore(shell, {}, say)


def bounds(shell: Shell) -> Bounds:
    """Lowest and highest allowed frequency in kHz by policy; empty where the device does not tell."""
    found: Bounds = {}
    for line in shell(["sh", "-c", _BOUNDS], what="question for the clocks' bounds").text.splitlines()[:64]:
        fields = line.split()
        if len(fields) == 3 and all(field.isdecimal() and len(field) < 9 for field in fields):
            found[int(fields[0])] = (int(fields[1]), int(fields[2]))
    return found


def _restore(shell: Shell, before: Bounds, say: Say) -> None:
    answer = shell([*_SET, "false"], what="request to set the clocks free")
    shell(["rm", "-f", MARK], what="note of the clocks' state")
    if before and answer.code == 0 and not _settled(lambda: bounds(shell) == before):
        say("the clocks' bounds are not what they were before the measurement: restart the phone to be sure of them")


def _settled(condition: Callable[[], bool]) -> bool:
    """Whether it comes to hold within some seconds: the power service answers before the kernel has followed."""
    ends = time.monotonic() + _SETTLE_S
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(_POLL_S)
    return True

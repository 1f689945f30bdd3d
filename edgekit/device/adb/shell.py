"""Commands on the device by adb's shell protocol version 2: exit code, separate stderr, and an end that can't be faked.

The stock ``adb shell`` exits 0 with cut-off output when the device dies. Here a command has ended when its exit packet
has arrived, and not before. Protocol: AOSP packages/modules/adb/shell_protocol.h.
"""

from __future__ import annotations

import shlex
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.device.adb.link import Channel, Link, Patience, Say
from edgekit.errors import DeviceError

_STDOUT, _STDERR, _EXIT = 1, 2, 3
_HEAD = struct.Struct("<BI")
FEATURE = "shell_v2"
MAX_OUTPUT = 4 << 20
# adbd sends packets of at most its buffer's size; a length beyond this is no shell protocol.
_MAX_PACKET = 1 << 20


@dataclass(frozen=True)
class Result:
    """What a command answered; ``stdout`` and ``stderr`` are bytes of the device's, to be parsed with care."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, undecodable bytes replaced."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        """The last line of stderr, or of stdout, fit to be shown: printable and short."""
        lines = (self.stderr or self.stdout).decode("utf-8", "replace").strip().splitlines()
        return printable(lines[-1], 200) if lines else f"exit code {self.code}"


def run(
    link: Link,
    arguments: Sequence[str],
    *,
    what: str,
    patience: Patience,
    say: Say,
    deadline_s: float = 30.0,
    max_output: int = MAX_OUTPUT,
) -> Result:
    """Run one command to its end, with an empty standard input.

    Every argument is quoted: none of them can become syntax of the device's shell.

    Args:
        what: what the command is for, as messages shall call it: "look for room on the device".
        deadline_s: seconds for the whole command.
        max_output: bytes of stdout and stderr together.

    Raises:
        ValueError: an argument contains a NUL character, which no command line can carry.
        DeviceError: the device has no shell protocol 2, refuses, does not answer, or sends more than ``max_output``.
        LinkLostError: the connection ended before the command's exit code came.
        DeadlineError: the command took longer than ``deadline_s`` seconds.
    """
    if FEATURE not in link.features:
        raise DeviceError(
            f"{link.name} has no shell protocol 2, so a command's end can't be told from a lost connection.",
            where=link.name, next_step="edgekit needs Android 7 or later.",
        )  # fmt: skip
    if any("\0" in argument for argument in arguments):
        raise ValueError(f"NUL in the arguments of {what}")
    out = {_STDOUT: bytearray(), _STDERR: bytearray()}
    service = f"shell,v2,raw:{shlex.join(arguments)} </dev/null"
    with Channel(link, service, what=what, patience=patience, say=say, deadline_s=deadline_s) as channel:
        while True:
            kind, length = _HEAD.unpack(channel.read(_HEAD.size))
            if length > _MAX_PACKET:
                raise DeviceError(
                    f"{link.name} answered {what} with a packet of {length} bytes, which no adbd sends.",
                    where=link.name, next_step="Check what device this is.",
                )  # fmt: skip
            data = channel.read(length)
            if kind == _EXIT:
                return Result(data[0] if data else 255, bytes(out[_STDOUT]), bytes(out[_STDERR]))
            if kind in out:
                out[kind] += data
            if sum(map(len, out.values())) > max_output:
                raise DeviceError(
                    f"{link.name} answered more than {max_output} bytes to {what}.", where=link.name,
                    next_step="That is not what a phone answers: check what device this is.",
                )  # fmt: skip


def printable(text: str, limit: int) -> str:
    """Text of a device's, fit for a terminal and a log: no control characters, no escape sequences, bounded."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])

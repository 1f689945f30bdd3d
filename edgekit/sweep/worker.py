"""``python -m edgekit.sweep.worker PARENT``: the queue of one remote device, in a process of its own.

A process, so that Ctrl-C and kill -9 end it as they end a deploy: the clocks are restored, the run on the device is
stopped. The first line of standard input is its Work, the others are files; its events go to standard output.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from edgekit.device.resolve import open_device
from edgekit.errors import EdgekitError
from edgekit.harness.orphan import die_with_parent
from edgekit.store.store import Store
from edgekit.sweep.messages import Closed, Event, Feed, Said, Work, decode_work, encode
from edgekit.sweep.queue import Queue


def main(arguments: list[str]) -> int:
    """Run the queue; the last event says how it ended."""
    signal.signal(signal.SIGTERM, _interrupt)
    die_with_parent(signal.SIGTERM)
    if len(arguments) != 1 or os.getppid() != int(arguments[0]):  # the parent has ended before that could be asked for
        return 2
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no event

    def tell(event: Event) -> None:
        with suppress(BrokenPipeError):  # nobody listens: SIGTERM comes, and tidying up must not stumble over this
            channel.write(encode(event))

    try:
        tell(_closed(decode_work(sys.stdin.buffer.readline()), sys.stdin.buffer, tell))
    except KeyboardInterrupt:  # what was stored is kept
        return 130
    return 0


def _closed(work: Work, lines: BinaryIO, tell: Callable[[Event], None]) -> Closed:
    feed = Feed()
    threading.Thread(target=_read, args=(lines, feed), daemon=True).start()
    try:
        device = open_device(work.device, lambda text: tell(Said(text=text)))
        with Store.open(work.store) as store:
            Queue(work, device, store, feed, tell).run()
    except EdgekitError as error:
        return Closed(error=error.to_dict())
    return Closed()


def _read(lines: BinaryIO, feed: Feed) -> None:
    for line in lines:
        feed.put_line(line)
    feed.put_line(None)


def _interrupt(_number: int, _frame: object) -> None:
    # A parent of several threads dies thread by thread, and the kernel tells of each: the first is enough.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

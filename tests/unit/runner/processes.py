"""Looking at runner processes while they work."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edgekit.errors import RuntimeCrashError

T = TypeVar("T")


def runners(parent: int) -> list[int]:
    """The processes of the native runner that ``parent`` started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and b"--die-with-parent" in (stat.parent / "cmdline").read_bytes():
                found.append(int(stat.parent.name))
        except OSError:
            continue  # it ended while we looked
    return found


def wait_for(read: Callable[[], T | None]) -> T:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if value := read():
            return value
        time.sleep(0.005)
    raise AssertionError("it did not happen within 60 s")


@contextmanager
def at_work(act: Callable[[int], object]) -> Iterator[None]:
    """Call ``act`` with the runner's number as soon as there is one, from a thread of its own."""

    def watch() -> None:
        act(wait_for(lambda: next(iter(runners(os.getpid())), None)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def meanwhile(run: Callable[[], Any], observe: Callable[[int], T]) -> T:
    """What ``observe`` saw of a run that it then ended by a signal."""
    seen: list[T] = []
    with at_work(lambda pid: seen.append(observe(pid))), pytest.raises(RuntimeCrashError, match="SIGKILL"):
        run()
    return seen[0]


def until_at_work(pid: int) -> None:
    """Wait until a runner has computed for a quarter of a second: by then its model is loaded and being run."""
    wait_for(lambda: sum(map(int, _stat(pid)[11:13])) >= os.sysconf("SC_CLK_TCK") // 4)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def exists(pid: int) -> bool:
    """A child that nobody has waited for yet still has an entry; it is dead all the same."""
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False

"""One measurement at a time on a device, across all processes of this machine.

The lease is a lock of the operating system on a file, so it ends with its holder however that ends, kill -9 included.
A second file names the holder, only to show it.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgekit import paths
from edgekit.errors import DeviceError


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: the process, since when (Unix seconds), and when that process was started (its ticks)."""

    pid: int
    since: float
    started: int | None

    def __str__(self) -> str:
        return f"process {self.pid} since {time.strftime('%H:%M:%S', time.localtime(self.since))}"


@contextmanager
def hold(device: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lease of ``device`` (its spec) for the block; may be nested within one thread.

    Args:
        wait_s: how long to wait for another holder, in seconds; negative waits without end.

    Raises:
        DeviceError: another process holds it, or the lease directory can't be written.
    """
    from filelock import FileLock, Timeout  # here: it costs more to import than listing devices may take

    lock_file, holder_file = _files(device)
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_file, is_singleton=True)
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise _busy(device) from error
    except OSError as error:
        raise DeviceError(f"The lease of {device} can't be taken: {error}", where=str(lock_file.parent),
                          next_step="Set EDGEKIT_CACHE to a directory that you can write.") from error  # fmt: skip
    try:
        if lock.lock_counter == 1:
            _announce(holder_file)
        yield
    finally:
        if lock.lock_counter == 1:
            holder_file.unlink(missing_ok=True)
        lock.release()


def holder(device: str) -> Holder | None:
    """Who holds the lease of ``device`` now; None if nobody does. Takes no lock, so it disturbs nobody."""
    try:
        facts = json.loads(_files(device)[1].read_bytes())
        found = Holder(pid=int(facts["pid"]), since=float(facts["since"]), started=facts["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # A holder that was killed leaves its file behind; its number may since belong to another process.
    return found if _alive(found.pid) and process_start(found.pid) == found.started else None


def process_start(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot; None where /proc does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in brackets may hold spaces and brackets; the start is the 20th field after it (proc(5)).
    return int(text.rpartition(")")[2].split()[19])


def _files(device: str) -> tuple[Path, Path]:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", device)
    folder = paths.cache_dir() / "leases"
    return folder / f"{name}.lock", folder / f"{name}.holder"


def _announce(path: Path) -> None:
    facts = {"pid": os.getpid(), "since": time.time(), "started": process_start(os.getpid())}
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(json.dumps(facts))
    part.replace(path)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _busy(device: str) -> DeviceError:
    found = holder(device)
    return DeviceError(
        f"{device} is being measured by {found or 'another process'}.",
        where=device,
        next_step="Wait until that measurement has ended; two at once would disturb each other.",
        holder_pid=None if found is None else found.pid,
    )

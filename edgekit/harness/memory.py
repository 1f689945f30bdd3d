"""Resident memory of this process, and getting a file out of the page cache."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import resource
import sys
from pathlib import Path

from edgekit.harness.state import parse_memory_bytes

_STATUS = Path("/proc/self/status")
# mincore may count a page that was being read while we looked; a cold load of more than this share is not cold.
_RESIDENT_SHARE = 0.01


def settle_heap() -> None:
    """Hand freed heap back to the system, so that the model's own allocations show in the resident size."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only; elsewhere the baseline is a little higher
    if trim is not None:
        trim(0)


def resident_bytes() -> int:
    """Resident memory now, in bytes; 0 where the system does not tell."""
    return parse_memory_bytes(_STATUS.read_text(), "VmRSS") or 0 if _STATUS.exists() else 0


def reset_peak() -> bool:
    """Make the kernel forget the peak so far (proc(5): writing 5 to clear_refs). False where that is not allowed."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_bytes(was_reset: bool) -> tuple[int, str | None]:
    """Peak resident memory in bytes, and a note if it covers more than the time since :func:`reset_peak`."""
    if was_reset:
        peak = parse_memory_bytes(_STATUS.read_text(), "VmHWM")
        if peak is not None:
            return peak, None
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return peak, "Peak memory covers the whole process: this system does not let it be reset before the model loads."


def evict(path: Path) -> bool:
    """Drop a file, or every file of a directory, from the page cache; True only if it is seen to be gone.

    ``posix_fadvise(DONTNEED)`` is advice, and pages that another process has mapped stay: mincore is asked.
    """
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return all(_evict_file(file) for file in files)


def _evict_file(path: Path) -> bool:
    if not hasattr(os, "posix_fadvise"):
        return False
    with path.open("rb") as stream:
        os.fsync(stream.fileno())  # dirty pages can't be dropped
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    share = resident_share(path)
    return share is not None and share <= _RESIDENT_SHARE


def resident_share(path: Path) -> float | None:
    """Share of a file's pages in the page cache, by mincore(2); None where that can't be asked."""
    mincore = getattr(ctypes.CDLL(None), "mincore", None)
    size = path.stat().st_size
    if mincore is None or size == 0:
        return None
    pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_COPY) as view:
        first = ctypes.c_char.from_buffer(view)
        failed = mincore(ctypes.c_void_p(ctypes.addressof(first)), ctypes.c_size_t(size), pages)
        del first  # the mapping can't be closed while something points into it
    return None if failed else sum(page & 1 for page in pages) / len(pages)

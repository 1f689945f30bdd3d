from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgekit.harness import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the page cache and peak memory of Linux")


def test_evict_says_what_the_page_cache_says(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"\1" * 5_000_000)
    file.read_bytes()
    assert memory.resident_share(file) == 1.0
    gone = memory.evict(file)
    share = memory.resident_share(file)
    # A file system in memory (tmpfs) can't evict; then evict must not claim that it did.
    assert share is not None and gone is (share <= 0.01)
    file.read_bytes()
    assert memory.resident_share(file) == 1.0


def test_evict_of_a_directory_covers_every_file(tmp_path: Path) -> None:
    for name in ("a", "b/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\1" * 100_000)
    gone = memory.evict(tmp_path)
    assert gone is all((memory.resident_share(tmp_path / name) or 0) <= 0.01 for name in ("a", "b/c"))


def test_the_peak_covers_only_what_came_after_the_reset() -> None:
    before = bytearray(200_000_000)
    before[::4096] = b"\1" * len(before[::4096])
    del before
    if not memory.reset_peak():
        pytest.skip("this system does not let the peak be reset")
    low = memory.resident_bytes()
    low_peak, note = memory.peak_bytes(True)
    assert note is None and low_peak < low + 50_000_000
    block = bytearray(100_000_000)
    block[::4096] = b"\1" * len(block[::4096])
    peak, _ = memory.peak_bytes(True)
    assert 95_000_000 < peak - low < 150_000_000


def test_a_peak_that_was_not_reset_says_so() -> None:
    peak, note = memory.peak_bytes(False)
    assert peak > 1_000_000
    assert note is not None and "whole process" in note

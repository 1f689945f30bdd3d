from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from edgekit.convert.cache import Cache, key_of
from edgekit.errors import ConvertError, UsageError

KEY = key_of("a", 1)
# argv: root, log, what to do while producing
PRODUCER = """
import os, sys, time
from pathlib import Path
from edgekit.convert.cache import Cache
root, log, how = sys.argv[1:]
def fill(directory):
    (directory / "half").write_bytes(b"x" * 100_000)
    with open(log, "a") as made:
        made.write("made\\n")
    if how == "hang":
        print("producing", flush=True)
        time.sleep(60)
    while how == "slow" and not Path(log + ".go").exists():
        time.sleep(0.01)
    (directory / "whole").write_text("done")
print("asking", flush=True)
print(Cache(Path(root)).ensure("things", "k", fill), flush=True)
"""


def producer(root: Path, log: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PRODUCER, str(root), str(log), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def fill(directory: Path) -> None:
    (directory / "deep").mkdir()
    (directory / "deep/file").write_bytes(b"content")
    (directory / "other").write_bytes(b"")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_a_key_depends_on_every_part() -> None:
    parts = [("a", 1), ("a", "1"), ("a1",), (["a", 1],), ("a", 1, None), ("a", {"x": 1}), ("a", {"x": 2})]
    assert len({key_of(*each) for each in parts}) == len(parts)
    assert key_of({"x": 1, "y": 2}) == key_of({"y": 2, "x": 1})


def test_an_entry_is_made_once_and_found_again(cache: Cache) -> None:
    calls = []

    def counted(directory: Path) -> None:
        calls.append(directory)
        fill(directory)

    assert cache.lookup("things", KEY) is None
    entry = cache.ensure("things", KEY, counted)
    assert cache.ensure("things", KEY, counted) == entry == cache.lookup("things", KEY)
    assert len(calls) == 1
    assert (entry / "deep/file").read_bytes() == b"content"
    assert cache.lookup("others", KEY) is None


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt(), SystemExit(143)])
def test_a_producer_that_fails_leaves_nothing(cache: Cache, failure: BaseException) -> None:
    def broken(directory: Path) -> None:
        fill(directory)
        raise failure

    with pytest.raises(type(failure)):
        cache.ensure("things", KEY, broken)
    assert cache.lookup("things", KEY) is None
    assert list((cache.root / "things").iterdir()) == []
    assert cache.lookup("things", KEY) is None
    cache.ensure("things", KEY, fill)


def test_a_producer_that_is_killed_leaves_nothing_usable(cache: Cache, tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = producer(cache.root, log, "hang")
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["asking\n", "producing\n"]
    assert cache.lookup("things", "k") is None  # half-written: not an entry yet
    child.send_signal(signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    assert cache.lookup("things", "k") is None
    again = producer(cache.root, log, "quick")
    assert again.communicate(timeout=30)[0].splitlines()[-1] == str(cache.path("things", "k"))
    assert log.read_text().count("made") == 2
    assert [p.name for p in (cache.root / "things").iterdir()] == ["k"]


def test_a_sweep_removes_what_the_dead_left_and_nothing_of_the_living(cache: Cache, tmp_path: Path) -> None:
    cache.ensure("things", KEY, fill)
    child = producer(cache.root, tmp_path / "log", "hang")
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["asking\n", "producing\n"]
    (half,) = (cache.root / "things").glob(".*")
    cache.sweep()
    assert half.is_dir()
    child.kill()
    child.wait(10)
    cache.sweep()
    assert not half.exists() and cache.lookup("things", KEY)


def test_two_processes_that_want_one_key_make_it_once(cache: Cache, tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [producer(cache.root, log, "slow") for _ in range(2)]
    for child in both:
        assert child.stdout is not None and child.stdout.readline() == "asking\n"
    Path(f"{log}.go").touch()
    answers = [child.communicate(timeout=30)[0].strip() for child in both]
    assert answers == [str(cache.path("things", "k"))] * 2
    assert log.read_text() == "made\n"


@pytest.mark.parametrize("damage", ["changed", "longer", "missing", "no manifest", "cut manifest", "other manifest"])
def test_a_damaged_entry_is_not_used_and_is_made_again(cache: Cache, damage: str) -> None:
    entry = cache.ensure("things", KEY, fill)
    file, manifest = entry / "deep/file", entry / "manifest.json"
    if damage == "changed":
        file.write_bytes(b"Content")
    elif damage == "longer":
        (entry / "other").write_bytes(b"x")
    elif damage == "missing":
        file.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "cut manifest":
        manifest.write_bytes(manifest.read_bytes()[:-7])
    else:
        manifest.write_bytes(b'{"schema": 1, "files": {}, "more": 1}')
    assert cache.lookup("things", KEY) is None
    entry = cache.ensure("things", KEY, fill)
    assert (entry / "deep/file").read_bytes() == b"content"
    assert cache.lookup("things", KEY) == entry


@pytest.mark.parametrize("where", ["below a file", "in /proc"])
def test_a_place_that_takes_no_files_is_reported(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    root = tmp_path / "file/cache" if where == "below a file" else Path("/proc/edgekit-cache")
    cache = Cache(root)
    assert cache.lookup("things", KEY) is None
    for attempt in (lambda: cache.ensure("things", KEY, fill), lambda: cache.producing("things", KEY).__enter__()):
        with pytest.raises(UsageError, match="Can't write here") as caught:
            attempt()
        assert str(root) in caught.value.where
        assert "EDGEKIT_CACHE" in caught.value.next_step


def test_a_lock_file_that_can_not_be_opened_is_reported(cache: Cache) -> None:
    (cache.root / "locks" / f"things-{KEY}.lock").mkdir(parents=True)
    with pytest.raises(UsageError, match="Can't write here"):
        cache.ensure("things", KEY, fill)


def write_bytes(file: BinaryIO) -> None:
    file.write(b"x" * 100_000)


def write_array(file: BinaryIO) -> None:
    np.save(file, np.ones(100_000))


def to_full_device(write: Callable[[BinaryIO], None]) -> Callable[[Path], None]:
    def fill(directory: Path) -> None:
        with open("/dev/full", "wb", buffering=0) as full:
            write(full)

    return fill


def copy_directory(directory: Path) -> None:
    """What shutil.copytree makes of a disk that fills up on the way."""
    (directory / "from").mkdir()
    (directory / "from/file").write_bytes(b"x" * 100_000)
    (directory / "to").mkdir()
    (directory / "to/file").symlink_to("/dev/full")
    shutil.copytree(directory / "from", directory / "to", dirs_exist_ok=True)


@pytest.mark.parametrize("write", [to_full_device(write_bytes), to_full_device(write_array), copy_directory])
def test_a_full_disk_is_reported_and_leaves_nothing(cache: Cache, write: Callable[[Path], None]) -> None:
    def overfull(directory: Path) -> None:
        (directory / "part").write_bytes(b"x")
        write(directory)

    with pytest.raises(ConvertError, match="There is no room for the file: .*(No space left|requested and)") as caught:
        cache.ensure("things", KEY, overfull)
    assert "Nothing half-written was kept" in caught.value.next_step
    assert list((cache.root / "things").iterdir()) == []


def test_the_lock_excludes_others_and_ends_with_its_holder(cache: Cache, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with cache.lock("things", "k"):
        child = producer(cache.root, log, "quick")
        assert child.stdout is not None and child.stdout.readline() == "asking\n"
        assert not log.exists() and child.poll() is None
    assert child.communicate(timeout=30)[0].strip() == str(cache.path("things", "k"))
    assert os.path.exists(log)

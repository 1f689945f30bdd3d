"""Ctrl-C, kill -9 and two processes at once: nothing is left running, and cache and store stay consistent."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from command import EDGEKIT, TIMEOUT_S, ZOO, Done, edgekit, environment, started

from edgekit.convert.cache import Cache

# Two workers at once, however small the machine is.
PAIR = ("--to", "litert,onnx", "--jobs", "2", "--memory-limit", "8GiB")
SHORT = ("--runs", "10", "--min-secs", "0.05", "--warmup", "2", "--repeats", "2")


class Running:
    """A command whose stderr is followed, and every process that it started."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        self.process = started(*arguments, env=env)
        self.seen: list[str] = []
        self.family: list[psutil.Process] = []

    def until(self, text: str) -> None:
        """Wait for a line of progress; then note the processes there are."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.seen.append(line)
            if text in line:
                self.family = psutil.Process(self.process.pid).children(recursive=True)
                return
        raise AssertionError(f"never said {text!r}: {''.join(self.seen)}")

    def until_children(self, text: str, count: int) -> None:
        """Wait for a line, then for so many processes below the command."""
        self.until(text)
        give_up = time.monotonic() + 60
        while len(self.family) < count:
            assert time.monotonic() < give_up, self.family
            self.family = psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int) -> Done:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return Done(self.process.returncode, out, "".join(self.seen) + err)

    def left(self) -> list[psutil.Process]:
        """The processes that outlived the command; those killed a moment ago are given time to be gone."""
        alive = psutil.wait_procs(self.family, timeout=10)[1]
        return [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def interrupted(done: Done) -> None:
    assert done.code == 130, done.err
    assert "Traceback" not in done.err
    error = done.json()["error"]
    assert (error["code"], error["kind"], error["message"]) == (130, "interrupted", "Interrupted.")
    assert "edgekit: Interrupted." in done.err and "run it again" in done.err


def consistent(cache: Path) -> None:
    """Every entry that is visible is whole, and nothing else is there."""
    assert not list(cache.rglob("*.partial")) and not list(cache.glob(".tapped*"))
    for kind in ("sources", "programs", "golden", "artifacts", "parity"):
        for entry in (cache / kind).iterdir() if (cache / kind).is_dir() else ():
            assert Cache(cache).lookup(kind, entry.name) == entry


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """A cache, a store and a directory for temporary files that only this test uses."""
    (tmp_path / "temporary").mkdir()
    return {
        "EDGEKIT_CACHE": str(tmp_path / "cache"),
        "EDGEKIT_STORE": f"sqlite:///{tmp_path / 'store.sqlite'}",
        "TMPDIR": str(tmp_path / "temporary"),
    }


@pytest.fixture
def own_store(tmp_path: Path) -> dict[str, str]:
    """A store that only this test uses; the conversions are the run's."""
    return {"EDGEKIT_STORE": f"sqlite:///{tmp_path / 'store.sqlite'}"}


def measurements(env: dict[str, str]) -> list[dict[str, object]]:
    done = edgekit("results", "--json", "--samples", env=env)
    assert done.code == 0, done.err
    listed: list[dict[str, object]] = done.json()["measurements"]
    return listed


@pytest.fixture(scope="session")
def converted(own_places: Path) -> None:
    """tiny is in the run's cache."""
    done = edgekit("convert", f"{ZOO}:tiny", "-q", "-o", str(own_places / "converted"))
    assert done.code == 0, done.err


def test_ctrl_c_while_converting(own: dict[str, str], tmp_path: Path) -> None:
    cache, out = Path(own["EDGEKIT_CACHE"]), tmp_path / "out"
    command = ("convert", f"{ZOO}:tiny", *PAIR, "--json", "-o", str(out))
    running = Running(*command, env=own)
    running.until_children("golden outputs", 3)  # the session and two workers
    interrupted(running.end(signal.SIGINT))
    assert len(running.family) >= 3 and running.left() == []
    consistent(cache)
    assert list(out.iterdir()) == []
    again = edgekit(*command, env=own)
    assert again.code == 0, again.err
    assert [a["parity"]["passed"] for a in again.json()["artifacts"]] == [True, True]
    consistent(cache)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_second_ctrl_c_ends_it_at_once(own: dict[str, str], tmp_path: Path) -> None:
    running = Running("convert", f"{ZOO}:tiny", *PAIR, "--json", "-o", str(tmp_path), env=own)
    running.until_children("golden outputs", 3)
    running.process.send_signal(signal.SIGINT)
    running.process.send_signal(signal.SIGINT)
    done = running.end(signal.SIGINT)
    assert done.code in (130, -signal.SIGINT)
    assert running.left() == []
    for kind in ("artifacts", "programs"):
        for entry in (Path(own["EDGEKIT_CACHE"]) / kind).glob("[0-9a-f]*"):
            assert Cache(Path(own["EDGEKIT_CACHE"])).lookup(kind, entry.name) == entry


def test_kill_9_while_converting_leaves_no_process_behind(own: dict[str, str], tmp_path: Path) -> None:
    running = Running("convert", f"{ZOO}:tiny", *PAIR, "-o", str(tmp_path), env=own)
    running.until_children("golden outputs", 3)
    running.process.kill()
    running.process.communicate()
    assert len(running.family) >= 3 and running.left() == []
    again = edgekit("convert", f"{ZOO}:tiny", *PAIR, "-o", str(tmp_path / "out"), env=own)
    assert again.code == 0, again.err
    consistent(Path(own["EDGEKIT_CACHE"]))


@pytest.mark.usefixtures("converted")
def test_ctrl_c_while_measuring(own_store: dict[str, str], own_places: Path) -> None:
    running = Running("deploy", f"{ZOO}:tiny", "--to", "onnx", "--min-secs", "60", "--json", env=own_store)
    running.until_children("repeat 1 of 3", 1)
    interrupted(running.end(signal.SIGINT))
    assert running.family and running.left() == []
    assert measurements(own_store) == []  # no repeat had finished
    host = next(d for d in edgekit("devices", "--json").json()["devices"] if d["spec"] == "host")
    assert (host["state"], host["lease"]) == ("ready", None)
    again = edgekit("deploy", f"{ZOO}:tiny", "--to", "onnx", *SHORT, "--json", env=own_store)
    assert again.code == 0, again.err
    assert len(measurements(own_store)) == 1
    consistent(own_places / "cache")


@pytest.mark.usefixtures("converted")
def test_kill_9_while_measuring_loses_the_run_in_flight_only(own_store: dict[str, str]) -> None:
    plan = (*SHORT[:-1], "3")
    running = Running("deploy", f"{ZOO}:tiny", "--to", "onnx,litert", *plan, env=own_store)
    running.until("zoo_tiny litert fp32: repeat 2 of 3")
    running.process.kill()
    running.process.communicate()
    for process in running.family:  # nobody was left to end them
        process.kill()
    kept = {str(m["format"]): m for m in measurements(own_store)}
    repeats = {name: len(m["repeats"]) for name, m in kept.items()}  # type: ignore[arg-type]
    assert repeats == {"onnx": 2, "litert": 1}
    for measurement in kept.values():
        assert measurement["verdict"] == "incomparable"
        assert "repeats finished" in json.dumps(measurement["verdict_reasons"])
        assert measurement["p50_ms"]
    host = next(d for d in edgekit("devices", "--json").json()["devices"] if d["spec"] == "host")
    assert (host["state"], host["lease"]) == ("ready", None)


@pytest.mark.usefixtures("converted")
def test_a_device_that_is_being_measured_is_not_disturbed(own_store: dict[str, str]) -> None:
    running = Running("deploy", f"{ZOO}:tiny", "--to", "onnx", "--min-secs", "60", env=own_store)
    running.until("repeat 1 of 3")
    try:
        second = edgekit("deploy", f"{ZOO}:tiny", "--to", "onnx", *SHORT, "--json", env=own_store)
        error = second.failed(13, "device")
        assert error["message"].startswith(f"host is being measured by process {running.process.pid} since")
        listed = edgekit("devices")
        assert "busy" in listed.out and f"host is held by process {running.process.pid}" in listed.out
    finally:
        running.end(signal.SIGINT)
    assert running.left() == []


@pytest.fixture
def both(own: dict[str, str], tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    arguments = ("convert", f"{ZOO}:tiny", "--to", "litert", "--json")
    pair = [started(*arguments, "-o", str(tmp_path / f"out{k}"), env=own) for k in range(2)]
    yield pair
    for process in pair:
        process.kill()


def test_two_processes_on_one_cache_convert_once(
    both: list[subprocess.Popen[str]], own: dict[str, str], tmp_path: Path
) -> None:
    documents = []
    for process in both:
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, err
        documents.append(json.loads(out))
    made = [document["artifacts"][0] for document in documents]
    assert sorted(a["cached"] for a in made) == [False, True]
    assert made[0]["sha256"] == made[1]["sha256"]
    assert all(a["parity"]["passed"] is True for a in made)
    contents = [(tmp_path / f"out{k}/zoo_tiny_litert_fp32.tflite").read_bytes() for k in range(2)]
    assert contents[0] == contents[1]
    consistent(Path(own["EDGEKIT_CACHE"]))
    assert len(list((Path(own["EDGEKIT_CACHE"]) / "artifacts").iterdir())) == 1


def limited(size: int, *arguments: str, env: dict[str, str]) -> Done:
    """A command that may not write files larger than ``size``, as a full disk cuts them off."""
    made = subprocess.run(
        [*EDGEKIT, *arguments],
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    return Done(made.returncode, made.stdout, made.stderr)


@pytest.mark.usefixtures("converted")
def test_a_full_output_directory(tmp_path: Path) -> None:
    done = limited(3000, "convert", f"{ZOO}:tiny", "--json", "-o", str(tmp_path / "out"), env={})
    error = done.failed(11, "convert")
    assert error["message"].startswith("There is no room for the file")
    assert str(tmp_path / "out") in error["where"] and "--output" in error["next_step"]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_cache(own: dict[str, str], tmp_path: Path) -> None:
    arguments = ("convert", f"{ZOO}:tiny", "--to", "onnx", "--json", "-o", str(tmp_path / "out"))
    done = limited(50_000, *arguments, env=own)  # the golden data are larger
    error = done.failed(11, "convert")
    assert error["message"].startswith("There is no room for the file")
    assert own["EDGEKIT_CACHE"] in error["where"] and "EDGEKIT_CACHE" in error["next_step"]
    assert list((tmp_path / "out").iterdir()) == []
    consistent(Path(own["EDGEKIT_CACHE"]))

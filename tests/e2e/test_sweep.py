"""Sweeps as users run them: real devices of this machine, real faults, kill -9 included."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from adbd import Adbd, adbd
from command import ROOT, ZOO, Done, edgekit, environment, started
from native import build

import edgekit as api
from edgekit.device import lease
from edgekit.store.store import Store
from edgekit.sweep.grid import GridFile

PLAN = """
[plan]
warmup_min_runs = 1
warmup_min_seconds = 0.0
warmup_max_seconds = 1.0
min_runs = 5
min_seconds = 0.02
"""
FORKS = ROOT / "tests/sweep_forks.py"
KILLS = 50
REPEATS = 20  # of each cell: more than the runs between the kills can make
Stored = dict[tuple[str, int], tuple[str, bytes]]


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """A store that only this test uses; the conversions are the run's."""
    return {"EDGEKIT_STORE": f"sqlite:///{tmp_path / 'store.sqlite'}"}


@pytest.fixture(scope="session", autouse=True)
def converted(own_places: Path) -> None:
    """tiny is in the run's cache in both formats."""
    done = edgekit("convert", f"{ZOO}:tiny", "--to", "litert,onnx", "-q", "-o", str(own_places / "converted"))
    assert done.code == 0, done.err


def grid(folder: Path, text: str, plan: str = PLAN) -> str:
    path = folder / "small.toml"
    path.write_text(text + plan)
    return str(path)


def run(path: str, env: dict[str, str], *options: str) -> Done:
    return edgekit("sweep", path, *options, "--json", env=env)


def repeats(store: Path) -> Stored:
    """Every stored repeat: its measurement and number, when it was started, and its samples."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT measurement_id, repeat_index, started, samples FROM repeats").fetchall()
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def processes_of(env: dict[str, str], part: str = "") -> list[psutil.Process]:
    """Every process that works on this test's store, whoever its parent is; those with ``part`` in their command."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            own = process.environ().get("EDGEKIT_STORE") == env["EDGEKIT_STORE"]
            if own and part in " ".join(process.cmdline()):
                found.append(process)
    return found


def wait_until_gone(env: dict[str, str], part: str = "") -> None:
    give_up = time.monotonic() + 15
    while left := processes_of(env, part):
        assert time.monotonic() < give_up, left
        time.sleep(0.02)


def runners_on(phone: Adbd) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(phone.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            if process.status() != psutil.STATUS_ZOMBIE and "envelope.json" in " ".join(process.cmdline()):
                found.append(process)
    return found


def lines_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return seen
    raise AssertionError(f"never said {text!r}: {''.join(seen)}")


def states(document: dict[str, Any]) -> dict[str, str]:
    return {cell["key"]: cell["state"] for cell in document["cells"]}


def test_a_grid_is_measured_and_what_fails_is_a_result(own: dict[str, str], tmp_path: Path) -> None:
    text = f'''
models = ["{ZOO}:tiny", {{spec = "{ZOO}:branches", name = "branched"}}]
formats = ["litert", "onnx", "coreml"]
threads = [1, 2]
[[exclude]]
model = "branched"
threads = 2
'''
    path = grid(tmp_path, text, f"{PLAN}repeats = 2\n")
    done = run(path, own)
    assert done.code == 11, done.err
    document = done.json()
    assert document["sweep"]["name"] == "small" and document["sweep"]["finished"] is True
    assert document["sweep"]["counts"] == {"measured": 5, "failed": 1, "skipped": 3, "pending": 0}
    assert document["error"]["kind"] == "convert" and "cond" in document["error"]["message"]
    assert [failure["cell"] for failure in document["failures"]] == ["branched/litert/fp32/1/host"]
    for cell in document["cells"]:
        made = cell["measurement"]
        assert (made is not None) == (cell["state"] == "measured")
        if made is not None:
            assert made["plan"]["repeats"] == 2 and "repeats" not in made and made["peak_rss_bytes"] > 0
            assert (made["model"], made["threads"]) == (cell["model"], cell["threads"])
        if cell["state"] == "skipped":
            assert cell["reason"] == "host has no runtime for coreml files"
    assert "2/" in done.err and "repeats, about" in done.err and "left: " in done.err

    before = repeats(tmp_path / "store.sqlite")
    again = run(path, own)
    assert again.code == 11 and "is finished; --new measures it again" in again.err
    assert again.json()["sweep"]["id"] == document["sweep"]["id"]
    assert repeats(tmp_path / "store.sqlite") == before

    listed = edgekit("sweep", "--list", env=own)
    assert listed.code == 0 and "small" in listed.out and max(map(len, listed.out.splitlines())) <= 80
    shown = edgekit("sweep", "--show", "small", env=own)
    assert shown.code == 0 and "branched" in shown.out and "Lowering not found" in shown.out
    table = [line for line in shown.out.splitlines() if "zoo_tiny" in line and "/" not in line]
    assert len(table) == 4 and max(map(len, table)) <= 80
    assert ", on host" in shown.out and not any("host" in line for line in table)  # what is the same is said once


def test_failed_cells_are_tried_again_when_asked(own: dict[str, str], tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    text = 'models = ["net.py:make"]\nformats = ["onnx"]\n'
    ready = tmp_path / "ready"
    source.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(Path(ZOO).parent)!r})\n"
        "def make():\n"
        f"    if not os.path.exists({str(ready)!r}):\n"
        "        raise RuntimeError('not yet')\n"
        "    from zoo import tiny\n"
        "    return tiny()\n"
    )
    path = grid(tmp_path, text, f"{PLAN}repeats = 1\n")
    first = run(path, own)
    assert first.code == 10, first.err
    assert states(first.json()) == {"net_make/onnx/fp32/1/host": "failed"}
    assert run(path, own).code == 10
    ready.touch()
    retried = run(path, own, "--retry-failed")
    assert retried.code == 0, retried.err
    assert states(retried.json()) == {"net_make/onnx/fp32/1/host": "measured"}


def test_ctrl_c_says_how_to_go_on(own: dict[str, str], tmp_path: Path) -> None:
    path = grid(tmp_path, f'models = ["{ZOO}:tiny"]\nformats = ["onnx", "litert"]\n', f"{PLAN}repeats = 6\n")
    process = started("sweep", path, "--json", env=own)
    lines_until(process, "3/12 repeats")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    error = Done(process.returncode, out, err).json()["error"]
    assert process.returncode == 130 and error["kind"] == "interrupted"
    wait_until_gone(own)
    before = repeats(tmp_path / "store.sqlite")
    assert 3 <= len(before) < 12  # on a busy machine the signal may come after the next one
    command = error["next_step"].partition("edgekit sweep ")[2].split()
    done = edgekit("sweep", *command, "--json", env=own)
    assert done.code == 0, done.err
    assert "continuing sweep small" in done.err
    after = repeats(tmp_path / "store.sqlite")
    assert len(after) == 12 and before.items() <= after.items()


class Forks:
    """Sweeps as forks of one process that has imported everything: starting a Python 50 times would be most of the
    time."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, str(FORKS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(env), text=True
        )

    def kill_one_somewhere(self, arguments: list[str], chance: random.Random, number: int) -> None:
        """Kill -9 at a random moment: of its start or, every third time, after it has stored a repeat of its own."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._log.write_text("")
        self._process.stdin.write(json.dumps([arguments, str(self._log)]) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        began = time.monotonic()
        while number % 3 == 0 and self._log.read_text().count(": repeat ") < 2:
            assert time.monotonic() - began < 60, self._log.read_text()
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.5) if number % 3 == 0 else chance.uniform(0.1, 1.5))
        os.kill(pid, signal.SIGKILL)
        ended = int(self._process.stdout.readline())
        assert ended == -signal.SIGKILL, f"it had ended with {ended}; make the grid larger"

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


@pytest.fixture
def forks(own: dict[str, str], tmp_path: Path) -> Iterator[Forks]:
    made = Forks(own, tmp_path / "log")
    yield made
    made.end()


def test_nothing_is_lost_or_measured_twice_by_50_kills(own: dict[str, str], tmp_path: Path, forks: Forks) -> None:
    text = f'models = ["{ZOO}:tiny"]\nformats = ["onnx", "litert"]\nthreads = [1, 2]\n'
    path = grid(tmp_path, text, f"{PLAN}repeats = {REPEATS}\n")
    store = tmp_path / "store.sqlite"
    chance = random.Random(6)
    before: Stored = {}
    grew = 0
    for number in range(KILLS):
        forks.kill_one_somewhere(["sweep", path, "--wait", "20"], chance, number)
        wait_until_gone(own, "edgekit.harness")
        after = repeats(store) if store.exists() and _has_tables(store) else {}
        assert before.items() <= after.items()
        grew += len(after) > len(before)
        before = after
    assert grew >= KILLS // 3
    assert lease.holder("host") is None
    forks.end()
    wait_until_gone(own)
    done = run(path, own)
    assert done.code == 0, done.err
    document = done.json()
    assert document["sweep"]["counts"] == {"measured": 4, "failed": 0, "skipped": 0, "pending": 0}
    final = repeats(store)
    assert before.items() <= final.items()
    ids = {cell["measurement_id"] for cell in document["cells"]}
    assert len(ids) == 4 and set(final) == {(i, k) for i in ids for k in range(REPEATS)}
    for measurement in ids:
        stamps = [moment for (owner, _), (moment, _) in final.items() if owner == measurement]
        assert len(set(stamps)) == REPEATS
    assert all(cell["measurement"]["peak_rss_bytes"] for cell in document["cells"])


def _has_tables(store: Path) -> bool:
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'repeats'").fetchone())


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Adbd]:
    """A real adbd that does not say that it is emulated: to a sweep it is another machine."""
    build("x86_64")
    (tmp_path / "phone").mkdir()
    with adbd(tmp_path / "phone", properties={"ro.boot.qemu": "0"}) as running:
        yield running


def test_a_remote_device_measures_while_this_machine_converts(
    own: dict[str, str], tmp_path: Path, phone: Adbd, own_places: Path
) -> None:
    cache = tmp_path / "cache"
    env = {**own, "EDGEKIT_CACHE": str(cache)}
    text = f'''
models = ["{ZOO}:tiny", "{ZOO}:resize"]
formats = ["litert"]
devices = ["host", "{phone.spec}"]
'''
    done = run(grid(tmp_path, text, f"{PLAN}repeats = 2\n"), env)
    assert done.code == 0, done.err
    assert set(states(done.json()).values()) == {"measured"} and len(done.json()["cells"]) == 4
    lines = done.err.splitlines()
    converted = max(number for number, line in enumerate(lines) if "] litert: " in line)

    def first(text: str) -> int:
        return next(number for number, line in enumerate(lines) if text in line)

    assert first(f"zoo_tiny litert fp32: repeat 1 of 2 ({phone.spec})") < converted < first("repeat 1 of 2 (host)")
    assert {c["measurement"]["harness"] for c in done.json()["cells"] if c["device"] == phone.spec} == {"native"}


def test_a_device_that_is_lost_stops_its_queue_only(own: dict[str, str], tmp_path: Path, phone: Adbd) -> None:
    text = f'models = ["{ZOO}:tiny"]\nformats = ["litert"]\nthreads = [1, 2]\ndevices = ["host", "{phone.spec}"]\n'
    path = grid(tmp_path, text, f"{PLAN}repeats = 8\n")
    process = started("sweep", path, "--json", env=own)
    lines_until(process, f"repeat 3 of 8 (1 thread, {phone.spec})")
    phone.kill()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 13, err
    document = Done(process.returncode, out, err).json()
    found = states(document)
    assert {state for key, state in found.items() if key.endswith("host")} == {"measured"}
    assert {state for key, state in found.items() if key.endswith(phone.spec)} == {"pending"}
    assert document["failures"][0]["cell"] == phone.spec
    before = repeats(tmp_path / "store.sqlite")
    phone.start()
    again = run(path, own)
    assert again.code == 0, again.err
    after = repeats(tmp_path / "store.sqlite")
    assert before.items() <= after.items() and len(after) == 4 * 8
    assert document["sweep"]["id"] == again.json()["sweep"]["id"]


def test_a_queue_that_dies_is_a_device_that_is_lost(own: dict[str, str], tmp_path: Path, phone: Adbd) -> None:
    text = f'models = ["{ZOO}:tiny"]\nformats = ["litert"]\ndevices = ["host", "{phone.spec}"]\n'
    path = grid(tmp_path, text, f"{PLAN}repeats = 4\n")
    process = started("sweep", path, "--json", env=own)
    # It is looked for while the first repeat runs, so that the last can't be over when it is killed.
    lines_until(process, f"repeat 1 of 4 ({phone.spec})")
    (worker,) = processes_of(own, "edgekit.sweep.worker")
    lines_until(process, f"repeat 2 of 4 ({phone.spec})")
    worker.kill()
    out, err = process.communicate(timeout=200)
    error = Done(process.returncode, out, err).failed(13, "device")
    assert error["message"] == f"The process that measures on {phone.spec} ended with -9."
    assert sorted(states(Done(process.returncode, out, err).json()).values()) == ["measured", "pending"]
    again = run(path, own)
    assert again.code == 0, again.err
    assert len(repeats(tmp_path / "store.sqlite")) == 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_leaves_nothing_running_on_a_remote_device(
    own: dict[str, str], tmp_path: Path, phone: Adbd, number: int
) -> None:
    text = f'models = ["{ZOO}:tiny"]\nformats = ["litert"]\ndevices = ["{phone.spec}"]\n'
    path = grid(tmp_path, text, f"{PLAN.replace('min_seconds = 0.02', 'min_seconds = 60.0')}repeats = 2\n")
    process = started("sweep", path, env=own)
    lines_until(process, "repeat 1 of 2")
    time.sleep(0.5)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_until_gone(own)
    give_up = time.monotonic() + 15
    while left := runners_on(phone):
        assert time.monotonic() < give_up, left
        time.sleep(0.02)
    assert lease.holder(phone.spec) is None


@pytest.mark.parametrize(
    ("text", "where", "step"),
    [
        ('models = ["zoo:mobilevig_ti"]\nformat = ["onnx"]\n', "small.toml: format", "Did you mean formats?"),
        ('models = ["zoo:mobilevig_ti"]\nformats = ["onnxx"]\n', "--to", "Choose from"),
        ('zoo = ["no_such_*"]\n', "zoo", "edgekit zoo"),
        ('models = ["zoo:mobilevig_ti"]\n[[exclude]]\nmodel = "mobilevit*"\n', "Exclude", "dry-run"),
    ],
)
def test_a_wrong_grid_is_refused(own: dict[str, str], tmp_path: Path, text: str, where: str, step: str) -> None:
    error = run(grid(tmp_path, text, ""), own).failed(2, "usage")
    assert where in error["where"] and step in error["next_step"]


def test_a_grid_and_options_exclude_each_other(own: dict[str, str], tmp_path: Path) -> None:
    path = grid(tmp_path, f'models = ["{ZOO}:tiny"]\n')
    run(path, own, "--to", "onnx").failed(2, "usage")
    edgekit("sweep", "--resume", "nothing", "--json", env=own).failed(2, "usage")
    assert "--new" in edgekit("sweep", "--resume", "x", "--new", "--json", env=own).failed(2, "usage")["next_step"]
    # What would silently not be done.
    ignored = edgekit("sweep", "--zoo", "mobilevig*", "--input-shape", "1,3,64,64", "--json", env=own)
    assert "--input-shape" in ignored.failed(2, "usage")["message"]
    edgekit("sweep", "--json", env=own).failed(2, "usage")


def test_a_changed_file_is_another_sweep(own: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text((Path(ZOO)).read_text())
    path = grid(tmp_path, 'models = ["net.py:tiny"]\nformats = ["onnx"]\n', f"{PLAN}repeats = 1\n")
    first = run(path, own)
    assert first.code == 0, first.err
    (tmp_path / "net.py").write_text((Path(ZOO)).read_text() + "\n")
    error = edgekit("sweep", "--resume", "small", "--json", env=own).failed(2, "usage")
    assert str(tmp_path / "net.py") in error["message"]
    second = run(path, own)
    assert second.json()["sweep"]["id"] != first.json()["sweep"]["id"]


def test_the_verb_for_programs(tmp_path: Path) -> None:
    plan = api.Plan(warmup_min_runs=1, warmup_min_seconds=0.0, min_runs=5, min_seconds=0.0, repeats=2)
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    asked = GridFile(models=(f"{ZOO}:tiny",), formats=("onnx",), threads=(1, 2), plan=plan)
    sweep, cells = api.sweep(asked, store=url)
    assert [cell.state for cell in cells] == ["measured", "measured"]
    again, same = api.sweep(asked, store=url)
    assert (again, same) == (sweep, cells)
    other, _ = api.sweep(asked, store=url, new=True)
    assert other.id != sweep.id
    with Store.open(url) as store:
        assert len(store.sweeps()) == 2
    assert os.environ["EDGEKIT_STORE"] != url


def test_a_device_that_is_away_does_not_hold_up_the_others(own: dict[str, str], tmp_path: Path) -> None:
    away = "adb:127.0.0.1:9"  # nobody listens there
    text = f'models = ["{ZOO}:tiny"]\nformats = ["onnx"]\ndevices = ["{away}", "host"]\n'
    done = run(grid(tmp_path, text, f"{PLAN}repeats = 1\n"), own)
    assert done.code == 13, done.err
    assert states(done.json()) == {f"zoo_tiny/onnx/fp32/1/{away}": "pending", "zoo_tiny/onnx/fp32/1/host": "measured"}
    assert done.json()["error"]["kind"] == "device" and "1 cell is still to be measured" in done.err


def test_what_this_machine_does_not_do_is_no_success(own: dict[str, str], tmp_path: Path) -> None:
    done = run(grid(tmp_path, f'models = ["{ZOO}:tiny"]\nformats = ["onnx"]\nclocks = "pinned"\n'), own)
    assert "does not pin the clocks" in done.failed(2, "usage")["message"]
    assert set(states(done.json()).values()) == {"skipped"}


def test_a_dry_run_does_nothing(own: dict[str, str], tmp_path: Path) -> None:
    path = grid(tmp_path, f'models = ["{ZOO}:tiny"]\nformats = ["onnx", "coreml"]\nthreads = [1, 2]\n')
    done = run(path, own, "--dry-run")
    assert done.code == 0, done.err
    document = done.json()
    assert (len(document["cells"]), document["repeats"], document["excluded"]) == (4, 6, 0)
    assert document["estimate_seconds"] > 0 and not (tmp_path / "store.sqlite").exists()
    shown = edgekit("sweep", path, "--dry-run", env=own)
    assert "zoo_tiny/onnx/fp32/2/host" in shown.out and "4 cells, 6 repeats to make" in shown.out
    assert "coreml/fp32/1/host  skipped: host has no runtime for coreml files" in shown.out

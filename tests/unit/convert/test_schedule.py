from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest
from fakes import Fakes

from edgekit.convert import events, schedule, worker
from edgekit.convert.schedule import Limits
from edgekit.convert.worker import Task
from edgekit.errors import EdgekitError

PLENTY = Limits(jobs=2, memory_bytes=1 << 40)
# Ends only when two of these run at the same time.
MEET = ("while len(list(FOLDER.glob('*.ran'))) < 2: time.sleep(0.01)",)
# Notes how many of these run at the same time.
COUNT = (
    "mine = FOLDER / (NAME + '.now'); mine.touch(); time.sleep(0.15)",
    "(FOLDER / (NAME + '.count')).write_text(str(len(list(FOLDER.glob('*.now'))))); mine.unlink()",
)


def scheduled(
    fakes: Fakes, tasks: list[Task], limits: Limits = PLENTY, start_method: str | None = None
) -> dict[str, list[events.Event]]:
    """Every event by format, in order."""
    seen: dict[str, list[events.Event]] = {task.info.name: [] for task in tasks}

    def emit(event: events.Event) -> None:
        name = event.artifact.format if isinstance(event, events.ArtifactReady) else getattr(event, "format", None)
        seen[name].append(event)

    schedule.run(tasks, limits, emit, fakes.folder, between=fakes.save_program, start_method=start_method)
    return seen


def failure(found: list[events.Event]) -> EdgekitError:
    assert isinstance(found[-1], events.Failed)
    return EdgekitError.from_dict(found[-1].error)


def made(found: list[events.Event]) -> bool:
    return isinstance(found[-1], events.ArtifactReady)


def test_every_task_ends_and_says_what_it_does(fakes: Fakes) -> None:
    found = scheduled(fakes, [fakes.task("a"), fakes.task("b"), fakes.task("c")])
    assert fakes.ran() == ["a", "b", "c"]
    for name, told in found.items():
        assert [(e.stage, e.state) for e in told[:-1] if isinstance(e, events.Progress)] == [
            ("convert", "waiting"), ("convert", "started"), ("convert", "finished"),
        ]  # fmt: skip
        last = told[-1]
        assert isinstance(last, events.ArtifactReady)
        assert Path(last.artifact.path).read_text() == name
        assert last.artifact.parity.passed is None and last.artifact.parity.reason
        assert last.artifact.cached is False and last.artifact.convert_seconds is not None


def test_the_second_time_the_file_comes_from_the_cache(fakes: Fakes) -> None:
    first = scheduled(fakes, [fakes.task("a")])["a"][-1]
    (fakes.folder / "a.ran").unlink()
    second = scheduled(fakes, [fakes.task("a")])["a"][-1]
    assert isinstance(first, events.ArtifactReady) and isinstance(second, events.ArtifactReady)
    assert (first.artifact.cached, second.artifact.cached) == (False, True)
    assert first.artifact.sha256 == second.artifact.sha256
    assert fakes.ran() == []


def test_workers_run_side_by_side(fakes: Fakes) -> None:
    found = scheduled(fakes, [fakes.task("a", *MEET), fakes.task("b", *MEET)])
    assert made(found["a"]) and made(found["b"])


def test_the_longest_comes_first(fakes: Fakes) -> None:
    order = "with open(FOLDER / 'order', 'a') as file: file.write(NAME)"
    tasks = [fakes.task("a", order, cost=1.0), fakes.task("b", order, cost=3.0), fakes.task("c", order, cost=2.0)]
    scheduled(fakes, tasks, Limits(jobs=1, memory_bytes=1 << 40))
    assert (fakes.folder / "order").read_text() == "bca"


@pytest.mark.parametrize(
    ("limits", "most"),
    [(Limits(jobs=1, memory_bytes=1 << 40), 1), (Limits(jobs=8, memory_bytes=199), 1), (Limits(8, 250), 2)],
)
def test_the_bounds_on_processes_and_memory_hold(fakes: Fakes, limits: Limits, most: int) -> None:
    found = scheduled(fakes, [fakes.task(name, *COUNT) for name in "abcd"], limits)
    assert all(made(told) for told in found.values())
    counts = [int((fakes.folder / f"{name}.count").read_text()) for name in "abcd"]
    assert max(counts) <= most


def test_one_always_runs_even_if_it_is_too_large(fakes: Fakes) -> None:
    found = scheduled(fakes, [fakes.task(name, *COUNT) for name in "ab"], Limits(jobs=8, memory_bytes=1))
    assert all(made(told) for told in found.values())
    assert {(fakes.folder / f"{name}.count").read_text() for name in "ab"} == {"1"}


def test_a_small_one_may_pass_a_large_one_that_does_not_fit(fakes: Fakes) -> None:
    tasks = [
        fakes.task("a", *MEET, memory_bytes=600, cost=3.0),
        fakes.task("b", memory_bytes=600, cost=2.0),
        fakes.task("c", *MEET, memory_bytes=300, cost=1.0),
    ]
    found = scheduled(fakes, tasks, Limits(jobs=8, memory_bytes=1000))
    assert all(made(told) for told in found.values())


def test_expected_memory_grows_with_the_weights(fakes: Fakes) -> None:
    from edgekit.convert.backend import BACKENDS

    task = Task(BACKENDS["litert"], fakes.exported, "fp32", fakes.cache, True, None, None)
    info = task.info
    assert schedule.expected_bytes(task) == info.memory_bytes + int(info.memory_per_weight_byte * 4 * 6)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "The a converter was killed by SIGKILL (out of memory?)."),
        (
            "import faulthandler; faulthandler.disable(); os.kill(os.getpid(), signal.SIGSEGV)",
            "The a converter was killed by SIGSEGV.",
        ),
        ("os._exit(3)", "The a converter ended with status 3."),
        ("raise MemoryError", "a ran out of memory."),
        ("raise ValueError('no such thing')", "a could not convert the model: no such thing"),
        ("raise SystemExit(1)", "The a converter ended with status 1."),
    ],
)
def test_a_worker_that_dies_is_a_typed_error_and_the_others_finish(fakes: Fakes, body: str, words: str) -> None:
    loud = "print('before it died', flush=True)"
    found = scheduled(fakes, [fakes.task("a", loud, body, cost=9.0), fakes.task("b"), fakes.task("c")])
    error = failure(found["a"])
    assert (error.kind, error.code) == ("convert", 11)
    assert error.message == words
    assert error.facts["format"] == "a" and error.next_step
    if "The a converter" in words:
        assert "before it died" in error.facts["log_tail"]
    assert made(found["b"]) and made(found["c"])
    left = [p for p in (fakes.cache.root / "artifacts").iterdir() if not p.name.endswith(".partial")]
    assert len(left) == 2
    assert made(scheduled(fakes, [fakes.task("a")])["a"])  # what it left does not stand in the way


def test_a_file_that_ends_its_process_is_the_runtimes_failure(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "verify", lambda name, path: os.kill(os.getpid(), signal.SIGTRAP))
    task = dataclasses.replace(fakes.task("a"), file="/files/a.bin")
    error = failure(scheduled(fakes, [task])["a"])
    assert (error.code, error.where) == (13, "/files/a.bin")
    assert error.message == "The process that ran the a file was killed by SIGTRAP."
    assert fakes.ran() == []  # nothing was converted


def test_what_converters_print_stays_out_of_the_way(fakes: Fakes, capfd: pytest.CaptureFixture[str]) -> None:
    scheduled(fakes, [fakes.task("a", "print('chatter')", "os.write(2, b'more of it')")])
    assert capfd.readouterr() == ("", "")
    log = (fakes.folder / "a.log").read_text()
    assert "chatter" in log and "more of it" in log


def test_what_converters_leave_behind_lies_with_the_logs(fakes: Fakes) -> None:
    body = "import tempfile, subprocess; (FOLDER / 'at').write_text(tempfile.mkdtemp()); "
    child = "(FOLDER / 'child').write_bytes(subprocess.check_output(['sh', '-c', 'mktemp -d']))"
    assert made(scheduled(fakes, [fakes.task("a", body + child)])["a"])
    for name in ("at", "child"):
        assert Path((fakes.folder / name).read_text().strip()).parent == fakes.folder


def test_spawned_processes_load_the_program_from_the_cache(fakes: Fakes) -> None:
    body = "(FOLDER / 'graph').write_text(str(program.graph))"
    found = scheduled(fakes, [fakes.task("a", body)], start_method="spawn")
    assert made(found["a"]), found["a"]
    assert "linear" in (fakes.folder / "graph").read_text()


def test_an_interrupted_schedule_leaves_no_worker(fakes: Fakes) -> None:
    tasks = [fakes.task(name, "time.sleep(60)") for name in "ab"]

    def emit(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.state == "started":
            while fakes.ran() != ["a", "b"]:
                pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        schedule.run(tasks, PLENTY, emit, fakes.folder)
    for name in "ab":
        with pytest.raises(ProcessLookupError):
            os.kill(fakes.pid(name), 0)
    assert list((fakes.cache.root / "artifacts").iterdir()) == []

"""What becomes of a job that can't be done, and of a child that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.errors import DeadlineError, DeviceError, RuntimeCrashError, UsageError
from edgekit.harness.__main__ import answer
from edgekit.harness.launch import _decode, run_job
from edgekit.job import Envelope, Job, encode

from .conftest import SHORT

MakeJob = Callable[..., Job]
ENDLESS = msgspec.structs.replace(SHORT, min_seconds=100.0)


def test_another_sha256_is_refused_before_anything_is_loaded(small_onnx: Path, job: MakeJob) -> None:
    wrong = job("measure", "onnxruntime", small_onnx, small_onnx.with_name("x.npy"), artifact_sha256="0" * 64)
    with pytest.raises(DeviceError, match="sha256"):
        run_job(wrong)


def test_another_harness_version_is_refused(small_onnx: Path, job: MakeJob) -> None:
    wrong = job("measure", "onnxruntime", small_onnx, small_onnx.with_name("x.npy"), harness_version="0.0.9")
    with pytest.raises(DeviceError, match=r"harness 0\.0\.9"):
        run_job(wrong)


def test_the_version_is_refused_even_when_the_document_is_not_understood() -> None:
    found = answer(b'{"harness_version": "9.9.9", "unheard_of": 1}').failure
    assert found is not None and (found.kind, "9.9.9" in found.message) == ("device", True)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b"\xff", b'{"harness_version": "0.1.0"}'])
def test_a_document_that_is_no_job_is_answered(document: bytes) -> None:
    found = answer(document).failure
    assert found is not None and found.kind == "usage"


def test_a_missing_artifact_is_refused(small_onnx: Path, job: MakeJob) -> None:
    gone = msgspec.structs.replace(job("measure", "onnxruntime", small_onnx, small_onnx), artifact="none.onnx")
    with pytest.raises(UsageError, match="does not exist"):
        run_job(gone)


def test_relative_paths_are_those_of_the_caller(
    small_onnx: Path, job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_onnx.parent)
    made = job("outputs", "onnxruntime", Path("tiny.onnx"), Path("x.npy"), outputs_dir="out")
    assert run_job(made).outputs == (str(small_onnx.parent / "out/output_0.npy"),)


def test_cores_that_the_process_may_not_use_are_refused(small_onnx: Path, job: MakeJob) -> None:
    wrong = job("measure", "onnxruntime", small_onnx, small_onnx.with_name("x.npy"), affinity=(4095,))
    with pytest.raises(UsageError, match="4095"):
        run_job(wrong)


def test_cores_are_those_asked_for(slow_onnx: Path, job: MakeJob) -> None:
    core = min(os.sched_getaffinity(0))
    made = job("measure", "onnxruntime", slow_onnx, slow_onnx.with_name("x.npy"), affinity=(core,), plan=ENDLESS)
    seen: list[set[int]] = []

    def look_and_kill(pid: int) -> None:
        seen.append(os.sched_getaffinity(pid))
        os.kill(pid, signal.SIGKILL)

    with at_work(look_and_kill), pytest.raises(RuntimeCrashError):
        run_job(made)
    assert seen == [{core}]


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_child_that_dies_by_a_signal_is_a_typed_error(name: str, slow_onnx: Path, job: MakeJob) -> None:
    made = job("measure", "onnxruntime", slow_onnx, slow_onnx.with_name("x.npy"), plan=ENDLESS)
    with at_work(lambda pid: os.kill(pid, signal.Signals[name])), pytest.raises(RuntimeCrashError) as caught:
        run_job(made)
    assert name in caught.value.message
    assert caught.value.where == str(slow_onnx)
    assert caught.value.facts["engine"] == "onnxruntime"
    assert caught.value.facts["signal"] == name


def test_a_timeout_kills_the_child(slow_onnx: Path, job: MakeJob) -> None:
    made = job("measure", "onnxruntime", slow_onnx, slow_onnx.with_name("x.npy"), plan=ENDLESS)
    seen: list[int] = []
    with at_work(seen.append), pytest.raises(DeadlineError) as caught:
        run_job(made, timeout_s=5.0)
    assert caught.value.code == 15
    assert seen and not exists(seen[0])


def test_ctrl_c_kills_the_child_and_is_raised_again(slow_onnx: Path, job: MakeJob) -> None:
    made = job("measure", "onnxruntime", slow_onnx, slow_onnx.with_name("x.npy"), plan=ENDLESS)
    seen: list[int] = []

    def interrupt(pid: int) -> None:
        seen.append(pid)
        os.kill(os.getpid(), signal.SIGINT)

    with at_work(interrupt), pytest.raises(KeyboardInterrupt):
        run_job(made)
    assert seen and not exists(seen[0])


@pytest.mark.skipif(sys.platform != "linux", reason="uses the parent-death signal of Linux")
def test_a_killed_edgekit_leaves_no_measurement_behind(slow_onnx: Path, job: MakeJob, tmp_path: Path) -> None:
    made = job("measure", "onnxruntime", slow_onnx, slow_onnx.with_name("x.npy"), plan=ENDLESS)
    (tmp_path / "job.json").write_bytes(encode(made))
    script = ("import sys, msgspec; from edgekit.job import Job; from edgekit.harness.launch import _decode, run_job; "
              "run_job(msgspec.json.decode(open(sys.argv[1], 'rb').read(), type=Job))")  # fmt: skip
    edgekit = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "job.json")])
    try:
        child = wait_for(lambda: next(iter(working_children(edgekit.pid)), None))
        edgekit.kill()
        edgekit.wait()
        assert wait_for(lambda: not exists(child))
    finally:
        edgekit.kill()


def test_only_the_end_of_long_output_is_kept(tmp_path: Path, small_onnx: Path, job: MakeJob) -> None:
    # A directory in front of site-packages that breaks numpy's import: the child dies before it can answer anything.
    (tmp_path / "msgspec.py").write_text("print('x' * 10_000_000)\nprint('the last words')\nraise SystemExit(7)\n")
    script = ("import os, sys, msgspec; from edgekit.job import Job; from edgekit.harness.launch import run_job\n"
              "job = msgspec.json.decode(open(sys.argv[1], 'rb').read(), type=Job)\n"
              "os.environ['PYTHONPATH'] = sys.argv[2]\n"
              "try: run_job(job)\n"
              "except Exception as error: print(type(error).__name__, error.message)\n")  # fmt: skip
    made = job("measure", "onnxruntime", small_onnx, small_onnx.with_name("x.npy"))
    (tmp_path / "job.json").write_bytes(encode(made))
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "job.json"), str(tmp_path)],
                          capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
    assert done.stdout.startswith("RuntimeCrashError")
    assert "exit code 7" in done.stdout and "the last words" in done.stdout
    assert len(done.stdout) < 5_000


def test_no_output_file_is_left_when_a_sample_fails(small_onnx: Path, job: MakeJob, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 1, 3, 8, 7), dtype="float32"))
    with pytest.raises(UsageError):
        run_job(job("outputs", "onnxruntime", small_onnx, tmp_path / "x.npy", outputs_dir=str(tmp_path / "out")))
    assert not list(tmp_path.glob("out/*.npy"))


def test_an_output_directory_that_can_not_be_written_is_an_error(small_onnx: Path, job: MakeJob) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        run_job(job("outputs", "onnxruntime", small_onnx, small_onnx.with_name("x.npy"), outputs_dir="/dev/null/out"))


@pytest.mark.parametrize("document", [b"", b"{", b'{"result": {"unheard_of": 1}}'])
def test_an_answer_that_is_not_understood_is_an_error(document: bytes, small_onnx: Path, job: MakeJob) -> None:
    with pytest.raises(DeviceError, match="does not understand"):
        _decode(document, job("measure", "onnxruntime", small_onnx, small_onnx.with_name("x.npy")))


def test_the_envelope_holds_exactly_what_was_encoded(small_onnx: Path, job: MakeJob) -> None:
    envelope = answer(encode(job("measure", "onnxruntime", small_onnx, small_onnx.with_name("x.npy"))))
    assert envelope.failure is None
    assert msgspec.json.decode(encode(envelope), type=Envelope) == envelope


@contextmanager
def at_work(act: Callable[[int], object]) -> Iterator[None]:
    """Call ``act`` with the harness child's number once a runtime is loaded in it, from a thread of its own."""

    def watch() -> None:
        act(wait_for(lambda: next(iter(working_children(os.getpid())), None)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def working_children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            # Between fork and exec a child still looks like this process, which has loaded the runtime too.
            ours = int(fields[1]) == parent and b"edgekit.harness" in (stat.parent / "cmdline").read_bytes()
            loaded = ours and "onnxruntime" in (stat.parent / "maps").read_text()
        except OSError:
            continue  # it ended while we looked
        if loaded:
            found.append(int(stat.parent.name))
    return found


def wait_for(read: Callable[[], int | None]) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if value := read():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen within 60 s")


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child that nobody has waited for yet still has an entry; it is dead all the same.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

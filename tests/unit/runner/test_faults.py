"""What becomes of a job that the runner can't do, and of a runner that dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgekit.device.native import run_native
from edgekit.device.runner_files import Bundle
from edgekit.errors import DeadlineError, DeviceError, RuntimeCrashError, UsageError
from edgekit.harness.launch import run_job
from edgekit.job import NATIVE_ENGINES, Engine, Envelope, Job, JobFailure, encode
from edgekit.version import __version__

from .conftest import SUFFIX
from .processes import at_work, exists, runners, until_at_work, wait_for

MakeJob = Callable[..., Job]
Ask = Callable[[bytes | Job], Envelope]
each_engine = pytest.mark.parametrize("engine", NATIVE_ENGINES)
pytestmark = pytest.mark.usefixtures("bundle")


def failure(envelope: Envelope) -> JobFailure:
    assert envelope.result is None and envelope.failure is not None
    assert envelope.failure.message and envelope.failure.where
    return envelope.failure


def test_another_sha256_is_refused(job: MakeJob) -> None:
    with pytest.raises(DeviceError, match="sha256"):
        run_native(job("measure", "litert", artifact_sha256="0" * 64))


def test_another_harness_version_is_refused(job: MakeJob, ask: Ask) -> None:
    with pytest.raises(DeviceError, match=r"harness 0\.0\.9"):
        run_native(job("measure", "litert", harness_version="0.0.9"))
    found = failure(ask(b'{"harness_version": "9.9.9", "unheard_of": 1}'))
    assert (found.kind, "9.9.9" in found.message) == ("device", True)


HOSTILE = [
    b"", b"\0", b"[]", b"{}", b"\xff\xfe", b"null", b"{" * 100_000, b"[" * 200_000,
    b'{"harness_version": "' + b"x" * 10**6, b"[" + b"0," * 120_000 + b"0]", b'{"harness_version": ["0.1.0"]}',
    b'{"a": 1, "a": 2}', b" " * 300_000, b'"\\ud800"', f'{{"harness_version": "{__version__}"}}'.encode(),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_document_that_is_no_job_is_answered(number: int, ask: Ask) -> None:
    assert failure(ask(HOSTILE[number])).kind == "usage"


def test_a_job_that_was_cut_off_anywhere_is_answered(job: MakeJob, ask: Ask) -> None:
    whole = encode(job("describe", "litert"))
    assert ask(whole).result is not None
    for end in range(1, len(whole) - 1, 37):
        assert failure(ask(whole[:end])).kind == "usage"


@pytest.mark.parametrize("change", [{"threads": 0}, {"threads": 10**9}, {"threads": "1"}, {"mode": "fly"},
                                    {"engine": "onnxruntime"}, {"inputs": []}, {"unheard_of": 1}, {"affinity": []},
                                    {"affinity": [4095]}, {"affinity": [10**12]}, {"affinity": [-1]},
                                    {"artifact": "/nowhere.tflite"}, {"artifact": "/"}, {"artifact": "a\0b"},
                                    {"plan": {"min_runs": "many"}}, {"outputs_dir": 7}], ids=str)  # fmt: skip
def test_a_wrong_field_is_a_usage_error(change: dict[str, Any], job: MakeJob, ask: Ask) -> None:
    document = msgspec.json.decode(encode(job("measure", "litert")))
    assert failure(ask(msgspec.json.encode({**document, **change}))).kind == "usage"


def test_an_artifact_that_is_a_pipe_is_refused_and_not_waited_for(job: MakeJob, ask: Ask, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    made = msgspec.structs.replace(job("measure", "litert"), artifact=str(tmp_path / "pipe"))
    assert failure(ask(made)).message.endswith("is not a file.")
    made = job("measure", "litert", inputs=(tmp_path / "pipe",))
    assert "it is not a file" in failure(ask(made)).message


@each_engine
@pytest.mark.parametrize("shape", [(1, 1, 3, 9, 8), (1, 3, 8, 8), (0, 1, 3, 8, 8)])
def test_inputs_of_another_shape_are_refused(
    engine: Engine, shape: tuple[int, ...], models: Path, job: MakeJob, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, "float32"))
    np.save(tmp_path / "y.npy", np.zeros((shape[0], 1, 5), "float32"))
    made = job("measure", engine, inputs=(tmp_path / "x.npy", tmp_path / "y.npy"))
    with pytest.raises(UsageError, match="expects float32 1x3x8x8|at least 1") as native:
        run_native(made)
    with pytest.raises(UsageError) as python:
        run_job(made)
    assert (native.value.message, native.value.where) == (python.value.message, python.value.where)


@each_engine
def test_inputs_of_another_type_or_number_are_refused(
    engine: Engine, models: Path, job: MakeJob, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 3, 8, 8), "float64"))
    np.save(tmp_path / "y.npy", np.zeros((1, 1, 5), "float32"))
    with pytest.raises(UsageError, match="not float64"):
        run_native(job("measure", engine, inputs=(tmp_path / "x.npy", tmp_path / "y.npy")))
    with pytest.raises(UsageError, match="has 2 inputs, but 1 were given"):
        run_native(job("measure", engine, inputs=(models / "image.npy",)))
    with pytest.raises(UsageError, match=r"hold \[1, 3\] samples"):
        run_native(job("measure", engine, inputs=(models / "image.npy", tmp_path / "y.npy")))


def test_object_arrays_are_never_unpickled(job: MakeJob, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="can't be read"):
        run_native(job("measure", "litert", inputs=(tmp_path / "x.npy",)))


@each_engine
@pytest.mark.parametrize("damage", ["truncated", "random", "empty"])
@pytest.mark.parametrize("mode", ["describe", "measure"])
def test_a_damaged_file_is_an_error(
    engine: Engine, damage: str, mode: str, models: Path, job: MakeJob, tmp_path: Path
) -> None:
    whole = (models / f"two{SUFFIX[engine]}").read_bytes()
    random = np.random.default_rng(0).bytes(len(whole))
    broken = tmp_path / f"broken{SUFFIX[engine]}"
    broken.write_bytes({"truncated": whole[: len(whole) // 2], "random": random, "empty": b""}[damage])
    with pytest.raises(RuntimeCrashError) as caught:
        run_native(job(mode, engine, broken), timeout_s=60)
    assert (caught.value.where, caught.value.code) == (str(broken), 13)


def test_the_file_of_another_runtime_is_an_error(models: Path, job: MakeJob) -> None:
    for engine, path in (("litert", models / "two.pte"), ("executorch", models / "two.tflite")):
        with pytest.raises(RuntimeCrashError):
            run_native(job("describe", engine, path))


def test_outputs_that_can_not_be_written_are_an_error(job: MakeJob, models: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        run_native(job("outputs", "litert", outputs_dir="/dev/null/out"))
    with pytest.raises(UsageError, match="names no outputs_dir"):
        run_native(job("outputs", "litert"))
    (tmp_path / "output_0.npy.part").mkdir()
    with pytest.raises(UsageError, match="can't be written"):
        run_native(job("outputs", "litert", outputs_dir=str(tmp_path)))


def test_a_full_disk_is_told_before_the_model_has_run(bundle: Bundle, job: MakeJob, tmp_path: Path) -> None:
    """A limit on the size of files stands in for it; the shell sets it, in blocks of 1024 bytes."""
    (tmp_path / "job.json").write_bytes(encode(job("outputs", "litert", outputs_dir=str(tmp_path / "out"))))
    script = 'trap "" XFSZ; ulimit -f 1; exec "$@"'
    answer = tmp_path / "envelope.json"  # it is smaller than the limit; a stack of outputs is not
    command = ["bash", "-c", script, "bash", *bundle.start(), str(tmp_path / "job.json"), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = failure(msgspec.json.decode(answer.read_bytes(), type=Envelope))
    assert (found.kind, "can't be written" in found.message) == ("usage", True)
    assert not list((tmp_path / "out").glob("*.npy"))


def test_an_answer_that_can_not_be_written_is_not_a_success(bundle: Bundle, job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_bytes(encode(job("describe", "litert")))
    command = [*bundle.start(), str(tmp_path / "job.json"), str(tmp_path / "none/envelope.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "can't be written" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("one",), ("a", "b", "c"), ("--unheard-of",), ("a", "b", "c", "d")])
def test_a_wrong_command_line_is_exit_2(bundle: Bundle, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([*bundle.start(), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("usage: runner")


def test_the_version_is_one_line_of_json(bundle: Bundle) -> None:
    done = subprocess.run([*bundle.start(), "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert msgspec.json.decode(done.stdout) == {
        "harness": "native", "harness_version": __version__, "abi": bundle.abi, "engines": bundle.engines,
    }  # fmt: skip


@each_engine
def test_a_runtime_that_is_not_there_is_a_typed_error_for_that_engine_only(
    engine: Engine, bundle: Bundle, job: MakeJob, tmp_path: Path
) -> None:
    lost = {"executorch": "libexecutorch.so", "litert": "libLiteRt.so"}[engine]
    folder = tmp_path / "bundle"
    shutil.copytree(bundle.folder, folder)
    (folder / lost).unlink()
    start = [part.replace(str(bundle.folder), str(folder)) for part in bundle.start()]
    for other in NATIVE_ENGINES:
        if other == engine:
            with pytest.raises(DeviceError, match=f"engine {engine} can't be loaded.*{lost}"):
                run_job(job("describe", other), program=start)
        else:
            assert run_job(job("describe", other), program=start).inputs


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_runner_that_dies_by_a_signal_is_a_typed_error(name: str, slow: MakeJob) -> None:
    made = slow("executorch")
    with at_work(lambda pid: os.kill(pid, signal.Signals[name])), pytest.raises(RuntimeCrashError) as caught:
        run_native(made)
    assert name in caught.value.message
    assert (caught.value.where, caught.value.facts["signal"]) == (made.artifact, name)


def test_a_timeout_kills_the_runner(slow: MakeJob) -> None:
    seen: list[int] = []
    with at_work(seen.append), pytest.raises(DeadlineError):
        run_native(slow("litert"), timeout_s=1.0)
    assert not exists(seen[0]) and runners(os.getpid()) == []


def test_a_runner_ends_with_the_edgekit_that_started_it(slow: MakeJob, tmp_path: Path) -> None:
    script = ("import msgspec, sys; from edgekit.job import Job; from edgekit.device.native import run_native\n"
              "run_native(msgspec.json.decode(open(sys.argv[1], 'rb').read(), type=Job))\n")  # fmt: skip
    (tmp_path / "job.json").write_bytes(encode(slow("executorch")))
    edgekit = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "job.json")])
    try:
        child = wait_for(lambda: next(iter(runners(edgekit.pid)), None))
        until_at_work(child)
        edgekit.kill()
        edgekit.wait()
        wait_for(lambda: not exists(child))
    finally:
        edgekit.kill()
        edgekit.wait()

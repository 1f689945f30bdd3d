"""The native runner on real files, beside the Python harness on the same machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from edgekit.device.native import run_native
from edgekit.device.runner_files import Bundle
from edgekit.harness.launch import run_job
from edgekit.harness.state import COLD_CACHE
from edgekit.job import NATIVE_ENGINES, Engine, Job, JobResult
from edgekit.records import DeviceState
from edgekit.version import __version__

from .conftest import SHORT
from .processes import meanwhile, until_at_work

MakeJob = Callable[..., Job]
each_engine = pytest.mark.parametrize("engine", NATIVE_ENGINES)
pytestmark = pytest.mark.usefixtures("bundle")


def test_the_engines_are_those_of_the_product(bundle: Bundle) -> None:
    assert tuple(bundle.engines) == NATIVE_ENGINES


@each_engine
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_bit_equal_to_the_python_harness(
    engine: Engine, threads: int, job: MakeJob, tmp_path: Path
) -> None:
    made = job("outputs", engine, threads=threads, outputs_dir=str(tmp_path / "a/native"))
    native = run_native(made)
    python = run_job(msgspec.structs.replace(made, outputs_dir=str(tmp_path / "python")))
    assert native.outputs == tuple(str(tmp_path / f"a/native/output_{k}.npy") for k in range(3))
    for mine, theirs in zip(native.outputs, python.outputs, strict=True):
        assert Path(mine).read_bytes() == Path(theirs).read_bytes()
        assert len(np.load(mine)) == 3 and not np.array_equal(np.load(mine)[0], np.load(mine)[1])
    assert sorted(path.name for path in (tmp_path / "a/native").iterdir()) == [f"output_{k}.npy" for k in range(3)]


def test_types_that_the_python_harness_needs_another_api_for_are_run(
    models: Path, job: MakeJob, tmp_path: Path
) -> None:
    made = job("outputs", "litert", models / "whole.tflite", (models / "whole.npy",), outputs_dir=str(tmp_path))
    result = run_native(made)
    np.testing.assert_array_equal(np.load(result.outputs[0]), np.arange(8).reshape(2, 1, 4) << 34)
    assert result.note is None  # the same API as for every other file


@each_engine
def test_a_file_states_its_own_inputs(engine: Engine, job: MakeJob) -> None:
    made = job("describe", engine, inputs=())
    assert run_native(made).inputs == run_job(made).inputs
    assert [spec.shape for spec in run_native(made).inputs] == [(1, 3, 8, 8), (1, 5)]


@each_engine
@pytest.mark.parametrize("threads", [1, 2])
def test_a_cold_repeat_follows_the_plan(engine: Engine, threads: int, models: Path, slow: MakeJob) -> None:
    plan = msgspec.structs.replace(SHORT, warmup_min_runs=6, min_runs=12, min_seconds=0.2, max_seconds=60.0)
    result = run_native(slow(engine, threads=threads, plan=plan))
    assert len(result.samples_ns) >= 12 and sum(result.samples_ns) >= 0.19e9
    assert len(result.warmup_ns) >= 6 and min(result.samples_ns) > 0
    assert (result.threads, result.timed_out, result.engine) == (threads, False, engine)
    assert (result.harness, result.harness_version) == ("native", __version__)
    assert (result.load_cold_ns > 0) is (COLD_CACHE not in result.state_before.missing)
    assert result.load_warm_ns > 0 and result.first_ns > 0 and 0 <= result.overhead_ns < 100_000
    assert result.started.endswith("+00:00") and len(result.started) == len("2026-01-02T03:04:05.678+00:00")


@each_engine
def test_a_measurement_that_takes_too_long_is_cut_short_and_says_so(engine: Engine, slow: MakeJob) -> None:
    plan = msgspec.structs.replace(SHORT, warmup_max_seconds=0.1, min_runs=100_000, max_seconds=0.2)
    result = run_native(slow(engine, plan=plan))
    assert result.timed_out and 0 < len(result.samples_ns) < 100_000
    assert sum(result.warmup_ns) > 0


def told(state: DeviceState) -> set[str]:
    return {name for name in state.__struct_fields__ if getattr(state, name) is not None} - {"missing"}


@each_engine
def test_the_machines_state_is_what_the_python_harness_tells(engine: Engine, job: MakeJob) -> None:
    native, python = run_native(job("measure", engine)), run_job(job("measure", engine))
    for mine, theirs in ((native.state_before, python.state_before), (native.state_after, python.state_after)):
        assert told(mine) == told(theirs)
        assert set(mine.missing) - {COLD_CACHE} == set(theirs.missing) - {COLD_CACHE}
        assert mine.max_frequencies_khz == theirs.max_frequencies_khz and mine.governor == theirs.governor


@each_engine
def test_memory_holds_the_model_and_little_else(engine: Engine, models: Path, slow: MakeJob) -> None:
    result = run_native(slow(engine, mode="memory"))
    assert 1_000_000 < result.baseline_rss_bytes < 30_000_000, "one engine only, and no Python"
    model = result.peak_rss_bytes - result.baseline_rss_bytes
    assert 2 * 512 * 512 * 4 < model < 60_000_000, "at least the input and the output"


@each_engine
def test_a_profile_is_the_python_harnesss(engine: Engine, job: MakeJob) -> None:
    plan = msgspec.structs.replace(SHORT, min_runs=7)
    native, python = (run(job("profile", engine, plan=plan)) for run in (run_native, run_job))
    assert [(op.name, op.type, op.unit) for op in native.ops] == [(op.name, op.type, op.unit) for op in python.ops]
    assert (len(native.samples_ns), native.note) == (7, python.note)
    assert any("conv" in op.type.lower() for op in native.ops)
    if engine == "executorch":  # XNNPACK has no remainder
        assert [op.unit for op in native.ops if "remainder" in op.name] == ["CPU"]
    total_ms = float(np.median(native.samples_ns)) / 1e6
    assert all(op.share == pytest.approx(op.p50_ms / total_ms) for op in native.ops)


@each_engine
def test_a_profile_adds_up(engine: Engine, slow: MakeJob) -> None:
    """Medians add up only where every run is alike: one that others disturbed is made again."""
    shares = []
    for _ in range(4):
        result = run_native(slow(engine, mode="profile", plan=msgspec.structs.replace(SHORT, min_runs=9)))
        assert len(result.samples_ns) == 9
        shares.append(sum(op.share for op in result.ops))
        if 0.7 < shares[-1] <= 1.1:
            return
    raise AssertionError(shares)


@each_engine
def test_it_runs_with_the_threads_and_on_the_cores_asked_for(engine: Engine, slow: MakeJob) -> None:
    core = min(os.sched_getaffinity(0))

    def observe(pid: int) -> tuple[int, set[frozenset[int]]]:
        until_at_work(pid)
        tasks = os.listdir(f"/proc/{pid}/task")
        cores = {frozenset(os.sched_getaffinity(int(task))) for task in tasks}
        os.kill(pid, 9)
        return len(tasks), cores

    found = {threads: meanwhile(lambda t=threads: run_native(slow(engine, threads=t, affinity=(core,))), observe)
             for threads in (1, 3)}  # fmt: skip
    assert {cores for _, seen in found.values() for cores in seen} == {frozenset({core})}
    assert (found[1][0], found[3][0]) == (1, 3)


def test_only_the_engine_asked_for_is_loaded(slow: MakeJob) -> None:
    marks: dict[Engine, str] = {"executorch": "libexecutorch", "litert": "libLiteRt"}
    assert set(marks) == set(NATIVE_ENGINES) <= set(get_args(Engine))

    def observe(pid: int) -> str:
        until_at_work(pid)
        maps = Path(f"/proc/{pid}/maps").read_text()
        os.kill(pid, 9)
        return maps

    for engine in NATIVE_ENGINES:
        maps = meanwhile(lambda e=engine: run_native(slow(e)), observe)
        assert {name for name, mark in marks.items() if mark in maps} == {engine}


def test_nothing_of_this_machines_own_libraries_is_used(bundle: Bundle, slow: MakeJob) -> None:
    def observe(pid: int) -> set[str]:
        until_at_work(pid)
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        os.kill(pid, 9)
        return {line.split(None, 5)[5] for line in lines if ".so" in line}

    for engine in NATIVE_ENGINES:
        files = meanwhile(lambda e=engine: run_native(slow(e)), observe)
        assert files and {str(Path(file).parent) for file in files} == {str(bundle.folder)}


def measured(engine: Engine, make: MakeJob, **changes: Any) -> JobResult:
    return run_native(make("measure", engine, **changes))


def test_a_sample_is_a_run_and_not_the_harness(slow: MakeJob) -> None:
    """On a model of milliseconds both harnesses' fastest runs agree: neither adds what is not the model's."""
    plan = msgspec.structs.replace(SHORT, min_runs=40, min_seconds=0.5, max_seconds=20.0)
    for engine in NATIVE_ENGINES:
        fastest = [min(run(slow(engine, plan=plan)).samples_ns) for run in (run_native, run_job)]
        assert 0.6 < fastest[0] / fastest[1] < 1.7, (engine, fastest)

"""Each real runtime on a tiny model, in the child process that the product uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from edgekit.errors import MissingExtraError, RuntimeCrashError, UsageError
from edgekit.harness.engines import create as creating
from edgekit.harness.engines.litert_profile import Event
from edgekit.harness.engines.litert_profile import read_events as read_litert_events
from edgekit.harness.engines.onnxruntime import read_events as read_onnx_events
from edgekit.harness.engines.table import ENGINES, EngineEntry
from edgekit.harness.launch import run_job
from edgekit.harness.state import COLD_CACHE
from edgekit.job import ENGINE_OF_FORMAT, Engine, Job

from .conftest import SHORT, Tiny

MakeJob = Callable[..., Job]
# The ones that run float models; microcontrollers have tests of their own.
FLOAT: tuple[Engine, ...] = ("executorch", "litert", "onnxruntime")
each_engine = pytest.mark.parametrize("engine", FLOAT)


def test_the_table_covers_every_engine_of_the_job_document() -> None:
    assert set(ENGINES) == set(get_args(Engine)) == set(ENGINE_OF_FORMAT.values()) | {"litert-reference"}


@each_engine
def test_outputs_of_every_sample_equal_pytorchs(engine: Engine, tiny: Tiny, job: MakeJob, tmp_path: Path) -> None:
    result = run_job(job("outputs", engine, tiny.files[engine], tiny.x, outputs_dir=str(tmp_path / "out")))
    assert result.outputs == (str(tmp_path / "out/output_0.npy"),)
    found = np.load(result.outputs[0])
    assert found.shape == tiny.expected.shape == (3, 1, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tiny.expected, rtol=1e-5, atol=1e-5)
    assert not np.allclose(found[0], found[1])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["output_0.npy"]


@each_engine
def test_a_file_states_its_own_inputs(engine: Engine, tiny: Tiny, job: MakeJob) -> None:
    (found,) = run_job(job("describe", engine, tiny.files[engine])).inputs
    assert (found.shape, found.dtype) == ((1, 3, 8, 8), "float32")


@each_engine
@pytest.mark.parametrize("threads", [1, 2])
def test_a_cold_repeat_keeps_every_sample(engine: Engine, threads: int, tiny: Tiny, job: MakeJob) -> None:
    result = run_job(job("measure", engine, tiny.files[engine], tiny.x, threads=threads))
    assert len(result.samples_ns) >= 10
    assert len(result.warmup_ns) >= 2
    assert min(result.samples_ns) > 0
    assert (result.threads, result.timed_out, result.engine) == (threads, False, engine)
    assert (result.load_cold_ns > 0) is (COLD_CACHE not in result.state_before.missing)
    assert result.load_warm_ns > 0 and result.first_ns > 0 and result.overhead_ns > 0
    assert result.runtime_version[0].isdigit()
    assert result.started.endswith("+00:00")


@each_engine
def test_memory_is_over_one_load(engine: Engine, tiny: Tiny, job: MakeJob) -> None:
    result = run_job(job("memory", engine, tiny.files[engine], tiny.x))
    assert 10_000_000 < result.baseline_rss_bytes <= result.peak_rss_bytes
    assert result.peak_rss_bytes - result.baseline_rss_bytes < 100_000_000, "importing the runtime is not the model's"


@each_engine
def test_profile_names_operators_and_their_share(engine: Engine, tiny: Tiny, job: MakeJob) -> None:
    plan = msgspec.structs.replace(SHORT, min_runs=7)
    result = run_job(job("profile", engine, tiny.files[engine], tiny.x, plan=plan))
    assert len(result.samples_ns) == 7
    assert any("conv" in op.type.lower() for op in result.ops)
    assert len({op.name for op in result.ops}) == len(result.ops)
    total_ms = float(np.median(result.samples_ns)) / 1e6
    assert all(op.share == pytest.approx(op.p50_ms / total_ms) for op in result.ops)
    assert sum(op.share for op in result.ops) <= 1.1


@each_engine
@pytest.mark.parametrize("shape", [(1, 1, 3, 9, 8), (1, 3, 8, 8), (0, 1, 3, 8, 8)])
def test_inputs_of_another_shape_are_refused(
    engine: Engine, shape: tuple[int, ...], tiny: Tiny, job: MakeJob, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, dtype="float32"))
    with pytest.raises(UsageError, match="expects float32 1x3x8x8|at least 1"):
        run_job(job("measure", engine, tiny.files[engine], tmp_path / "x.npy"))


@each_engine
def test_inputs_of_another_type_or_number_are_refused(engine: Engine, tiny: Tiny, job: MakeJob, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 3, 8, 8), dtype="float64"))
    with pytest.raises(UsageError, match="not float64"):
        run_job(job("measure", engine, tiny.files[engine], tmp_path / "x.npy"))
    with pytest.raises(UsageError, match="has 1 inputs, but 2 were given"):
        run_job(job("measure", engine, tiny.files[engine], tiny.x, tiny.x))


@each_engine
@pytest.mark.parametrize("damage", ["truncated", "random", "empty"])
def test_a_damaged_file_is_an_error_and_not_the_end_of_edgekit(
    engine: Engine, damage: str, tiny: Tiny, job: MakeJob, tmp_path: Path
) -> None:
    whole = tiny.files[engine].read_bytes()
    random = np.random.default_rng(0).bytes(len(whole))
    broken = tmp_path / ("broken" + tiny.files[engine].suffix)
    broken.write_bytes({"truncated": whole[: len(whole) // 2], "random": random, "empty": b""}[damage])
    with pytest.raises(RuntimeCrashError) as caught:
        run_job(job("measure", engine, broken, tiny.x), timeout_s=60)
    assert caught.value.where == str(broken)
    assert caught.value.code == 13


def test_object_arrays_are_never_unpickled(small_onnx: Path, job: MakeJob, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="can't be read"):
        run_job(job("measure", "onnxruntime", small_onnx, tmp_path / "x.npy"))


def test_litert_runs_types_that_its_buffers_lack(tiny: Tiny, job: MakeJob, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(8, dtype="int64").reshape(2, 1, 4) << 33)
    result = run_job(job("outputs", "litert", tiny.folder / "whole.tflite", tmp_path / "x.npy",
                         outputs_dir=str(tmp_path)))  # fmt: skip
    np.testing.assert_array_equal(np.load(result.outputs[0]), np.arange(8).reshape(2, 1, 4) << 34)
    assert result.note is not None and "Interpreter" in result.note and "int64" in result.note


def test_a_runtime_that_is_not_installed_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = EngineEntry("edgekit.harness.engines.litert", "no_such_runtime", "no-such-runtime", "litert")
    monkeypatch.setitem(ENGINES, "litert", absent)
    with pytest.raises(MissingExtraError) as caught:
        creating.create("litert")
    assert caught.value.next_step == 'Run: pip install "edgekit[litert]"'


def test_litert_events_are_told_apart_by_run_and_place() -> None:
    def one_run(total: int, *taken: int) -> list[Event]:
        ops = [Event("Conv", 8, taken[0], 0), Event("SOFTMAX", 2, taken[1], 1), Event("Conv", 8, taken[2], 0)]
        return [Event("LiteRT::Run", 1, 5, 0), Event("Invoke", 1, total, 0), *ops, Event("Invoke", 32, 1 << 32, 0)]

    found = read_litert_events([*one_run(100, 10, 20, 30), *one_run(300, 12, 22, 32), *one_run(200, 11, 21, 31)])
    assert found.totals_ns == (100_000, 300_000, 200_000)
    assert [(op.name, op.type, op.unit, op.p50_ms) for op in found.ops] == [
        ("Conv #0", "Conv", "XNNPACK", 0.011),
        ("SOFTMAX #1", "SOFTMAX", "CPU", 0.021),
        ("Conv #2", "Conv", "XNNPACK", 0.031),
    ]
    assert [op.share for op in found.ops] == pytest.approx([0.055, 0.105, 0.155])


def test_litert_events_of_another_layout_give_no_numbers() -> None:
    found = read_litert_events([Event("", 12345, 7, 0)])
    assert (found.ops, found.totals_ns) == ((), ())
    assert found.note is not None and "laid out differently" in found.note


def test_onnx_events_are_medians_without_the_warm_up() -> None:
    def one_run(total: int, conv: int) -> list[dict[str, Any]]:
        facts = {"op_name": "Conv", "provider": "CPUExecutionProvider"}
        kernel = {"cat": "Node", "name": "a_kernel_time", "dur": conv, "args": facts}
        return [kernel, {"cat": "Session", "name": "model_run", "dur": total}]

    runs = [(9000, 8000)] * 3 + [(1000, 400), (1200, 500), (900, 450)]
    found = read_onnx_events([event for run in runs for event in one_run(*run)])
    assert found.totals_ns == (1_000_000, 1_200_000, 900_000)
    assert [(op.name, op.type, op.p50_ms, op.share) for op in found.ops] == [("a", "Conv", 0.45, 0.45)]

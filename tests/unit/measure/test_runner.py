"""Measuring with a real runtime on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.device.device import Conditions
from edgekit.device.host import HostDevice
from edgekit.errors import DeviceError, RuntimeCrashError, UsageError
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.job import Job, JobResult
from edgekit.measure.plan import Candidate, check_plan, job_for, timeout_s
from edgekit.measure.profile import profile
from edgekit.measure.runner import measure
from edgekit.records import Artifact, ClockRegime, DeviceInfo, DeviceState, Measurement, Parity, Plan, Push

QUICK = Plan(warmup_min_runs=2, warmup_min_seconds=0.0, warmup_max_seconds=2.0, min_runs=20, min_seconds=0.0,
             repeats=2)  # fmt: skip


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    size = (64, 64)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name in "xy"]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"], name="product")], "g", ends[:1], ends[1:])
    path = tmp_path / "product.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    np.save(tmp_path / "x.npy", np.ones((1, *size), dtype="float32"))
    return Candidate(artifact_of(path, "product"), (str(tmp_path / "x.npy"),))


def artifact_of(path: Path, model: str, format: str = "onnx") -> Artifact:
    return Artifact(sha256=sha256_of(path), bytes=bytes_of(path), format=format, precision="fp32", path=str(path),
                    model=model, exported_sha256=None, parity=Parity(passed=None))  # fmt: skip


def broken(candidate: Candidate) -> Candidate:
    path = Path(candidate.artifact.path).with_name("broken.onnx")
    path.write_bytes(b"not a model")
    return Candidate(artifact_of(path, "broken"), candidate.inputs)


def run(*candidates: Candidate, plan: Plan = QUICK, device: Any = None) -> tuple[list[Any], list[Any], list[str]]:
    seen: list[Measurement] = []
    lines: list[str] = []
    outcomes = measure(candidates, device or HostDevice(), plan, threads=1, on_repeat=seen.append,
                       progress=lines.append)  # fmt: skip
    return outcomes, seen, lines


def test_a_measurement_is_complete_and_traceable(candidate: Candidate) -> None:
    (outcome,), _, _ = run(candidate)
    found = outcome.measurement
    assert outcome.error is None and found is not None
    assert found.artifact_sha256 == candidate.artifact.sha256
    assert (found.device, found.engine, found.threads, found.emulated) == ("host", "onnxruntime", 1, False)
    assert len(found.repeats) == 2
    assert found.samples == sum(len(repeat.samples_ns) for repeat in found.repeats) >= 40
    assert found.p50_ms == pytest.approx(np.median([s for r in found.repeats for s in r.samples_ns]) / 1e6)
    assert found.min_ms <= found.p50_ms <= found.max_ms
    assert found.ci95_ms[0] <= found.p50_ms <= found.ci95_ms[1]
    assert found.peak_rss_bytes > found.model_rss_bytes >= 0
    assert found.first_ms > 0 and found.load_warm_ms > 0 and found.overhead_ns > 0
    assert len(found.id) == 32 and found.created.endswith("+00:00")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Measurement) == found


def test_every_repeat_is_handed_over_at_once_under_one_id(candidate: Candidate) -> None:
    (outcome,), seen, _ = run(candidate)
    assert [len(found.repeats) for found in seen] == [1, 2, 2]
    assert {found.id for found in seen} == {outcome.measurement.id}
    assert seen[0].verdict == "incomparable"
    assert "1 of 2 repeats finished." in seen[0].verdict_reasons
    assert seen[1].verdict != "incomparable"
    assert [found.peak_rss_bytes is None for found in seen] == [True, True, False]
    assert seen[-1] == outcome.measurement


def test_candidates_take_turns_and_a_broken_one_loses_only_itself(candidate: Candidate) -> None:
    outcomes, _, lines = run(candidate, broken(candidate), candidate)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, RuntimeCrashError)
    assert outcomes[1].measurement is None
    assert [outcome.candidate.artifact.model for outcome in outcomes] == ["product", "broken", "product"]
    steps = [line for line in lines if "cool" not in line]
    assert [line.split()[0] + line.rpartition(":")[2] for line in steps] == [
        "product repeat 1 of 2", "broken repeat 1 of 2", "product repeat 1 of 2",
        "product repeat 2 of 2", "product repeat 2 of 2", "product memory", "product memory",
    ]  # fmt: skip


class LosesTheDevice:
    """The host, except that it is lost at its third job."""

    def __init__(self) -> None:
        self.host, self.jobs = HostDevice(), 0

    def info(self) -> DeviceInfo:
        return self.host.info()

    def state(self) -> DeviceState:
        return self.host.state()

    @contextmanager
    def conditions(self, threads: int, clocks: ClockRegime) -> Iterator[Conditions]:
        yield Conditions()

    def push(self, artifact: Artifact, inputs: Sequence[str] = ()) -> Push:
        return self.host.push(artifact, inputs)

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        self.jobs += 1
        if self.jobs == 3:
            raise DeviceError("The device was lost.", where="host")
        return self.host.run(job, timeout_s=timeout_s)


def test_repeats_that_finished_before_a_loss_are_kept(candidate: Candidate) -> None:
    (first, second), seen, _ = run(candidate, candidate, device=LosesTheDevice())
    assert isinstance(first.error, DeviceError)
    assert first.measurement is not None and len(first.measurement.repeats) == 1
    assert first.measurement.verdict == "incomparable"
    assert first.measurement in seen
    assert second.error is None and len(second.measurement.repeats) == 2


def test_a_machine_that_is_being_measured_is_left_alone(candidate: Candidate) -> None:
    script = (
        "import sys\nfrom edgekit.device import lease\nwith lease.hold('host'):\n print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DeviceError, match=str(other.pid)):
            run(candidate)
        with pytest.raises(DeviceError, match=str(other.pid)):
            profile(candidate.artifact, candidate.inputs, HostDevice(), 1, 5)


def test_profile(candidate: Candidate) -> None:
    found = profile(candidate.artifact, candidate.inputs, HostDevice(), 1, 5)
    assert (found.runs, found.engine, found.artifact_sha256) == (5, "onnxruntime", candidate.artifact.sha256)
    assert [op.type for op in found.ops] == ["MatMul"]
    assert found.total_ms > 0
    with pytest.raises(UsageError, match="min_runs"):
        profile(candidate.artifact, candidate.inputs, HostDevice(), 1, 0)


def test_a_format_without_a_runtime_is_a_failure_of_that_candidate(candidate: Candidate) -> None:
    coreml = Candidate(msgspec.structs.replace(candidate.artifact, format="coreml"), candidate.inputs)
    (failed, done), _, _ = run(coreml, candidate)
    assert isinstance(failed.error, UsageError) and "coreml" in failed.error.message
    assert done.error is None


@pytest.mark.parametrize(
    "plan",
    [Plan(repeats=0), Plan(min_runs=0), Plan(max_seconds=0.5), Plan(min_seconds=-1), Plan(warmup_max_seconds=0.1),
     Plan(warmup_min_runs=-1)],
)  # fmt: skip
def test_a_plan_that_contradicts_itself_is_refused(plan: Plan) -> None:
    with pytest.raises(UsageError, match="not possible"):
        check_plan(plan)
    check_plan(Plan())


def test_the_job_says_what_to_run(candidate: Candidate) -> None:
    made = job_for(candidate, "measure", QUICK, threads=3, affinity=(4, 5))
    assert (made.engine, made.threads, made.affinity, made.plan) == ("onnxruntime", 3, (4, 5), QUICK)
    assert made.artifact_sha256 == candidate.artifact.sha256
    assert timeout_s(Plan()) > Plan().warmup_max_seconds + Plan().max_seconds

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.device import check
from edgekit.errors import ParityError
from edgekit.job import Job, JobResult
from edgekit.records import Artifact, Golden, Parity
from edgekit.version import __version__

OUTPUT = np.random.default_rng(0).normal(size=(4, 1, 10)).astype(np.float32)


class OtherDevice:
    """A device that computes what it is told to."""

    def __init__(self, output: np.ndarray) -> None:
        self.output = output
        self.jobs: list[Job] = []

    def run(self, job: Job, *, timeout_s: float | None = None) -> JobResult:
        self.jobs.append(job)
        assert job.outputs_dir is not None
        path = Path(job.outputs_dir) / "output_0.npy"
        np.save(path, self.output)
        return JobResult(
            harness="test", harness_version=__version__, engine=job.engine, runtime_version="1", threads=job.threads,
            outputs=(str(path),),
        )  # fmt: skip


ARTIFACT = Artifact(
    sha256="a", bytes=1, format="onnx", precision="fp32", path="net.onnx", model="net", exported_sha256="e",
    parity=Parity(passed=True),
)  # fmt: skip


@pytest.fixture
def golden(tmp_path: Path) -> Golden:
    np.save(tmp_path / "input_0.npy", OUTPUT)
    np.save(tmp_path / "output_0.npy", OUTPUT)
    return Golden(
        sha256="g", count=4, source="s", inputs=(str(tmp_path / "input_0.npy"),),
        outputs=(str(tmp_path / "output_0.npy"),),
    )  # fmt: skip


def checked(device: OtherDevice, golden: Golden, host: np.ndarray | None, tmp_path: Path) -> check.DeviceParity:
    paths = ()
    if host is not None:
        np.save(tmp_path / "host.npy", host)
        paths = (tmp_path / "host.npy",)
    return check.check(ARTIFACT, golden, device, host_outputs=paths, threads=3)  # type: ignore[arg-type]


def test_the_golden_inputs_run_on_the_device(golden: Golden, tmp_path: Path) -> None:
    device = OtherDevice(OUTPUT)
    found = checked(device, golden, OUTPUT, tmp_path)
    assert (found.passed, found.bit_equal, found.max_abs) == (True, True, 0.0)
    (job,) = device.jobs
    assert (job.mode, job.engine, job.inputs, job.threads) == ("outputs", "onnxruntime", golden.inputs, 3)
    assert job.artifact_sha256 == "a"


def test_the_last_bit_shows(golden: Golden, tmp_path: Path) -> None:
    other = np.nextafter(OUTPUT, np.float32(9))
    found = checked(OtherDevice(other), golden, OUTPUT, tmp_path)
    assert (found.passed, found.bit_equal) == (True, False)


def test_without_a_run_on_the_host_equality_of_bits_is_not_known(golden: Golden, tmp_path: Path) -> None:
    assert checked(OtherDevice(OUTPUT), golden, None, tmp_path).bit_equal is None


@pytest.mark.parametrize("wrong", [OUTPUT * 1.01, np.full_like(OUTPUT, np.nan), OUTPUT[:, :, :9]])
def test_a_device_that_computes_something_else_is_refused(golden: Golden, tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ParityError, match="computes something else on this device") as caught:
        checked(OtherDevice(wrong), golden, OUTPUT, tmp_path)
    assert caught.value.code == 12 and caught.value.where == "net onnx fp32"
    assert "the runtime or its kernels" in caught.value.next_step

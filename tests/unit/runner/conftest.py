"""The built runner of this machine, and small real models for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from native import build

from edgekit.device.native import host_abi
from edgekit.device.runner_files import Bundle, load_bundle
from edgekit.harness.content import sha256_of
from edgekit.job import Engine, Envelope, Job, Mode, encode
from edgekit.records import Plan
from edgekit.version import __version__

ROOT = Path(__file__).parents[3]
RUNNER = ROOT / "android_harness/runner"
SHORT = Plan(warmup_min_runs=2, warmup_min_seconds=0.0, warmup_max_seconds=2.0, min_runs=10, min_seconds=0.0)
ENDLESS = msgspec.structs.replace(SHORT, min_seconds=1000.0, max_seconds=1000.0)
SUFFIX: dict[Engine, str] = {"executorch": ".pte", "litert": ".tflite"}

# The weights are a fixed function of their index, so both files of a model hold the same ones.
_MODELS = """
import sys, torch
from pathlib import Path
def fixed(module):
    for tensor in module.parameters():
        tensor.data = torch.sin(torch.arange(tensor.numel(), dtype=torch.float32)).reshape(tensor.shape)
    return module.eval()
class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.scale = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Linear(5, 4)
    def forward(self, image, extra):
        y = torch.relu(self.conv(image)) * self.scale(extra)[:, :, None, None]
        return y, y.mean((2, 3)), torch.remainder(extra, 0.25)
class Slow(torch.nn.Module):
    def forward(self, x):
        return x @ x @ x @ x
folder = Path(sys.argv[1])
models = {"two": (fixed(Two()), (torch.zeros(1, 3, 8, 8), torch.zeros(1, 5))),
          "slow": (Slow(), (torch.zeros(512, 512),))}
"""
_SCRIPTS = {
    "executorch": """
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
for name, (model, inputs) in models.items():
    edge = to_edge_transform_and_lower(torch.export.export(model, inputs), partitioner=[XnnpackPartitioner()])
    (folder / f"{name}.pte").write_bytes(edge.to_executorch().buffer)
""",
    "litert": """
import litert_torch
for name, (model, inputs) in models.items():
    litert_torch.convert(model, inputs).export(str(folder / f"{name}.tflite"))
class Whole(torch.nn.Module):
    def forward(self, x):
        return x + x
litert_torch.convert(Whole().eval(), (torch.zeros(1, 4, dtype=torch.int32),)).export(str(folder / "whole.tflite"))
# The converter narrows int64 to int32; files of other converters don't, so the tensors are widened here.
import flatbuffers
from ai_edge_litert import schema_py_generated as schema
whole = schema.ModelT.InitFromPackedBuf((folder / "whole.tflite").read_bytes(), 0)
for tensor in whole.subgraphs[0].tensors:
    tensor.type = schema.TensorType.INT64
builder = flatbuffers.Builder(4096)
builder.Finish(whole.Pack(builder), b"TFL3")
(folder / "whole.tflite").write_bytes(bytes(builder.Output()))
""",
}


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return load_bundle(build(host_abi()), host_abi())


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two.pte, two.tflite (two inputs, three outputs), slow.* (milliseconds a run) and whole.tflite, and
    their inputs image.npy and extra.npy, square.npy and whole.npy."""
    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(0)
    np.save(folder / "image.npy", random.standard_normal((3, 1, 3, 8, 8)).astype("float32"))
    np.save(folder / "extra.npy", random.standard_normal((3, 1, 5)).astype("float32"))
    np.save(folder / "square.npy", random.standard_normal((1, 512, 512)).astype("float32"))
    np.save(folder / "whole.npy", np.arange(8, dtype="int64").reshape(2, 1, 4) << 33)
    workers = [subprocess.Popen([sys.executable, "-c", _MODELS + body, str(folder)], stderr=subprocess.PIPE,
                                stdout=subprocess.DEVNULL) for body in _SCRIPTS.values()]  # fmt: skip
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors.decode()[-3000:]
    return folder


@pytest.fixture(scope="session")
def job(models: Path) -> Callable[..., Job]:
    """Makes a job for the model ``two`` with its inputs; ``path`` and ``inputs`` name others."""

    def make(mode: Mode, engine: Engine, path: Path | None = None, inputs: tuple[Path, ...] | None = None,
             **changes: Any) -> Job:  # fmt: skip
        path = path or models / f"two{SUFFIX[engine]}"
        inputs = (models / "image.npy", models / "extra.npy") if inputs is None else inputs
        facts: dict[str, Any] = {
            "harness_version": __version__, "artifact_sha256": sha256_of(path), "plan": SHORT, **changes,
        }  # fmt: skip
        return Job(mode=mode, engine=engine, artifact=str(path), inputs=tuple(map(str, inputs)), **facts)

    return make


@pytest.fixture(scope="session")
def slow(models: Path, job: Callable[..., Job]) -> Callable[..., Job]:
    """Makes a job that measures for longer than any test waits."""

    def make(engine: Engine, **changes: Any) -> Job:
        facts: dict[str, Any] = {"plan": ENDLESS, **changes}
        mode = facts.pop("mode", "measure")
        return job(mode, engine, models / f"slow{SUFFIX[engine]}", (models / "square.npy",), **facts)

    return make


@pytest.fixture
def ask(bundle: Bundle, tmp_path: Path) -> Callable[[bytes], Envelope]:
    """Start the runner with the bytes of a job document; its answer."""

    def run(document: bytes | Job) -> Envelope:
        text = document if isinstance(document, bytes) else encode(document)
        (tmp_path / "job.json").write_bytes(text)
        answer = tmp_path / "envelope.json"
        answer.unlink(missing_ok=True)
        command = [*bundle.start(), str(tmp_path / "job.json"), str(answer)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
        assert not answer.with_name("envelope.json.part").exists()
        return msgspec.json.decode(answer.read_bytes(), type=Envelope)

    return run

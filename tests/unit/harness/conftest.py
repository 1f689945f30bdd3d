"""Tiny real models in the three formats, with PyTorch's outputs for their inputs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.harness.content import sha256_of
from edgekit.job import Engine, Job, Mode
from edgekit.records import Plan
from edgekit.version import __version__

SHORT = Plan(warmup_min_runs=2, warmup_min_seconds=0.0, warmup_max_seconds=2.0, min_runs=10, min_seconds=0.0)

# The module's weights are a fixed function of their index, so every process makes the same ones.
_MODULE = """
import sys, torch
from pathlib import Path
class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.linear = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4 * 6 * 6, 5)
        for tensor in self.parameters():
            tensor.data = torch.sin(torch.arange(tensor.numel(), dtype=torch.float32)).reshape(tensor.shape)
    def forward(self, x):
        return self.linear(torch.relu(self.conv(x)).flatten(1))
folder, model = Path(sys.argv[1]), Tiny().eval()
inputs = (torch.zeros(1, 3, 8, 8),)
"""
_SCRIPTS = {
    "executorch": """
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
program = torch.export.export(model, inputs)
lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
(folder / "tiny.pte").write_bytes(lowered.buffer)
""",
    "litert": """
import litert_torch
litert_torch.convert(model, inputs).export(str(folder / "tiny.tflite"))
class Whole(torch.nn.Module):
    def forward(self, x):
        return x + x
litert_torch.convert(Whole().eval(), (torch.zeros(1, 4, dtype=torch.int32),)).export(str(folder / "whole.tflite"))
# The converter narrows int64 to int32; files of other converters don't, so the tensors are widened here.
import flatbuffers, numpy as np
from ai_edge_litert import schema_py_generated as schema
whole = schema.ModelT.InitFromPackedBuf((folder / "whole.tflite").read_bytes(), 0)
for tensor in whole.subgraphs[0].tensors:
    tensor.type = schema.TensorType.INT64
builder = flatbuffers.Builder(4096)
builder.Finish(whole.Pack(builder), b"TFL3")
(folder / "whole.tflite").write_bytes(bytes(builder.Output()))
x = np.load(folder / "x.npy")
with torch.no_grad():
    np.save(folder / "expected.npy", np.stack([model(torch.from_numpy(sample)).numpy() for sample in x]))
""",
}


@dataclass(frozen=True)
class Tiny:
    """Where the models are; ``expected`` are the outputs for the stack ``x``."""

    folder: Path
    files: dict[Engine, Path]
    x: Path
    expected: np.ndarray[Any, Any]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    np.save(folder / "x.npy", np.random.default_rng(0).standard_normal((3, 1, 3, 8, 8)).astype("float32"))
    workers = [subprocess.Popen([sys.executable, "-c", _MODULE + body, str(folder)], stderr=subprocess.PIPE,
                                stdout=subprocess.DEVNULL) for body in _SCRIPTS.values()]  # fmt: skip
    for worker in workers:
        _, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors.decode()[-3000:]
    save_onnx(folder / "tiny.onnx")
    files: dict[Engine, Path] = {
        "executorch": folder / "tiny.pte", "litert": folder / "tiny.tflite", "onnxruntime": folder / "tiny.onnx",
    }  # fmt: skip
    return Tiny(folder, files, folder / "x.npy", np.load(folder / "expected.npy"))


@pytest.fixture(scope="session")
def small_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .onnx alone, for tests that need a model but not every format; its inputs lie beside it as x.npy."""
    folder = tmp_path_factory.mktemp("onnx")
    np.save(folder / "x.npy", np.zeros((1, 1, 3, 8, 8), dtype="float32"))
    save_onnx(folder / "tiny.onnx")
    return folder / "tiny.onnx"


@pytest.fixture(scope="session")
def slow_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of some milliseconds, so that a long plan is not over by its limit of samples; x.npy lies beside it."""
    folder = tmp_path_factory.mktemp("slow")
    size = (512, 512)
    np.save(folder / "x.npy", np.zeros((1, *size), dtype="float32"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name in "xy"]
    nodes = [helper.make_node("MatMul", [a, a], [b]) for a, b in ("xa", "ab", "by")]
    model = helper.make_model(helper.make_graph(nodes, "slow", ends[:1], ends[1:]), ir_version=9,
                              opset_imports=[helper.make_opsetid("", 17)])  # fmt: skip
    onnx.save(model, folder / "slow.onnx")
    return folder / "slow.onnx"


def save_onnx(path: Path) -> None:
    """The same network as ``Tiny``, written with onnx.helper."""
    shapes = {"w": (4, 3, 3, 3), "b": (4,), "v": (5, 144), "c": (5,)}
    weights = [helper.make_tensor(name, TensorProto.FLOAT, shape, np.sin(np.arange(np.prod(shape), dtype="float32")))
               for name, shape in shapes.items()]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["conv"], name="conv"),
        helper.make_node("Relu", ["conv"], ["relu"], name="relu"),
        helper.make_node("Flatten", ["relu"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "v", "c"], ["y"], name="gemm", transB=1),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in
            (("x", (1, 3, 8, 8)), ("y", (1, 5)))]  # fmt: skip
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


@pytest.fixture
def job() -> Callable[..., Job]:
    """Makes a job for a file that exists, with its true sha256."""

    def make(mode: Mode, engine: Engine, path: Path, *inputs: Path, **changes: Any) -> Job:
        facts: dict[str, Any] = {
            "harness_version": __version__, "artifact_sha256": sha256_of(path), "plan": SHORT, **changes,
        }  # fmt: skip
        return Job(mode=mode, engine=engine, artifact=str(path), inputs=tuple(map(str, inputs)), **facts)

    return make

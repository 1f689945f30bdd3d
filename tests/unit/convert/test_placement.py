"""Size and placement from written files, and files that can't be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import zoo
from command import ZOO

from edgekit.convert import placement
from edgekit.convert.convert import convert
from edgekit.convert.files import xnnpack
from edgekit.convert.files.pte import DelegateCall, KernelCall, Pte
from edgekit.convert.files.tflite import Tflite
from edgekit.convert.mil.evaluate import load
from edgekit.convert.request import ConvertRequest
from edgekit.errors import RuntimeCrashError
from edgekit.harness.engines.litert_profile import profile_file
from edgekit.model.request import LoadRequest
from edgekit.model.zoo.counting import count_macs
from edgekit.records import Artifact

FORMATS = ("executorch", "litert", "coreml", "onnx")
# The convolution whose weight is computed: 6 × 16 × 16 inputs and 2 outputs by a kernel of 9.
OUTSIDE = 2 * 6 * 16 * 16 * 9


@pytest.fixture(scope="module")
def artifacts(own_places: Path) -> dict[str, Artifact]:
    load = LoadRequest(spec=f"{ZOO}:products")
    outcome = convert(ConvertRequest(load=load, formats=FORMATS, cache=str(own_places / "cache")), lambda event: None)
    assert outcome.errors == {}
    assert all(artifact.parity.passed for artifact in outcome.artifacts)
    return {artifact.format: artifact for artifact in outcome.artifacts}


@pytest.fixture(scope="module")
def macs() -> int:
    return count_macs(zoo.products()[0], (1, 3, 16, 16))


def path(artifacts: dict[str, Artifact], name: str) -> Path:
    return Path(artifacts[name].path)


def undelegated(artifact: Artifact) -> dict[str, int]:
    return {op.op: op.count for op in artifact.undelegated_ops or ()}


def test_an_executorch_file_tells_what_each_side_runs(artifacts: dict[str, Artifact], macs: int) -> None:
    artifact, file = artifacts["executorch"], Pte(path(artifacts, "executorch"))
    partitions = [call for call in file.calls if isinstance(call, DelegateCall)]
    kernels = [call for call in file.calls if isinstance(call, KernelCall)]
    assert artifact.partitions == len(partitions) >= 2
    assert artifact.undelegated_ops is not None
    assert undelegated(artifact)["aten.convolution.out"] == 1
    assert sum(undelegated(artifact).values()) == len(kernels)
    inside = [node for call in partitions if call.graph for node in call.graph.nodes]
    assert artifact.operators == len(inside) + len(kernels)
    assert {"Conv2d", "DepthwiseConv2d", "ConvTranspose2d", "FullyConnected", "BatchMatrixMultiply"} <= {
        node.op for node in inside
    }
    assert sum(node.macs for node in inside) == macs - OUTSIDE
    assert artifact.undelegated_macs_share == pytest.approx(OUTSIDE / macs, rel=1e-12)


def test_a_litert_file_and_its_runtime_tell_what_xnnpack_takes(artifacts: dict[str, Artifact], macs: int) -> None:
    artifact, file = artifacts["litert"], Tflite(path(artifacts, "litert"))
    assert artifact.partitions == 2
    assert undelegated(artifact) == {"CONV_2D": 1}
    assert artifact.operators == len(file.operators) > 10
    assert sum(operator.macs for operator in file.operators) == macs
    assert artifact.undelegated_macs_share == pytest.approx(OUTSIDE / macs, rel=1e-12)
    assert artifact.placement_note == "as LiteRT's Interpreter hands the operators to XNNPACK on this machine"


def test_what_litert_runs_outside_the_delegate_is_what_its_profiler_sees(artifacts: dict[str, Artifact]) -> None:
    """Measured by the engine that deploy uses, not by the Interpreter that placement asks."""
    ops = profile_file(path(artifacts, "litert"), 1, [np.zeros((1, 3, 16, 16), np.float32)], 1, 1).ops
    assert [op.type for op in ops if op.unit == "CPU"] == ["CONV_2D"]


@pytest.mark.parametrize("name", ["coreml", "onnx"])
def test_a_format_without_a_delegate_here_says_why(artifacts: dict[str, Artifact], name: str) -> None:
    artifact = artifacts[name]
    assert (artifact.partitions, artifact.undelegated_ops, artifact.undelegated_macs_share) == (None, None, None)
    assert artifact.placement_note is not None
    assert {"coreml": "it can't be known here", "onnx": "there is no delegate"}[name] in artifact.placement_note


def test_operators_are_those_in_the_file(artifacts: dict[str, Artifact]) -> None:
    nodes = onnx.load(path(artifacts, "onnx")).graph.node
    assert artifacts["onnx"].operators == sum(node.op_type != "Constant" for node in nodes)
    assert artifacts["coreml"].operators == sum(load(path(artifacts, "coreml")).operators().values())


@pytest.mark.parametrize("name", FORMATS)
def test_weight_bytes_are_the_models_and_a_few_constants(artifacts: dict[str, Artifact], name: str) -> None:
    parameters = sum(4 * p.numel() for p in zoo.products()[0].parameters())
    found = artifacts[name].weight_bytes
    # Core ML keeps biases of a few numbers inside the program; the others store shapes and paddings as constants too.
    assert found is not None and parameters - 200 <= found <= parameters + 1000


def test_a_cached_artifact_says_the_same(artifacts: dict[str, Artifact], own_places: Path) -> None:
    request = ConvertRequest(load=LoadRequest(spec=f"{ZOO}:products"), formats=FORMATS, cache=str(own_places / "cache"))
    for again in convert(request, lambda event: pytest.fail("something was converted")).artifacts:
        assert again == msgspec.structs.replace(artifacts[again.format], cached=True)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_read_later_says_what_its_conversion_said(artifacts: dict[str, Artifact], name: str) -> None:
    found = msgspec.structs.asdict(placement.read(name, path(artifacts, name)))
    assert found == {key: getattr(artifacts[name], key) for key in found}


READERS: dict[str, Callable[[Path], Any]] = {
    "executorch": lambda file: Pte(file).calls,
    "litert": lambda file: (Tflite(file).operators, Tflite(file).weight_bytes()),
}


@pytest.mark.parametrize("name", list(READERS))
def test_damaged_bytes_are_a_typed_error_or_nothing_worse(
    artifacts: dict[str, Artifact], name: str, tmp_path: Path
) -> None:
    whole = path(artifacts, name).read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for index in range(400):
        content = bytearray(whole)
        for place in generator.integers(0, len(content) // 2, size=1 + index % 7):
            content[place] = generator.integers(0, 256)
        file = tmp_path / f"{index}"
        file.write_bytes(content)
        try:
            READERS[name](file)
        except RuntimeCrashError as error:
            refused += 1
            assert error.where == str(file) and error.message.startswith("The file is damaged: ")
        file.unlink()
    assert refused > 20


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\0" * 12, b"abcdTFL3ET12" * 9, b"\x08\0\0\0ET12"])
def test_a_file_that_can_not_be_read_is_a_note_and_no_figures(name: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    found = placement.read(name, file)
    assert (found.operators, found.weight_bytes, found.partitions, found.undelegated_ops) == (None, None, None, None)
    assert found.placement_note is not None and found.placement_note.startswith("the file could not be read: ")


@pytest.mark.parametrize("name", ["executorch", "litert"])
def test_a_model_that_multiplies_nothing_has_no_share(
    artifacts: dict[str, Artifact], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tflite, "_macs", lambda *_: 0)
    monkeypatch.setattr(xnnpack, "_macs", lambda *_: 0)
    monkeypatch.setattr(placement, "_kernel_macs", lambda call: 0)
    found = placement.read(name, path(artifacts, name))
    assert found.operators == artifacts[name].operators and found.undelegated_macs_share is None
    assert found.placement_note is not None and found.placement_note.endswith("so there is no share of MACs")

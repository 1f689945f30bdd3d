"""Where a written file leaves the model, from the file itself; the ONNX files here were not made by edgekit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import zoo
from command import ZOO
from torch import nn

from edgekit.convert import parity, traced
from edgekit.convert.convert import convert
from edgekit.convert.request import ConvertRequest
from edgekit.errors import RuntimeCrashError
from edgekit.export import provenance, rewrites
from edgekit.model.request import LoadRequest
from edgekit.records import Divergence

FP32 = parity.TOLERANCES["fp32"]


class Traced:
    """A model as edgekit's backends get it, beside a file that torch.onnx.export makes of the plain module."""

    def __init__(self, module: nn.Module, example: tuple[torch.Tensor, ...], folder: Path) -> None:
        self.path = folder / "model.onnx"
        torch.onnx.export(module, example, str(self.path), dynamo=True, external_data=False, verbose=False)
        self.program = torch.export.export(module, example, strict=False)
        self.origins = provenance.collect(self.program)
        provenance.strip(self.program)
        rewrites.apply_all(self.program)
        generator = np.random.default_rng(0)
        self.sample = [generator.normal(size=tuple(x.shape)).astype(np.float32) for x in example]

    def located(self, path: Path | None = None, name: str = "onnx") -> Divergence | None:
        case = traced.Case(self.program, self.origins, name, path or self.path, self.sample, FP32)
        return traced.locate(case)

    def faulty(self, fault: Callable[[onnx.GraphProto], None]) -> Path:
        model = onnx.load(self.path)
        fault(model.graph)
        target = self.path.with_name("faulty.onnx")
        onnx.save(model, target)
        return target


def weight(name: str, index: int, amount: float) -> Callable[[onnx.GraphProto], None]:
    def fault(graph: onnx.GraphProto) -> None:
        (tensor,) = (t for t in graph.initializer if t.name == name)
        value = onnx.numpy_helper.to_array(tensor).copy()
        value.reshape(-1)[index] += np.float32(amount)
        tensor.CopyFrom(onnx.numpy_helper.from_array(value, name))

    return fault


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    torch.manual_seed(0)
    module, example = zoo.tiny()
    return Traced(module, example, tmp_path_factory.mktemp("traced"))


def test_a_right_file_of_another_tool_leaves_nowhere(tiny: Traced) -> None:
    assert tiny.located() is None


@pytest.mark.parametrize("amount", [0.5, 1e20, float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("stem.0.weight", "stem.0 (Conv2d)"),
        ("blocks.0.depthwise.weight", "blocks.0.depthwise (Conv2d)"),
        ("blocks.0.pointwise.bias", "blocks.0.pointwise (Conv2d)"),
        ("blocks.1.pointwise.weight", "blocks.1.pointwise (Conv2d)"),
        ("head.weight", "head (Linear)"),
    ],
)
def test_the_layer_with_a_wrong_weight_is_named(tiny: Traced, name: str, module: str, amount: float) -> None:
    found = tiny.located(tiny.faulty(weight(name, 3, amount)))
    assert found is not None and found.module == module
    assert found.source.startswith(zoo.__file__)
    assert found.file_value is not None
    finite = np.isfinite(amount)
    assert (found.max_abs is None or found.max_abs > 0) and (found.max_abs is not None) == finite


def test_the_figures_are_those_of_the_named_tensor(tiny: Traced) -> None:
    found = tiny.located(tiny.faulty(weight("blocks.1.pointwise.bias", 2, 0.25)))
    assert found is not None and found.figures_of is None
    assert found.max_abs == pytest.approx(0.25, rel=1e-5)


def test_a_wrong_operator_is_named(tiny: Traced) -> None:
    def leaky(graph: onnx.GraphProto) -> None:
        [node for node in graph.node if node.op_type == "Relu"][1].op_type = "LeakyRelu"

    found = tiny.located(tiny.faulty(leaky))
    assert found is not None and (found.op, found.module) == ("aten.relu.default", "blocks.0 (Block)")
    assert found.max_abs is not None and 0 < found.max_abs < 0.1


@pytest.mark.parametrize("limit", [1, 40_000, 200_000])
def test_a_model_too_large_for_the_memory_is_searched_in_steps(
    tiny: Traced, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traced, "MAX_REFERENCE_BYTES", limit)
    assert tiny.located() is None
    for name, module in (
        ("stem.0.weight", "stem.0 (Conv2d)"),
        ("blocks.1.pointwise.weight", "blocks.1.pointwise (Conv2d)"),
    ):
        found = tiny.located(tiny.faulty(weight(name, 3, 0.5)))
        assert found is not None and found.module == module


def test_parallel_branches_do_not_excuse_each_other(tmp_path: Path) -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
            self.join = nn.Conv2d(8, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.join(torch.cat([self.left(x).relu(), torch.sigmoid(self.right(x))], 1))

    torch.manual_seed(0)
    case = Traced(Branches().eval(), (torch.zeros(1, 3, 8, 8),), tmp_path)
    for name in ("left", "right", "join"):
        found = case.located(case.faulty(weight(f"{name}.weight", 1, 0.5)))
        assert found is not None and found.module == f"{name} (Conv2d)"


def test_what_the_runtime_refuses_is_a_typed_error(tiny: Traced) -> None:
    def unknown(graph: onnx.GraphProto) -> None:
        graph.node[0].op_type = "NoSuchOperator"

    with pytest.raises(RuntimeCrashError, match="could not run the model operator by operator"):
        tiny.located(tiny.faulty(unknown))


@pytest.fixture(scope="module")
def converted(own_places: Path) -> Callable[[str], dict[str, Path]]:
    def files(model: str) -> dict[str, Path]:
        load = LoadRequest(spec=f"{ZOO}:{model}")
        request = ConvertRequest(load=load, formats=("litert", "coreml", "onnx"), cache=str(own_places / "cache"))
        return {a.format: Path(a.path) for a in convert(request, lambda event: None).artifacts}

    return files


def test_inputs_reach_their_places_in_every_format(converted: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    case = Traced(*zoo.two_inputs_two_outputs(), tmp_path)
    assert case.located() is None
    files = converted("two_inputs_two_outputs")
    for name, path in files.items():
        # The file's weights are drawn with the same seed, in the session that loaded the model.
        assert case.located(path, name) is None, name


def test_a_tensor_that_was_fused_away_is_named_with_the_figures_behind_it(tiny: Traced, converted: Any) -> None:
    path = converted("tiny")["litert"]
    whole = path.read_bytes()
    value = tiny.program.state_dict["stem.0.weight"].detach().reshape(-1)[4].numpy().tobytes()
    assert whole.count(value) == 1
    target = tiny.path.with_name("faulty.tflite")
    place = whole.index(value)
    target.write_bytes(whole[: place + 3] + bytes([whole[place + 3] ^ 0x80]) + whole[place + 4 :])
    assert tiny.located(path, "litert") is None
    found = tiny.located(target, "litert")
    assert found is not None and found.module == "stem.0 (Conv2d)"
    assert (found.figures_of, found.file_value) == ("relu", "CONV_2D #2")
    assert found.max_abs is not None and found.max_abs > 1e-3

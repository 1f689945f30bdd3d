from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekit.errors import MissingExtraError, ModelError
from edgekit.model.load import load
from edgekit.model.request import LoadRequest, parse_input_shape
from edgekit.records import TensorSpec

IMAGE = torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8)


def test_an_exported_program(pt2: str, small: nn.Module) -> None:
    model = load(LoadRequest(spec=pt2))
    assert model.module is None
    assert model.program is not None
    assert model.inputs == (TensorSpec(name="image", shape=(1, 3, 8, 8)),)
    assert (model.name, model.weights) == ("small", "file small.pt2")
    assert torch.equal(model.program.module()(IMAGE), small(IMAGE))


def test_a_program_is_recognised_whatever_its_suffix(pt2: str, tmp_path: Path) -> None:
    renamed = Path(pt2).rename(tmp_path / "renamed.pt")
    assert load(LoadRequest(spec=str(renamed))).program is not None


def test_an_exported_program_keeps_its_own_shape(pt2: str) -> None:
    with pytest.raises(ModelError, match="was exported for inputs") as caught:
        load(LoadRequest(spec=pt2, input_shape=((1, 3, 16, 16),)))
    assert caught.value.facts["expected"] == [[1, 3, 8, 8]]


def test_dynamic_dimensions_are_fixed(small: nn.Module, tmp_path: Path) -> None:
    path = str(tmp_path / "dynamic.pt2")
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(small, (torch.zeros(4, 3, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    by_example = load(LoadRequest(spec=path))
    assert by_example.inputs[0].shape == (4, 3, 8, 8)
    assert any("dynamic" in warning for warning in by_example.warnings)
    asked = load(LoadRequest(spec=path, input_shape=((1, 3, 8, 8),)))
    assert asked.program is not None
    assert torch.allclose(asked.program.module()(IMAGE), small(IMAGE), atol=1e-6)


def test_torchscript_saved_in_training_mode(torchscript: str, small: nn.Module) -> None:
    model = load(LoadRequest(spec=torchscript, input_shape=((1, 3, 8, 8),)))
    assert model.program is not None
    assert torch.allclose(model.program.module()(IMAGE), small(IMAGE), atol=1e-6)
    shapes = [node.meta["val"].shape for node in model.program.graph.nodes if node.op == "placeholder"]
    assert shapes[-1] == (1, 3, 8, 8)
    assert any("training mode" in warning for warning in model.warnings)


def test_torchscript_needs_shapes(torchscript: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(LoadRequest(spec=torchscript))
    assert caught.value.code == 10
    assert "--input-shape" in caught.value.next_step


def test_a_state_dict_with_its_factory(state_dict: str, source: str, small: nn.Module) -> None:
    model = load(LoadRequest(spec=state_dict, arch=f"{source}:with_example"))
    assert model.module is not None
    assert torch.equal(model.module(IMAGE), small(IMAGE))
    assert model.weights.startswith("file weights.pt, arch ")


@pytest.mark.parametrize("nest", ["state_dict", "model", "model_state_dict", "ema"])
def test_nested_and_wrapped_state_dicts(nest: str, small: nn.Module, source: str, tmp_path: Path) -> None:
    path = str(tmp_path / "checkpoint.pth")
    wrapped = {f"module.{key}": value for key, value in small.state_dict().items()}
    torch.save({"epoch": 3, nest: wrapped}, path)
    model = load(LoadRequest(spec=path, arch=f"{source}:plain", input_shape=((1, 3, 8, 8),)))
    assert model.module is not None
    assert torch.equal(model.module(IMAGE), small(IMAGE))
    assert f"({nest})" in model.weights
    assert any("module." in warning for warning in model.warnings)


def test_safetensors(small: nn.Module, source: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = str(tmp_path / "weights.safetensors")
    save_file(dict(small.state_dict()), path)
    model = load(LoadRequest(spec=path, arch=f"{source}:with_example"))
    assert model.module is not None
    assert torch.equal(model.module(IMAGE), small(IMAGE))
    with pytest.raises(ModelError, match="state dict"):
        load(LoadRequest(spec=path))
    Path(path).write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="damaged"):
        load(LoadRequest(spec=path, arch=f"{source}:with_example"))


def test_a_state_dict_without_arch(state_dict: str) -> None:
    with pytest.raises(ModelError, match=r"stem\.0\.weight") as caught:
        load(LoadRequest(spec=state_dict))
    assert caught.value.code == 10
    assert "--arch" in caught.value.next_step


def test_a_state_dict_that_does_not_fit(small: nn.Module, source: str, tmp_path: Path) -> None:
    path = str(tmp_path / "other.pt")
    weights = dict(small.state_dict())
    weights["head.weight"] = torch.zeros(7, 4)
    del weights["stem.0.bias"]
    weights |= {f"extra.{k}": torch.zeros(1) for k in range(12)}
    torch.save(weights, path)
    with pytest.raises(ModelError, match=r"1 missing .*12 unexpected .*2 more.*1 mismatched") as caught:
        load(LoadRequest(spec=path, arch=f"{source}:plain"))
    facts = caught.value.facts
    assert facts["missing"] == ["stem.0.bias"]
    assert (facts["unexpected_count"], len(facts["unexpected"])) == (12, 10)
    assert "(7, 4)" in facts["mismatched"][0]
    assert "(5, 4)" in facts["mismatched"][0]


def test_arch_must_be_code(state_dict: str, pt2: str) -> None:
    with pytest.raises(ModelError, match="not an architecture"):
        load(LoadRequest(spec=state_dict, arch=pt2))


@pytest.mark.parametrize(("factory", "batch"), [("with_example", 2), ("with_tuple", 1), ("sized", 1)])
def test_factories_that_tell_their_inputs(source: str, factory: str, batch: int) -> None:
    model = load(LoadRequest(spec=f"{source}:{factory}"))
    assert model.inputs == (TensorSpec(name="image", shape=(batch, 3, 8, 8)),)
    assert model.module is not None
    assert not model.module.training


def test_a_factory_is_seeded(source: str) -> None:
    def weight(seed: int) -> torch.Tensor:
        module = load(LoadRequest(spec=f"{source}:with_example", seed=seed)).module
        assert module is not None
        return next(module.parameters())

    assert torch.equal(weight(1), weight(1))
    assert not torch.equal(weight(1), weight(2))


def test_half_precision_and_training_mode_are_undone(source: str) -> None:
    model = load(LoadRequest(spec=f"{source}:half"))
    assert model.module is not None
    assert next(model.module.parameters()).dtype == torch.float32
    assert not model.module.training
    assert any("float16" in warning for warning in model.warnings)


def test_shapes_and_names_from_the_request(source: str) -> None:
    by_shape = load(LoadRequest(spec=f"{source}:plain", input_shape=parse_input_shape("2x3x8x8")))
    assert by_shape.inputs == (TensorSpec(name="image", shape=(2, 3, 8, 8)),)
    named = (TensorSpec(name="picture", shape=(1, 3, 8, 8)),)
    assert load(LoadRequest(spec=f"{source}:plain", input_spec=named)).inputs == named
    assert load(LoadRequest(spec=f"{source}:instance", input_spec=named)).module is not None


def test_no_shape_at_all(source: str) -> None:
    with pytest.raises(ModelError, match="does not say what shape") as caught:
        load(LoadRequest(spec=f"{source}:plain"))
    assert "--input-shape" in caught.value.next_step


def test_a_wrong_input_shape_names_module_and_channels(source: str) -> None:
    with pytest.raises(ModelError, match="expects 3 input channels and got 1") as caught:
        load(LoadRequest(spec=f"{source}:plain", input_shape=((1, 1, 8, 8),)))
    assert caught.value.code == 10
    assert caught.value.facts["module"] == "stem.0"
    assert caught.value.facts["expected_channels"] == 3
    assert "stem.0 (Conv2d)" in caught.value.where
    assert "user_model.py:" in caught.value.where


@pytest.mark.parametrize(
    ("factory", "message"),
    [("raises", "raised KeyError"), ("exits", "raised SystemExit"), ("wrong", "returns a str"),
     ("absent", "has no absent"), ("number", "is a int"), ("with_dict", "as a dict"), ("scripted", "TorchScript")],
)  # fmt: skip
def test_factories_that_fail(source: str, factory: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load(LoadRequest(spec=f"{source}:{factory}"))
    assert caught.value.code == 10
    assert caught.value.next_step
    if factory in ("raises", "exits"):
        assert "user_model.py:" in caught.value.where


@pytest.mark.parametrize(
    ("text", "where"),
    [("x = 1\ny = 1 / 0\n", ":2"), ("def f(:\n", ":1"), ("\n\nimport no_such_module_anywhere\n", ":3")],
)
def test_files_that_can_not_be_imported(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / "broken_model.py"
    file.write_text(text)
    with pytest.raises(ModelError, match="can't be imported") as caught:
        load(LoadRequest(spec=f"{file}:make"))
    assert caught.value.where.endswith(f"broken_model.py{where}")


def test_a_package_in_the_working_directory(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(source).parent)
    assert load(LoadRequest(spec="user_model:with_example")).module is not None
    monkeypatch.delitem(sys.modules, "user_model")
    with pytest.raises(ModelError, match="no Python module no_such_package"):
        load(LoadRequest(spec="no_such_package.models:make"))


def test_an_artifact_and_the_zoo_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").touch()
    with pytest.raises(ModelError, match="converted litert file"):
        load(LoadRequest(spec=str(tmp_path / "model.tflite")))
    with pytest.raises(ModelError, match="no model zoo:mobilenetv2"):
        load(LoadRequest(spec="zoo:mobilenetv2"))


@pytest.mark.parametrize(("package", "extra"), [("torch", "all"), ("timm", "zoo")])
def test_a_missing_package_names_its_extra(package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        load(LoadRequest(spec="timm:mobilenetv3_small_050"))
    assert f'pip install "edgekit[{extra}]"' in caught.value.next_step
    assert caught.value.code == 10

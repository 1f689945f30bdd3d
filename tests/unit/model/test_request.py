from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.errors import ModelError, UsageError
from edgekit.model.request import LoadRequest, name_of, parse_input_shape, parse_input_spec, parse_spec
from edgekit.records import TensorSpec


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("1,3,224,224", ((1, 3, 224, 224),)),
        ("1x3x224x224", ((1, 3, 224, 224),)),
        ("(1, 3, 8, 8)", ((1, 3, 8, 8),)),
        ("1,3,8,8;1,4", ((1, 3, 8, 8), (1, 4))),
        ("7,", ((7,),)),
    ],
)
def test_input_shapes(text: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    assert parse_input_shape(text) == shapes


@pytest.mark.parametrize(
    "text",
    ["", "a", "1,,3", "0,3,8,8", "-1,3", "1.5,2", "1,3;", "9999999,9999999", "1048576,1048576", "1" * 5000,
     "1,1,1,1,1,1,1,1,1", ";".join(["1"] * 17), "1٣", "__import__('os')"],
)  # fmt: skip
def test_nonsense_shapes_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_input_shape(text)
    assert caught.value.code == 2
    assert caught.value.next_step


def test_input_spec_in_both_notations() -> None:
    assert parse_input_spec("{'x': (1,3,224,224)}") == (TensorSpec(name="x", shape=(1, 3, 224, 224)),)
    both = parse_input_spec("{'x': ((1,3,8,8),'float32'), 'ids': ([1,7],'int64')}")
    assert [(s.name, s.shape, s.dtype) for s in both] == [("x", (1, 3, 8, 8), "float32"), ("ids", (1, 7), "int64")]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1,2]", "{}", "{1: (1,2)}", "{'x': 3}", "{'x': ()}", "{'x': (1,'3')}", "{'x': (True, 2)}",
     "{'x': ((1,2),'float99')}", "{'x': ((1,2),['float32'])}", "{'a b': (1,2)}", "{'x': (0,)}", "{[]: 1}",
     "__import__('os').system('true')", "(" * 4000],
)  # fmt: skip
def test_nonsense_specs_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_input_spec(text)
    assert caught.value.code == 2


def test_every_kind_of_spec(tmp_path: Path) -> None:
    kinds = {
        "a.pt2": "exported_program",
        "a.pt": "torch_file",
        "a.PTH": "torch_file",
        "a.bin": "torch_file",
        "a.safetensors": "safetensors",
        "a.pte": "artifact",
        "a.onnx": "artifact",
        "a.tflite": "artifact",
    }
    for name, kind in kinds.items():
        (tmp_path / name).touch()
        assert parse_spec(str(tmp_path / name)).kind == kind
    (tmp_path / "net.py").touch()
    (tmp_path / "m.mlpackage").mkdir()
    assert parse_spec(str(tmp_path / "m.mlpackage")).format == "coreml"
    assert parse_spec(str(tmp_path / "a.tflite")).format == "litert"
    by_file = parse_spec(f"{tmp_path}/net.py:make")
    assert (by_file.kind, by_file.path, by_file.attribute) == ("factory", f"{tmp_path}/net.py", "make")
    by_module = parse_spec("pkg.models:Net.build")
    assert (by_module.module, by_module.attribute) == ("pkg.models", "Net.build")
    assert parse_spec("timm:resnet18?num_classes=10").options == (("num_classes", 10),)
    assert parse_spec("zoo:thing").name == "thing"


def test_a_missing_file_offers_near_names(tmp_path: Path) -> None:
    (tmp_path / "model_best.pt").touch()
    with pytest.raises(ModelError) as caught:
        parse_spec(str(tmp_path / "model_bset.pt"))
    assert caught.value.code == 10
    assert "model_best.pt" in caught.value.next_step


@pytest.mark.parametrize(
    "spec", ["", " ", "model", "model.xyz", "timm:", "zoo:", "timm:a?num_classes=x", "timm:a?b=1", "net.py:", "a\0.pt"]
)
def test_specs_that_are_no_model(spec: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_spec(spec)
    assert caught.value.code == 10
    assert caught.value.next_step


def test_a_directory_and_a_source_file_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "dir.pt").mkdir()
    with pytest.raises(ModelError, match="directory"):
        parse_spec(str(tmp_path / "dir.pt"))
    (tmp_path / "net.py").touch()
    with pytest.raises(ModelError) as caught:
        parse_spec(str(tmp_path / "net.py"))
    assert "net.py:FUNCTION" in caught.value.next_step


@pytest.mark.parametrize(
    ("spec", "name"),
    [("timm:mobilenetv2_100", "mobilenetv2_100"), ("runs/best model.pt", "best_model"), ("a/net.py:make", "net_make"),
     ("pkg.models:make", "models_make"), ("timm:a?num_classes=10", "a_num_classes_10"), ("...", "model"),
     ("x" * 200 + ".pt", "x" * 64), ("../../etc.pt", "etc")],
)  # fmt: skip
def test_names_are_safe_file_stems(spec: str, name: str) -> None:
    assert name_of(spec) == name


def test_a_request_without_torch() -> None:
    code = (
        "import sys, edgekit.model.request, edgekit.model.load, edgekit.model.dependencies, edgekit.export.inputs\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3]).returncode == 0


def test_defaults_are_safe() -> None:
    request = LoadRequest(spec="a.pt")
    assert request.trust_pickle is False
    assert request.seed == 0

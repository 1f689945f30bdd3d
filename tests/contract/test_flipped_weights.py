"""One weight flipped in each written file: ``edgekit check`` fails, and names the layer and the constant."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import ZOO, Done, edgekit

from edgekit.convert.convert import convert
from edgekit.convert.request import ConvertRequest
from edgekit.export import rewrites
from edgekit.export.export import export
from edgekit.export.inputs import golden_inputs
from edgekit.model.load import load
from edgekit.model.request import LoadRequest

FORMATS = ("executorch", "litert", "coreml", "onnx")
MODEL = f"{ZOO}:tiny"
# Weight -> the layer that has it.
WEIGHTS = {
    "blocks.0.depthwise.weight": "blocks.0.depthwise (Conv2d)",
    "blocks.1.pointwise.weight": "blocks.1.pointwise (Conv2d)",
    "head.weight": "head (Linear)",
}

every_format = pytest.mark.parametrize("name", FORMATS)
every_weight = pytest.mark.parametrize("weight", list(WEIGHTS))


@pytest.fixture(scope="session")
def files(own_places: Path) -> dict[str, Path]:
    request = ConvertRequest(load=LoadRequest(spec=MODEL), formats=FORMATS, cache=str(own_places / "cache"))
    outcome = convert(request, lambda event: None)
    assert outcome.errors == {}
    return {artifact.format: Path(artifact.path) for artifact in outcome.artifacts}


@pytest.fixture(scope="session")
def live() -> dict[str, float]:
    """For each weight a value of it, as the files have it, whose sign matters on the golden inputs."""
    model = load(LoadRequest(spec=MODEL))
    program = export(model).program
    rewrites.apply_all(program)
    (stack,), _ = golden_inputs(model.inputs, directory=None, preprocess=None, count=8, seed=0)
    pictures = [torch.from_numpy(picture) for picture in stack]

    def run() -> torch.Tensor:
        module = program.module()
        with torch.no_grad():
            return torch.cat([module(picture) for picture in pictures])

    before, found = run(), {}
    for name in WEIGHTS:
        flat = program.state_dict[name].data.view(-1)
        for index in flat.abs().argsort(descending=True):
            value = float(flat[index])
            flat[index] = -value
            moved = float((run() - before).abs().max() / before.abs().max())
            flat[index] = value
            if moved > 5e-3:
                found[name] = value
                break
    assert set(found) == set(WEIGHTS)
    return found


def flipped(source: Path, folder: Path, value: float) -> Path:
    """A copy of a converted file in which the one float32 of this value has the other sign."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    file = target if target.is_file() else next(target.rglob("weight.bin"))
    content = bytearray(file.read_bytes())
    wanted = struct.pack("<f", value)
    assert content.count(wanted) == 1
    content[content.index(wanted) + 3] ^= 0x80
    file.write_bytes(content)
    return target


@pytest.fixture(scope="session")
def checked(own_places: Path, files: dict[str, Path], live: dict[str, float]) -> dict[str, Done]:
    """``edgekit check`` on all four files, once for each weight."""
    made = {}
    for weight, value in live.items():
        bad = [str(flipped(files[name], own_places / "flipped" / weight, value)) for name in FORMATS]
        made[weight] = edgekit("check", MODEL, *bad, "--json")
    return made


def artifact(done: Done, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = (a for a in done.json()["artifacts"] if a["format"] == name)
    return found


@every_weight
def test_a_flipped_weight_is_exit_12_for_every_format(checked: dict[str, Done], weight: str) -> None:
    error = checked[weight].failed(12, "parity")
    assert error["format"] == "executorch"
    assert [failure["format"] for failure in checked[weight].json()["failures"]] == list(FORMATS)


@every_weight
@every_format
def test_the_layer_with_the_flipped_weight_is_named(checked: dict[str, Done], weight: str, name: str) -> None:
    parity = artifact(checked[weight], name)["parity"]
    assert parity["passed"] is False
    first = parity["first_divergence"]
    assert first["module"] == WEIGHTS[weight]
    assert first["op"] == ("aten.linear.default" if weight.startswith("head") else "aten.conv2d.default")
    assert first["source"].startswith(ZOO)
    assert first["max_abs"] > 1e-3 and first["cosine"] < 1
    # ExecuTorch's delegate shows no values; the others say in which of theirs it is seen.
    assert (first["file_value"] is None) == (name == "executorch")


@every_weight
@every_format
def test_the_flipped_constant_is_named_with_its_change(
    checked: dict[str, Done], live: dict[str, float], weight: str, name: str
) -> None:
    reason = artifact(checked[weight], name)["parity"]["reason"]
    total = {"blocks.0.depthwise.weight": 72, "blocks.1.pointwise.weight": 64, "head.weight": 80}[weight]
    change = f"{2 * abs(np.float32(live[weight])):.3g}"
    assert f"differs from the model's {weight} in 1 of {total} values, by up to {change}" in reason
    explained = "with the file's values in its place PyTorch computes what the file computes"
    assert (explained in reason) == (name == "executorch")


def test_the_files_as_they_were_written_pass(files: dict[str, Path]) -> None:
    done = edgekit("check", MODEL, *map(str, files.values()), "--json")
    assert done.code == 0
    document = done.json()
    assert "error" not in document
    for found in document["artifacts"]:
        assert found["parity"]["passed"] is True and found["exported_sha256"] is None
        assert found["operators"] > 0 and found["weight_bytes"] > 0 and found["placement_note"]


def test_a_file_of_another_model_is_said_to_be_that(files: dict[str, Path]) -> None:
    done = edgekit("check", MODEL, str(files["onnx"]), str(files["executorch"]), "--seed", "1", "--json")
    done.failed(12, "parity")
    for found in done.json()["artifacts"]:
        assert (
            "of the model's 12 weight tensors are in the file: it was made from other weights"
            in (found["parity"]["reason"])
        )
    assert artifact(done, "onnx")["parity"]["first_divergence"]["module"] == "stem.0 (Conv2d)"


def test_a_file_with_another_operator_is_told_from_one_with_another_weight(files: dict[str, Path]) -> None:
    """Every weight is the model's: ONNX shows the operator, ExecuTorch that a fresh conversion has another one."""
    model = f"{ZOO}:tiny_with_another_activation"
    done = edgekit("check", model, str(files["onnx"]), str(files["executorch"]), "--json")
    done.failed(12, "parity")
    seen, unseen = (artifact(done, name)["parity"] for name in ("onnx", "executorch"))
    assert (seen["first_divergence"]["module"], seen["first_divergence"]["op"]) == (
        "stem.2 (Hardswish)", "aten.hardswish.default"
    )  # fmt: skip
    assert "constant" not in seen["reason"] and "constant" not in unseen["reason"].partition("; a fresh")[0]
    assert unseen["first_divergence"] is None
    assert unseen["reason"].endswith(
        "a fresh conversion of the model agrees with PyTorch, this file does not; its partition 0 has other operators "
        "than a fresh conversion's"
    )


def test_a_damaged_file_is_exit_13(files: dict[str, Path], tmp_path: Path) -> None:
    broken = []
    for name in ("litert", "executorch", "onnx"):
        broken.append(tmp_path / f"broken{files[name].suffix}")
        broken[-1].write_bytes(files[name].read_bytes()[: files[name].stat().st_size // 2])
    done = edgekit("check", MODEL, *map(str, broken), "--json")
    assert done.failed(13, "runtime")["where"] == str(broken[0])
    failures = done.json()["failures"]
    assert [failure["file"] for failure in failures] == [str(path) for path in broken]
    assert all(failure["code"] == 13 for failure in failures)

"""Weights from a file for models that are named: --weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgekit.errors import ModelError, UsageError
from edgekit.model import fitting
from edgekit.model.load import load
from edgekit.model.request import LoadRequest, ModelSpec
from edgekit.model.zoo import entry as zoo_entry
from edgekit.model.zoo import find
from edgekit.model.zoo.source import build

NAME = "zoo:mcunet_in0"
X = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def built(spec: str) -> nn.Module:
    """A model whose weights and statistics are all its own: nothing is left as a constructor makes it."""
    name, _, query = spec.removeprefix("zoo:").partition("?")
    module = build(find(name), dict([query.split("=")]) if query else {})
    generator = torch.Generator().manual_seed(9)
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(0.5 + noise if key.endswith("running_var") else value + 0.1 * (noise - 0.5))
    return module


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return built(NAME)


@pytest.fixture(scope="module")
def expected(module: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return module(X)


Save = Callable[[dict[str, torch.Tensor], Path], Path]


def saved(name: str, nest: Callable[[dict[str, torch.Tensor]], Any]) -> Save:
    def save(tensors: dict[str, torch.Tensor], folder: Path) -> Path:
        path = folder / name
        torch.save(nest(tensors), path)
        return path

    return save


def prefixed(prefix: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda tensors: {prefix + key: value for key, value in tensors.items()}


def safe(tensors: dict[str, torch.Tensor], folder: Path) -> Path:
    path = folder / "w.safetensors"
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return path


def two_models(tensors: dict[str, torch.Tensor]) -> Any:
    """A Lightning checkpoint with a loss of its own, and a moving average that is not what is meant."""
    average = {f"model_ema.{key}": torch.zeros_like(value) for key, value in tensors.items()}
    loss = {"criterion.weight": torch.ones(3)}
    return {"state_dict": {**prefixed("model.")(tensors), **loss, "steps": torch.ones(1)}, "epoch": 3, "ema": average}


FORMS: dict[str, Save] = {
    "plain": saved("w.pt", lambda t: t),
    "pth": saved("w.pth", lambda t: t),
    "any suffix": saved("w.ckpt", lambda t: t),
    "nested": saved("w.pt", lambda t: {"state_dict": t, "epoch": 3}),
    "wrapped": saved("w.pt", prefixed("module.")),
    "wrapped twice": saved("w.pt", lambda t: {"model": prefixed("module.model.")(t)}),
    "compiled": saved("w.pt", prefixed("_orig_mod.")),
    "averaged": saved("w.pt", lambda t: {"state_dict_ema": prefixed("ema.module.")(t)}),
    "lightning": saved("w.ckpt", two_models),
    "half": saved("w.pt", lambda t: {key: v.double() if v.is_floating_point() else v for key, v in t.items()}),
    "safetensors": safe,
}


@pytest.mark.parametrize("form", list(FORMS))
def test_weights_come_back_exactly(form: str, module: nn.Module, expected: torch.Tensor, tmp_path: Path) -> None:
    path = FORMS[form](module.state_dict(), tmp_path)
    model = load(LoadRequest(spec=NAME, weights=str(path)))
    assert model.module is not None
    with torch.no_grad():
        assert torch.equal(model.module(X), expected)
    assert model.name == "mcunet_in0" and model.spec == NAME
    assert model.weights.startswith(f"file {path.name}")
    assert model.inputs[0].shape == (1, 3, 48, 48) and model.preprocess is not None
    left_out = [w for w in model.warnings if "2 keys without it were left out" in w]
    assert len(left_out) == (form == "lightning")


def test_a_timm_model_and_a_factory_take_them_too(source: str, small: nn.Module, tmp_path: Path) -> None:
    torch.save(small.state_dict(), tmp_path / "small.pt")
    model = load(LoadRequest(spec=f"{source}:with_tuple", weights=str(tmp_path / "small.pt")))
    x = torch.rand(1, 3, 8, 8)
    assert model.module is not None and torch.equal(model.module(x), small(x))
    timm = load(LoadRequest(spec="timm:mobilenetv3_small_050", input_shape=((1, 3, 32, 32),))).module
    assert timm is not None
    torch.save(timm.state_dict(), tmp_path / "timm.pt")
    asked = LoadRequest(
        spec="timm:mobilenetv3_small_050", weights=str(tmp_path / "timm.pt"), seed=4, input_shape=((1, 3, 32, 32),)
    )
    again = load(asked)
    assert again.module is not None and again.weights == "file timm.pt"
    y = torch.rand(1, 3, 32, 32)
    assert torch.equal(again.module(y), timm(y))


def failed(spec: str, path: Path, **fields: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load(LoadRequest(spec=spec, weights=str(path), **fields))
    assert caught.value.code == 10 and caught.value.next_step
    return caught.value


def test_weights_of_another_architecture_say_how_many_match_and_what_they_fit(tmp_path: Path) -> None:
    other = built("zoo:mcunet_in1")
    torch.save(other.state_dict(), tmp_path / "other.pt")
    error = failed(NAME, tmp_path / "other.pt")
    own = sum(not key.endswith("num_batches_tracked") for key in build(find("mcunet_in0"), {}).state_dict())
    facts = error.facts
    assert error.message.startswith(
        f"other.pt does not fit {NAME}: {facts['matching_count']} of its {own} tensors match;"
    )
    assert 0 < facts["matching_count"] < own
    assert facts["missing_count"] + facts["unexpected_count"] + facts["mismatched_count"] > 0
    for kind in ("missing", "unexpected", "mismatched"):
        for key in facts[kind][:1]:
            assert key in error.message
    assert facts["fits"] == ["zoo:mcunet_in1"]
    assert error.next_step == "They fit zoo:mcunet_in1."


def test_weights_that_fit_nothing_known_say_so_without_a_guess(small: nn.Module, tmp_path: Path) -> None:
    torch.save(small.state_dict(), tmp_path / "small.pt")
    error = failed(NAME, tmp_path / "small.pt")
    assert (error.facts["matching_count"], error.facts["fits"]) == (0, [])
    assert "num_classes=N" in error.next_step


def test_another_number_of_classes_is_told_with_the_option(tmp_path: Path) -> None:
    torch.save(built(f"{NAME}?num_classes=7").state_dict(), tmp_path / "seven.pt")
    error = failed(NAME, tmp_path / "seven.pt")
    assert error.message.startswith(f"seven.pt is for 7 classes, {NAME} for 1000 (")
    assert error.next_step == f"Write {NAME}?num_classes=7." and error.facts["classes"] == 7
    assert failed(f"{NAME}?num_classes=10", tmp_path / "seven.pt").next_step == f"Write {NAME}?num_classes=7."
    model = load(LoadRequest(spec=f"{NAME}?num_classes=7", weights=str(tmp_path / "seven.pt")))
    assert model.module is not None and model.module(X).shape == (2, 7)
    # Another model with another number of classes: both are said.
    torch.save(built("zoo:mcunet_in1?num_classes=7").state_dict(), tmp_path / "both.pt")
    assert failed(NAME, tmp_path / "both.pt").facts["fits"] == ["zoo:mcunet_in1?num_classes=7"]


def test_a_file_that_holds_no_weights_is_refused(pt2: str, torchscript: str, tmp_path: Path) -> None:
    assert "holds a whole model (exported program)" in failed(NAME, Path(pt2)).message
    assert "holds a whole model (torchscript)" in failed(NAME, Path(torchscript)).message
    (tmp_path / "text.pt").write_text("not weights")
    assert "text.pt" in failed(NAME, tmp_path / "text.pt").message
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    assert "neither a model nor a state dict" in failed(NAME, tmp_path / "empty.pt").message
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    assert "safetensors" in failed(NAME, tmp_path / "cut.safetensors").message


def test_a_pickled_module_is_read_only_if_it_is_trusted(
    module: nn.Module, expected: torch.Tensor, tmp_path: Path
) -> None:
    torch.save(module, tmp_path / "module.pt")
    assert "--trust-pickle" in failed(NAME, tmp_path / "module.pt").next_step
    model = load(LoadRequest(spec=NAME, weights=str(tmp_path / "module.pt"), trust_pickle=True))
    with torch.no_grad():
        assert model.module is not None and torch.equal(model.module(X), expected)


def test_a_missing_file_offers_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    assert str(tmp_path / "weights.pt") in failed(NAME, tmp_path / "weight.pt").next_step


def test_weights_need_a_named_model_and_one_place(pt2: str, tmp_path: Path) -> None:
    (tmp_path / "w.pt").touch()
    assert "needs a model that is named" in failed(pt2, tmp_path / "w.pt").message
    with pytest.raises(UsageError, match="both say where the weights come from"):
        load(LoadRequest(spec=NAME, weights=str(tmp_path / "w.pt"), pretrained=True))
    with pytest.raises(ModelError, match="--pretrained needs a model that is named"):
        load(LoadRequest(spec=pt2, pretrained=True))


def test_a_search_for_what_fits_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "SEARCH_SECONDS", 0.0)
    spec = ModelSpec(kind="zoo", text=NAME, name="mcunet_in0")
    shapes = fitting.shapes_of(built("zoo:mcunet_in1").state_dict())
    assert fitting.better(spec, shapes) == []


def test_a_licence_that_forbids_passing_on_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo_entry.LICENCES, find("mcunet_in0").licence, False)
    warning = f"{NAME} may not be passed on in a product: its licence is {find('mcunet_in0').licence}."
    assert load(LoadRequest(spec=NAME)).warnings == (warning,)

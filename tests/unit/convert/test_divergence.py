from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import zoo
from torch import nn

from edgekit.convert import divergence, eager, parity
from edgekit.export import provenance, rewrites
from edgekit.records import Divergence

FP32 = parity.TOLERANCES["fp32"]


class Located:
    """A model, and a conversion that is exact but for a fault in one tensor."""

    def __init__(self, module: nn.Module, *shape: int) -> None:
        torch.manual_seed(0)
        self.program = torch.export.export(module.eval(), (torch.zeros(shape),), strict=False)
        self.origins = provenance.collect(self.program)
        provenance.strip(self.program)
        rewrites.apply_all(self.program)
        self.sample = [np.random.default_rng(0).normal(size=shape).astype(np.float32)]
        self.runs: list[int] = []

    def located(self, fault: Callable[[nn.Module], None]) -> Divergence | None:
        def run(tapped: Any) -> Sequence[np.ndarray]:
            module = tapped.module()
            fault(module)
            with torch.no_grad():
                outputs = module(*(torch.from_numpy(a) for a in self.sample))
            self.runs.append(len(outputs))
            return [o.numpy() for o in outputs]

        return divergence.locate(self.program, self.origins, self.sample, run, FP32)


def scale(name: str, factor: float = 1.5) -> Callable[[nn.Module], None]:
    """A converter that gets one weight wrong."""

    def fault(module: nn.Module) -> None:
        tensor = module.state_dict()[name]
        with torch.no_grad():
            tensor.view(-1)[0] *= factor

    return fault


@pytest.mark.parametrize(
    ("weight", "module", "operator"),
    [
        ("stem.0.weight", "stem.0 (Conv2d)", "aten.conv2d.default"),
        ("blocks.1.depthwise.weight", "blocks.1.depthwise (Conv2d)", "aten.conv2d.default"),
        ("blocks.1.pointwise.bias", "blocks.1.pointwise (Conv2d)", "aten.conv2d.default"),
        ("head.weight", "head (Linear)", "aten.linear.default"),
    ],
)
def test_the_layer_with_the_fault_is_named(weight: str, module: str, operator: str) -> None:
    case = Located(zoo.tiny()[0], 1, 3, 32, 32)
    found = case.located(scale(weight))
    assert found is not None
    assert (found.module, found.op) == (module, operator)
    assert found.source.startswith(zoo.__file__) and found.tensor in case.origins
    assert found.max_abs is not None and found.max_abs > 0 and found.cosine is not None
    assert len(case.runs) == 1


def test_a_tensor_that_is_changed_in_place_is_compared_as_it_was_before() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU6(inplace=True))
    case = Located(chain, 1, 3, 8, 8)
    assert case.located(lambda module: None) is None
    found = case.located(scale("2.weight"))
    assert found is not None and found.module == "2 (Conv2d)"


def test_without_a_fault_nothing_is_named() -> None:
    assert Located(zoo.tiny()[0], 1, 3, 32, 32).located(lambda module: None) is None


def test_a_tensor_that_is_not_finite_is_named_and_has_no_figures() -> None:
    found = Located(zoo.tiny()[0], 1, 3, 32, 32).located(scale("blocks.0.pointwise.weight", float("nan")))
    assert found is not None and found.module == "blocks.0.pointwise (Conv2d)"
    assert (found.max_abs, found.cosine) == (None, None)


@pytest.mark.parametrize("layer", [0, 1, 17, 28, 29])
def test_a_large_model_is_searched_in_steps(layer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(divergence, "MAX_TAPS", 8)
    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(30)))
    for each in layers:
        nn.init.orthogonal_(each.weight)  # keeps the size of the signal over all the layers
    case = Located(layers, 1, 4)
    found = case.located(scale(f"{layer}.weight"))
    assert found is not None and found.module == f"{layer} (Linear)"
    assert len(case.runs) <= 2 and max(case.runs) <= 8


def test_views_and_whole_numbers_are_not_compared() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            index = x.argmax(1)
            return (x.reshape(2, 2).transpose(0, 1) * 2)[index % 2]

    program = torch.export.export(Net(), (torch.zeros(1, 4),), strict=False)
    kinds = {n.name: str(n.target) for n in program.graph.nodes}
    assert [kinds[name].split(".")[1] for name in eager.comparable(program)] == ["mul", "index"]

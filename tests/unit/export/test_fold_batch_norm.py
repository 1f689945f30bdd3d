from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.export import rewrites
from edgekit.export.archive import load_program, save_program
from edgekit.export.rewrites import fold_batch_norm

IMAGE = (2, 4, 9, 9)


def with_statistics(module: nn.Module, seed: int = 3) -> nn.Module:
    """Norms that move every channel, as training leaves them."""
    torch.manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.3, 2.0)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.uniform_(layer.bias, -0.5, 0.5)
    return module.eval()


class Case:
    """A module exported, rewritten, and run before and after."""

    def __init__(self, module: nn.Module, *shape: int, core_aten: bool = False) -> None:
        self.module = with_statistics(module)
        self.inputs = (torch.randn(shape, generator=torch.Generator().manual_seed(1)),)
        self.weights_before = copy.deepcopy(self.module.state_dict())
        with torch.no_grad():
            self.expected = self.module(*self.inputs)
            self.program = torch.export.export(self.module, self.inputs, strict=False)
        if core_aten:
            self.program = self.program.run_decompositions()
        self.places = fold_batch_norm.apply(self.program)

    def operators(self) -> list[str]:
        return [str(n.target) for n in self.program.graph.nodes if n.op == "call_function"]

    def check(self) -> None:
        """Equal outputs, a valid program without left-over tensors, and an untouched eager module."""
        with torch.no_grad():
            actual = self.program.module()(*self.inputs)
            assert torch.equal(self.module(*self.inputs), self.expected)
        assert torch.allclose(actual, self.expected, rtol=1e-5, atol=1e-5 * float(self.expected.abs().max()))
        for name, before in self.weights_before.items():
            assert torch.equal(self.module.state_dict()[name], before), name
        placeholders = [n for n in self.program.graph.nodes if n.op == "placeholder"]
        specs = self.program.graph_signature.input_specs
        assert [n.name for n in placeholders] == [s.arg.name for s in specs]
        kept = {s.target for s in specs if s.target is not None}
        assert kept == {*self.program.state_dict, *self.program.constants}


FOLDED: dict[str, tuple[Any, tuple[int, ...]]] = {
    "no bias": (lambda: nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6)), IMAGE),
    "bias": (lambda: nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)), IMAGE),
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.BatchNorm2d(8)), IMAGE),
    "not affine, bias": (lambda: nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6, affine=False)), IMAGE),
    "not affine": (lambda: nn.Sequential(nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6, affine=False)), IMAGE),
    "linear": (lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)), (3, 4)),
    "linear, no bias": (lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6)), (3, 4)),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)), (2, 4, 9)),
    "conv3d": (lambda: nn.Sequential(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3)), (1, 2, 5, 5, 5)),
    "large eps": (lambda: nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6, eps=0.7)), IMAGE),
}


# A decomposed linear layer is an addmm or mm, which is left alone.
FORMS = [(name, False) for name in FOLDED] + [(name, True) for name in FOLDED if "linear" not in name]


@pytest.mark.parametrize(("name", "core_aten"), FORMS)
def test_a_norm_is_folded_into_the_layer_before_it(name: str, core_aten: bool) -> None:
    make, shape = FOLDED[name]
    case = Case(make(), *shape, core_aten=core_aten)
    assert case.places == 1
    assert not any("norm" in operator for operator in case.operators())
    assert len(case.program.state_dict) + len(case.program.constants) == 2  # weight and bias
    case.check()


def test_the_rewritten_program_can_be_exported_again_and_saved(tmp_path: Path) -> None:
    make, shape = FOLDED["no bias"]
    case = Case(make(), *shape)
    with torch.no_grad():
        again = torch.export.export(case.program.module(), case.inputs, strict=False)
        assert torch.equal(again.module()(*case.inputs), case.program.module()(*case.inputs))
    save_program(tmp_path, case.program, {})
    loaded, origins = load_program(tmp_path)
    assert origins == {}
    with torch.no_grad():
        assert torch.equal(loaded.module()(*case.inputs), case.program.module()(*case.inputs))
    assert set(loaded.state_dict) == set(case.program.state_dict)


def test_a_chain_of_layers_is_folded_one_by_one() -> None:
    chain = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8),
    )  # fmt: skip
    case = Case(chain, *IMAGE)
    assert case.places == 3
    case.check()


class SharedWeight(nn.Module):
    """One weight, two layers: folding into it would change the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.norm(self.first(x)))


class WeightIsAView(SharedWeight):
    """Two parameters over one storage."""

    def __init__(self) -> None:
        super().__init__()
        self.second.weight = nn.Parameter(self.first.weight.detach().view(4, 4, 1, 1))


class LayerCalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(self.conv(x)))


class OutputUsedTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.norm(y) + y


class WeightIsAlsoRead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)) * self.conv.weight.sum()


class NormWithoutLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(torch.relu(self.conv(x)))


class NormOverRows(nn.Module):
    """A linear layer over the last axis, a norm over the second: their sizes agree, their meaning does not."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(8, 5), nn.BatchNorm1d(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x))


class NormOverRowsOfAnotherSize(NormOverRows):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 7)


class WithoutBatchAxis(nn.Module):
    """An image without a batch axis: the second axis of the convolution's output is its height."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.ConvTranspose2d(4, 4, 2), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


@pytest.mark.parametrize("core_aten", [False, True], ids=["aten", "core aten"])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (SharedWeight, IMAGE), (WeightIsAView, IMAGE), (LayerCalledTwice, IMAGE), (OutputUsedTwice, IMAGE),
        (WeightIsAlsoRead, IMAGE), (NormWithoutLayer, IMAGE), (Transposed, IMAGE), (NormOverRows, (2, 5, 8)),
        (NormOverRowsOfAnotherSize, (2, 5, 8)), (WithoutBatchAxis, (4, 6, 6)),
    ],
)  # fmt: skip
def test_a_norm_that_can_not_be_folded_stays(make: Any, shape: tuple[int, ...], core_aten: bool) -> None:
    case = Case(make(), *shape, core_aten=core_aten)
    assert case.places == 0
    assert any("batch_norm" in operator for operator in case.operators())
    case.check()


def test_a_norm_that_trains_stays() -> None:
    class Trains(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.conv(x))

    module = Trains().eval()
    program = torch.export.export(module, (torch.randn(IMAGE),), strict=False)
    assert fold_batch_norm.apply(program) == 0


def test_a_norm_shared_by_two_layers_is_folded_into_neither_or_correctly() -> None:
    class SharedNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(4, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=True)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.second(self.norm(self.first(x))))

    Case(SharedNorm(), *IMAGE).check()


def test_the_table_of_rewrites_names_itself() -> None:
    assert "fold_batch_norm" in rewrites.names(None)
    assert set(rewrites.names("litert")).isdisjoint(rewrites.names(None))
    make, shape = FOLDED["no bias"]
    program = torch.export.export(with_statistics(make()), (torch.randn(shape),), strict=False)
    assert rewrites.apply_all(program) == ("fold_batch_norm×1",)
    assert rewrites.apply_all(program) == ()

"""What depends on constants alone is computed once, bit by bit as torch computes it, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit.convert import backend as backends
from edgekit.convert import judge, parity
from edgekit.export import rewrites
from edgekit.export.archive import load_program, save_program
from edgekit.export.rewrites import fold_batch_norm, fold_constants


class PositionEmbedding(nn.Module):
    """Resized to the input at run time, as timm's ``dynamic_img_size`` does."""

    def __init__(self, mode: str = "bicubic", antialias: bool = False) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 8, 5, 5))
        self.mode, self.antialias = mode, antialias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[-2:]
        return x + functional.interpolate(self.position, size=size, mode=self.mode, antialias=self.antialias)


class RelativeBias(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(25, 8))
        self.register_buffer("index", torch.randint(0, 25, (36, 36)), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = self.table[self.index.reshape(-1)].reshape(36, 36, 8).permute(2, 0, 1)
        q = x.flatten(2).transpose(1, 2).unsqueeze(1)
        return (q @ q.transpose(-2, -1) + bias).softmax(-1)


class ShiftedWindowMask(nn.Module):
    """Filled by slices in place, as torchvision's Swin does in every inference."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask, count = x.new_zeros((6, 6)), 0
        for rows in ((0, -3), (-3, -2), (-2, None)):
            for columns in ((0, -3), (-3, -2), (-2, None)):
                mask[rows[0] : rows[1], columns[0] : columns[1]] = count
                count += 1
        mask = mask.view(2, 3, 2, 3).permute(0, 2, 1, 3).reshape(4, 9)
        mask = mask.unsqueeze(1) - mask.unsqueeze(2)
        mask = mask.masked_fill(mask != 0, -100.0).masked_fill(mask == 0, 0.0)
        return x.flatten(2).mean(1) @ mask.reshape(36, 9)


class StandardisedWeight(nn.Module):
    """A convolution whose weight is normalised in every inference, with a batch norm behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.conv.weight.reshape(1, 6, -1)
        weight = functional.batch_norm(rows, None, None, training=True, eps=1e-6).reshape_as(self.conv.weight)
        return self.norm(functional.conv2d(x, weight, self.conv.bias, padding=1))


class Grid(nn.Module):
    """Coordinates made from nothing, and pieces of a split constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = torch.meshgrid(torch.arange(6.0), torch.linspace(-1, 1, 6), indexing="ij")
        first, second = torch.stack((rows, columns, rows * columns, columns)).split((1, 3))
        return x * first + second.sum(0) + torch.ones_like(x) * 2


class SameMaskTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = ShiftedWindowMask()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) + self.second(x * 2)


FOLDED: dict[str, tuple[Any, int]] = {
    "bicubic": (PositionEmbedding, 1),
    "antialias": (lambda: PositionEmbedding(antialias=True), 1),
    "bilinear": (lambda: PositionEmbedding("bilinear"), 1),
    "relative bias": (RelativeBias, 1),
    "window mask": (ShiftedWindowMask, 1),
    "standardised weight": (StandardisedWeight, 1),
    "grid": (Grid, 3),
    "the same mask twice": (SameMaskTwice, 2),
}


def image(seed: int = 1) -> torch.Tensor:
    return torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(seed))


def exported(module: nn.Module, x: torch.Tensor) -> torch.export.ExportedProgram:
    torch.manual_seed(0)
    with torch.no_grad():
        return torch.export.export(module.eval(), (x,), strict=False)


def equal(program: torch.export.ExportedProgram, module: nn.Module, x: torch.Tensor) -> bool:
    with torch.no_grad():
        return torch.equal(program.module()(x), module(x))


@pytest.mark.parametrize("name", FOLDED)
def test_a_chain_of_constants_becomes_one_constant(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    make, places = FOLDED[name]
    module, x = make(), image()
    program = exported(module, x)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    assert fold_constants.apply(program) == places
    assert fold_constants.apply(program) == 0
    assert all(torch.equal(module.state_dict()[key], value) for key, value in before.items())
    kept = {spec.target for spec in program.graph_signature.input_specs if spec.target is not None}
    assert kept == {*program.state_dict, *program.constants}
    save_program(tmp_path, program, {})
    for one in (program, load_program(tmp_path)[0]):
        assert equal(one, module, x) and equal(one, module, image(seed=5))


def test_equal_values_are_stored_once() -> None:
    program = exported(SameMaskTwice(), image())
    assert fold_constants.apply(program) == 2
    assert len(program.constants) == 1


def test_a_folded_weight_takes_the_batch_norm_behind_it() -> None:
    torch.manual_seed(2)
    module, x = StandardisedWeight(), image()
    nn.init.uniform_(module.norm.running_var, 0.5, 2.0)
    program = exported(module, x)
    assert fold_constants.apply(program) == 1 and fold_batch_norm.apply(program) == 1
    assert [str(n.target) for n in program.graph.nodes if n.op == "call_function"] == ["aten.conv2d.default"]
    with torch.no_grad():
        assert torch.allclose(program.module()(x), module(x), atol=1e-5)


class WrittenLater(nn.Module):
    """The sum is read before the tensor is complete."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(6)
        mask[:3] = 1.0
        y = x * mask
        mask[3:] = 2.0
        return y + mask.sum()


class WrittenByTheInput(nn.Module):
    """A canvas, onto which the input is copied."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        canvas = torch.ones(1, 8, 8, 8)
        canvas[:, :, 1:7, 1:7] = x
        return canvas * 2


class WrittenThroughAView(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        canvas = torch.zeros(8, 36)
        canvas.view(1, 8, 6, 6).type_as(x).add_(x)
        return canvas.reshape(1, 8, 6, 6) + torch.zeros(8, 36).view(1, 8, 6, 6)


class Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(6)


class ReturnsConstant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, self.weight * 2


class Huge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.randn(8, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum() + self.bias.repeat(1, 600, 600)


@pytest.mark.parametrize("make", [Random, ReturnsConstant, Huge, WrittenByTheInput, WrittenThroughAView])
def test_what_is_not_constant_or_too_large_stays(make: Any) -> None:
    module, x = make(), image()
    program = exported(module, x)
    nodes = [n.name for n in program.graph.nodes]
    folded = fold_constants.apply(program)
    assert folded == (1 if make is WrittenThroughAView else 0)
    assert folded or [n.name for n in program.graph.nodes] == nodes
    if make not in (Random, ReturnsConstant):
        assert equal(program, module, x) and equal(program, module, image(seed=5))


def test_a_tensor_that_is_used_before_its_last_write_stays() -> None:
    module, x = WrittenLater(), image()
    program = exported(module, x)
    fold_constants.apply(program)
    assert any("zeros" in str(n.target) for n in program.graph.nodes)
    assert equal(program, module, x)


def test_a_large_weight_is_reshaped_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_constants, "LIMIT_BYTES", 16)

    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight.t() + torch.arange(12.0).reshape(3, 4)[0]

    module, x = Transposed(), image()
    program = exported(module, x)
    assert fold_constants.apply(program) == 1  # the numbers made from nothing are above the limit
    with torch.no_grad():
        found, wanted = program.module()(x), module(x)
    assert (found - wanted).abs().max() <= fold_constants.BOUND * wanted.abs().max()


@pytest.mark.parametrize("format_name", ["executorch", "coreml"])
def test_an_antialiased_position_embedding_and_a_standardised_weight_convert(format_name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    module, x = nn.Sequential(PositionEmbedding(antialias=True), StandardisedWeight()), image()
    program = exported(module, x)
    rewrites.apply_all(program)
    rewrites.apply_all(program, format_name)
    with torch.no_grad():
        wanted = module(x).numpy()
    info = backends.BACKENDS[format_name]
    path = tmp_path / f"model{info.suffix}"
    conversion = backends.instantiate(info).convert(program, "fp32", path)
    assert not conversion.undelegated_ops
    (found,) = judge.outputs(format_name, path, [x.numpy()[None]])
    assert parity.compare([found], [wanted[None]], "fp32").passed

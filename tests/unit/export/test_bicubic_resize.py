"""A bicubic resize as products with constant matrices: torch's own weights, equal up to the order of sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit.convert import backend as backends
from edgekit.convert import judge, parity
from edgekit.export.archive import load_program, save_program
from edgekit.export.rewrites import bicubic_resize, graph, resample


class Resize(nn.Module):
    """Between two convolutions, as a delegate meets it."""

    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(functional.interpolate(self.before(x), mode="bicubic", **self.how))


def exported(module: nn.Module, x: torch.Tensor) -> torch.export.ExportedProgram:
    with torch.no_grad():
        return torch.export.export(module.eval(), (x,), strict=False)


def difference(program: torch.export.ExportedProgram, module: nn.Module, x: torch.Tensor) -> float:
    """The largest difference, relative to the largest absolute value."""
    with torch.no_grad():
        found, wanted = program.module()(x), module(x)
    assert found.shape == wanted.shape and found.dtype is wanted.dtype
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    "target",
    [
        {"size": (26, 24)}, {"size": (17, 23)}, {"size": (6, 6)}, {"size": (1, 1)}, {"size": (26, 7)},
        {"scale_factor": 2}, {"scale_factor": 2.3}, {"scale_factor": 0.5}, {"scale_factor": (2.0, 1.3)},
        {"scale_factor": 1.7, "recompute_scale_factor": True}, {"size": (150, 301)},
    ],
)  # fmt: skip
def test_a_resize_becomes_products(target: dict[str, Any], align_corners: bool) -> None:
    torch.manual_seed(0)
    module, x = Resize(**target, align_corners=align_corners), torch.randn(2, 3, 13, 12)
    program = exported(module, x)
    assert bicubic_resize.apply(program) == 1
    assert bicubic_resize.apply(program) == 0
    assert not any("bicubic" in str(n.target) for n in program.graph.nodes)
    assert difference(program, module, x) <= bicubic_resize.BOUND


def test_the_rewritten_program_survives_the_archive_and_keeps_its_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = Resize(size=(7, 9)), torch.randn(1, 3, 5, 5)
    program = exported(module, x)
    bicubic_resize.apply(program)
    made = [n for n in program.graph.nodes if n.target is torch.ops.aten.linear.default]
    assert [graph.origin_of(n) for n in made] == ["upsample_bicubic2d"] * 2
    save_program(tmp_path, program, {})
    assert difference(load_program(tmp_path)[0], module, x) <= bicubic_resize.BOUND


def test_equal_resizes_share_their_matrices() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.interpolate(
                functional.interpolate(x, size=(8, 5), mode="bicubic") + 1, size=(13, 8), mode="bicubic"
            ) + (functional.interpolate(x * 2, size=(13, 8), mode="bicubic"))

    module, x = Twice(), torch.randn(1, 2, 5, 5)
    program = exported(module, x)
    assert bicubic_resize.apply(program) == 3
    assert len(program.constants) == 3  # 5 to 8 (three times), 8 to 13, 5 to 13
    assert difference(program, module, x) <= bicubic_resize.BOUND


def test_another_dtype_stays() -> None:
    program = exported(Resize(size=(7, 9)).double(), torch.randn(1, 3, 5, 5).double())
    assert bicubic_resize.apply(program) == 0


def test_a_resize_that_changes_nothing_of_an_input_is_still_not_the_input() -> None:
    class Same(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.interpolate(x, size=(5, 5), mode="bicubic")

    program = exported(Same(), torch.randn(1, 2, 5, 5))
    assert bicubic_resize.apply(program) == 0


@pytest.mark.parametrize("in_place", [True, False])
def test_a_resize_that_changes_nothing_goes_unless_its_copy_is_needed(in_place: bool) -> None:
    class Same(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.relu(x)
            copy = functional.interpolate(y, size=(5, 5), mode="bicubic")
            return y + (copy.mul_(2.0) if in_place else copy * 2.0)

    module, x = Same(), torch.randn(1, 2, 5, 5)
    program = exported(module, x)
    assert bicubic_resize.apply(program) == (0 if in_place else 1)
    assert difference(program, module, x) == 0.0


def test_the_weights_of_an_axis_are_torchs_bit_by_bit() -> None:
    x = torch.randn(1, 1, 1, 9, generator=torch.Generator().manual_seed(3))
    node = next(n for n in exported(Alone(), x).graph.nodes if n.target is torch.ops.aten.upsample_bicubic2d.vec)
    resize = resample.read(node, (torch.ops.aten.upsample_bicubic2d,))
    assert resize is not None and resize.stated(1) and not resize.stated(0)
    weights = resample.matrices(resize)[1]
    for column in range(9):
        unit = torch.zeros(1, 1, 1, 9)
        unit[..., column] = 1.0
        assert torch.equal(Alone()(unit).flatten(), weights[:, column])


class Alone(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(x, scale_factor=(1.0, 1.37), mode="bicubic")


@pytest.mark.parametrize("format_name", ["executorch", "litert", "coreml"])
def test_it_converts_whole_and_at_parity(format_name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = Resize(size=(9, 7)), torch.randn(1, 3, 6, 5)
    program = exported(module, x)
    bicubic_resize.apply(program)
    with torch.no_grad():
        wanted = module(x).numpy()
    info = backends.BACKENDS[format_name]
    path = tmp_path / f"model{info.suffix}"
    conversion = backends.instantiate(info).convert(program, "fp32", path)
    assert not conversion.undelegated_ops
    (found,) = judge.outputs(format_name, path, [x.numpy()[None]])
    assert parity.compare([found], [wanted[None]], "fp32").passed

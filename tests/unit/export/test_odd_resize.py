"""Resizes that a runtime gets wrong or a converter refuses: torch's own weights and positions, written out."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgekit.convert import backend as backends
from edgekit.convert import judge, parity
from edgekit.export.archive import load_program, save_program
from edgekit.export.rewrites import antialiased_resize, nearest_exact_resize, odd_nearest_resize, odd_resize

HALF = {"scale_factor": 0.5}
MIXED = {"scale_factor": (2.0, 1.3)}
STATED = [HALF, MIXED, {"scale_factor": 1.5}, {"scale_factor": 2.3}]
SIZES = [{"size": (17, 23)}, {"size": (6, 6)}, {"size": (26, 7)}, {"scale_factor": 1.7, "recompute_scale_factor": True}]


class Resize(nn.Module):
    """Between two layers, as a delegate meets it."""

    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.conv, self.how = nn.Conv2d(3, 3, 1), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x) if x.dim() == 4 else x * 2
        return functional.interpolate(y, **self.how) + 1


def exported(module: nn.Module, x: torch.Tensor) -> torch.export.ExportedProgram:
    with torch.no_grad():
        return torch.export.export(module.eval(), (x,), strict=False)


def check(rewrite: ModuleType, how: dict[str, Any], shape: tuple[int, ...], places: int = 1) -> None:
    torch.manual_seed(0)
    module, x = Resize(**how), torch.randn(shape)
    program = exported(module, x)
    assert rewrite.apply(program) == places
    assert rewrite.apply(program) == 0
    with torch.no_grad():
        found, wanted = program.module()(x), module(x)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= rewrite.BOUND * wanted.abs().max()


@pytest.mark.parametrize("how", STATED)
def test_a_bilinear_resize_by_a_stated_scale_becomes_products(how: dict[str, Any]) -> None:
    check(odd_resize, {**how, "mode": "bilinear"}, (2, 3, 13, 11))


@pytest.mark.parametrize("how", [*SIZES, {"scale_factor": 2}, {**HALF, "align_corners": True}])
def test_a_bilinear_resize_by_its_sizes_stays(how: dict[str, Any]) -> None:
    check(odd_resize, {**how, "mode": "bilinear"}, (2, 3, 13, 12), places=0)


@pytest.mark.parametrize(
    "how", [{"size": 23}, {"scale_factor": 2}, {"scale_factor": 0.7}, {"size": 4, "align_corners": True}]
)
def test_a_linear_resize_of_one_axis_becomes_a_product(how: dict[str, Any]) -> None:
    check(odd_resize, {**how, "mode": "linear"}, (2, 3, 13))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("how", STATED + SIZES)
def test_an_antialiased_resize_becomes_products(how: dict[str, Any], align_corners: bool, mode: str) -> None:
    check(antialiased_resize, {**how, "mode": mode, "align_corners": align_corners, "antialias": True}, (2, 3, 13, 12))


def test_torchs_own_antialiasing_of_a_result_one_pixel_wide_stays() -> None:
    how = {"mode": "bilinear", "antialias": True}
    check(antialiased_resize, {**how, "size": (7, 1)}, (1, 3, 13, 1), places=0)
    check(antialiased_resize, {**how, "size": (7, 5)}, (1, 3, 13, 1))


@pytest.mark.parametrize("how", STATED + SIZES)
def test_an_odd_nearest_resize_becomes_selections(how: dict[str, Any]) -> None:
    check(odd_nearest_resize, {**how, "mode": "nearest"}, (2, 3, 13, 11))


@pytest.mark.parametrize(
    "how", [{"scale_factor": 2}, {"scale_factor": (3.0, 1.0)}, {"size": (26, 12)}, {"size": (13, 12)}]
)
def test_a_nearest_resize_by_whole_factors_stays(how: dict[str, Any]) -> None:
    check(odd_nearest_resize, {**how, "mode": "nearest"}, (2, 3, 13, 12), places=0)


@pytest.mark.parametrize("shape", [(2, 3, 13, 11), (2, 3, 13)])
@pytest.mark.parametrize(
    "how", [HALF, {"scale_factor": 1.3}, {"scale_factor": 2.3}, {"scale_factor": 1.7, "recompute_scale_factor": True}]
)
def test_a_nearest_exact_resize_becomes_selections(how: dict[str, Any], shape: tuple[int, ...]) -> None:
    check(nearest_exact_resize, {**how, "mode": "nearest-exact"}, shape)


@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (2, 3, 7)])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_a_nearest_exact_resize_by_a_whole_factor_becomes_a_nearest_one(factor: int, shape: tuple[int, ...]) -> None:
    how = {"scale_factor": factor, "mode": "nearest-exact"}
    check(nearest_exact_resize, how, shape)
    program = exported(Resize(**how), torch.randn(shape))
    nearest_exact_resize.apply(program)
    assert any("upsample_nearest" in str(n.target) for n in program.graph.nodes)


def test_where_torchs_rounding_sets_the_two_nearest_apart_the_exact_one_is_kept() -> None:
    # 41 * float32(1 / 41) is below 1, so nearest repeats the first row 42 times and nearest-exact 41 times.
    how = {"scale_factor": 41, "mode": "nearest-exact"}
    check(nearest_exact_resize, how, (1, 3, 7, 5))
    program = exported(Resize(**how), torch.randn(1, 3, 7, 5))
    nearest_exact_resize.apply(program)
    assert any("index_select" in str(n.target) for n in program.graph.nodes)


@pytest.mark.parametrize("rewrite", [antialiased_resize, odd_resize, odd_nearest_resize, nearest_exact_resize])
def test_another_dtype_stays(rewrite: ModuleType) -> None:
    modes = {odd_resize: "bilinear", odd_nearest_resize: "nearest", nearest_exact_resize: "nearest-exact"}
    how = {"mode": modes.get(rewrite, "bicubic"), "antialias": rewrite is antialiased_resize, **HALF}
    program = exported(Resize(**how).double(), torch.randn(1, 3, 13, 11).double())
    assert rewrite.apply(program) == 0


# What each converter gets wrong, or refuses, without the rewrite.
BROKEN: list[tuple[str, ModuleType, dict[str, Any]]] = [
    ("executorch", odd_resize, {**HALF, "mode": "bilinear"}),
    ("litert", odd_resize, {**MIXED, "mode": "bilinear"}),
    ("litert", odd_nearest_resize, {**HALF, "mode": "nearest"}),
    ("coreml", odd_nearest_resize, {**MIXED, "mode": "nearest"}),
    ("coreml", nearest_exact_resize, {"size": (17, 23), "mode": "nearest-exact"}),
    ("coreml", antialiased_resize, {"size": (7, 5), "mode": "bilinear", "antialias": True}),
    ("onnx", antialiased_resize, {**HALF, "mode": "bicubic", "antialias": True}),
]


@pytest.mark.parametrize(("format_name", "rewrite", "how"), BROKEN)
def test_it_converts_at_parity(format_name: str, rewrite: ModuleType, how: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = Resize(**how), torch.randn(1, 3, 13, 11)
    program = exported(module, x)
    assert rewrite.apply(program) == 1
    save_program(tmp_path, program, {})
    with torch.no_grad():
        wanted = module(x).numpy()
    info = backends.BACKENDS[format_name]
    path = tmp_path / f"model{info.suffix}"
    backends.instantiate(info).convert(load_program(tmp_path)[0], "fp32", path)
    (found,) = judge.outputs(format_name, path, [x.numpy()[None]])
    assert parity.compare([found], [wanted[None]], "fp32").passed

"""Patches taken and put back without indices: bit by bit what torch gives."""

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
from edgekit.export.rewrites import fold_unfold

# kernel, dilation, padding, stride
PATCHES = [
    (2, 1, 0, 2), (3, 1, 1, 1), (3, 1, 1, 2), (3, 2, 1, 2), (1, 1, 0, 1), (1, 1, 0, 2), ((3, 2), 1, (1, 0), (2, 1)),
    (2, 1, 1, 2), ((2, 3), 1, 0, (2, 3)), (2, 1, 0, 3), (4, 1, 2, 3),
]  # fmt: skip


class Unfold(nn.Module):
    def __init__(self, patches: tuple[Any, ...]) -> None:
        super().__init__()
        self.patches = patches

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.unfold(x, *self.patches)


class Fold(Unfold):
    def __init__(self, patches: tuple[Any, ...], size: tuple[int, int]) -> None:
        super().__init__(patches)
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.fold(x, self.size, *self.patches)


class Windows(nn.Module):
    def __init__(self, axis: int, size: int, step: int) -> None:
        super().__init__()
        self.windows = (axis, size, step)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unfold(*self.windows)


class Outlook(nn.Module):
    """VOLO's outlook attention (Yuan et al. 2021, arXiv:2106.13112, algorithm 1), two heads, windows of 3 x 3."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.scores, self.project = nn.Linear(8, 8, bias=False), nn.Linear(8, 162), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, h, w, c = x.shape
        v = functional.unfold(self.value(x).permute(0, 3, 1, 2), 3, padding=1)
        v = v.reshape(b * 2, c // 2, 9, h * w).permute(0, 3, 2, 1).reshape(-1, 9, c // 2)
        a = self.scores(x).reshape(b, h * w, 2, 81).permute(0, 2, 1, 3).reshape(-1, 9, 9)
        y = (
            torch.bmm((a * 0.5).softmax(-1), v)
            .reshape(b * 2, h * w, 9, c // 2)
            .permute(0, 3, 2, 1)
            .reshape(b, c * 9, h * w)
        )
        return self.project(functional.fold(y, (h, w), 3, padding=1).permute(0, 2, 3, 1))


def exported(module: nn.Module, x: torch.Tensor) -> torch.export.ExportedProgram:
    with torch.no_grad():
        return torch.export.export(module.eval(), (x,), strict=False)


def check(module: nn.Module, x: torch.Tensor, places: int = 1, bound: float = 0.0) -> torch.export.ExportedProgram:
    program = exported(module, x)
    assert fold_unfold.apply(program) == places
    assert fold_unfold.apply(program) == 0
    with torch.no_grad():
        found, wanted = program.module()(x), module(x)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= bound * wanted.abs().max()
    return program


def operators(program: torch.export.ExportedProgram) -> set[str]:
    return {str(n.target) for n in program.graph.nodes if n.op == "call_function"}


@pytest.mark.parametrize("patches", PATCHES)
@pytest.mark.parametrize("size", [(12, 9), (8, 6)])
def test_patches_are_taken_and_put_back(patches: tuple[Any, ...], size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    check(Unfold(patches), x)
    check(Fold(patches, size), torch.randn_like(functional.unfold(x, *patches)))


def test_patches_that_do_not_overlap_are_only_moved() -> None:
    moves = {"aten.reshape.default", "aten.permute.default"}
    assert operators(check(Unfold((2, 1, 0, 2)), torch.randn(1, 4, 8, 6))) == moves
    assert operators(check(Fold((2, 1, 0, 2), (8, 6)), torch.randn(1, 16, 12))) == moves


@pytest.mark.parametrize(("axis", "size", "step"), [(2, 4, 2), (3, 4, 4), (-1, 3, 5), (0, 2, 2), (1, 2, 1), (2, 13, 1)])
def test_windows_along_an_axis(axis: int, size: int, step: int) -> None:
    check(Windows(axis, size, step), torch.randn(3, 4, 13, 14))


def test_outlook_attention_keeps_its_value_and_every_rank_at_four(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = Outlook(), torch.randn(1, 6, 5, 8)
    program = check(module, x, places=2, bound=fold_unfold.BOUND)
    made = [n for n in program.graph.nodes if n.op == "call_function"]
    assert max(n.meta["val"].dim() for n in made) == 4
    save_program(tmp_path, program, {})
    with torch.no_grad():
        assert torch.equal(load_program(tmp_path)[0].module()(x), program.module()(x))


def test_what_is_not_one_batch_of_float32_images_stays() -> None:
    for module, x in (
        (Unfold((3, 1, 1, 1)), torch.randn(3, 6, 5)),
        (Fold((2, 1, 0, 2), (8, 6)), torch.randn(16, 12)),
        (Unfold((3, 1, 1, 1)), torch.randn(1, 3, 6, 5).double()),
        (Windows(1, 2, 1), torch.randn(2, 70)),  # one slice for each of 69 windows
    ):
        assert fold_unfold.apply(exported(module, x)) == 0


class WrittenIntoAfterwards(nn.Module):
    """A patch of one pixel would be a view of the input that the operator copies; a window is a view indeed."""

    def __init__(self, windows: bool) -> None:
        super().__init__()
        self.windows = windows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(x)
        patches = y.unfold(2, 2, 2) if self.windows else functional.unfold(y, 1)
        y.add_(1.0)
        return patches * 2 + y.sum()


@pytest.mark.parametrize("windows", [True, False])
def test_patches_of_a_tensor_that_is_written_into_afterwards_stay(windows: bool) -> None:
    module, x = WrittenIntoAfterwards(windows), torch.randn(1, 2, 4, 4)
    check(module, x, places=0)


def test_several_patch_operators_share_one_kernel() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.unfold(x, 3, padding=1) * functional.unfold(x * 2, 3, padding=1)

    assert len(check(Twice(), torch.randn(1, 4, 5, 5), places=2).constants) == 1


FORMATS = [("executorch", "outlook"), ("litert", "outlook"), ("litert", "windows"), ("coreml", "fold")]


@pytest.mark.parametrize(("format_name", "what"), FORMATS)
def test_it_converts_whole_and_at_parity(format_name: str, what: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = {
        "outlook": (Outlook(), torch.randn(1, 6, 5, 8)),
        "fold": (Fold((3, 1, 1, 2), (8, 6)), torch.randn(1, 36, 12)),
        "windows": (Windows(2, 4, 2), torch.randn(1, 3, 12, 5)),
    }[what]
    program = check(module, x, places=2 if what == "outlook" else 1, bound=fold_unfold.BOUND)
    with torch.no_grad():
        wanted = module(x).numpy()
    info = backends.BACKENDS[format_name]
    path = tmp_path / f"model{info.suffix}"
    conversion = backends.instantiate(info).convert(program, "fp32", path)
    assert not conversion.undelegated_ops
    (found,) = judge.outputs(format_name, path, [x.numpy()[None]])
    assert parity.compare([found], [wanted[None]], "fp32").passed

"""A maximum of differences with a common operand becomes one difference, bit by bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import convert, exported, prove, random, refuse, targets
from torch import nn

from edgekit.export.rewrites import fold_constants, max_relative
from edgekit.model.zoo import mobilevig, mobilevigv2

X = random(1, 3, 7, 7)


class GraphConv(nn.Module):
    """As MobileViG's authors publish it: slices that are concatenated, one maximum per shift."""

    def __init__(self, step: int = 2, channels: int = 3) -> None:
        super().__init__()
        self.step, self.mix = step, nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, _, height, width = x.shape
        largest = x - x
        for i in range(self.step, height, self.step):
            rolled = torch.cat([x[:, :, -i:, :], x[:, :, :-i, :]], dim=2)
            largest = torch.max(largest, x - rolled)
        for i in range(self.step, width, self.step):
            rolled = torch.cat([x[:, :, :, -i:], x[:, :, :, :-i]], dim=3)
            largest = torch.max(largest, x - rolled)
        return self.mix(torch.cat([x, largest], dim=1))


def rolled_from_zeros(x: torch.Tensor) -> torch.Tensor:
    largest = torch.zeros_like(x)
    for i in (1, 2):
        largest = torch.maximum(x - torch.roll(x, i, 2), largest)
    return largest


def without_an_accumulator(x: torch.Tensor) -> torch.Tensor:
    return torch.maximum(x - x.flip(2), torch.maximum(x - x.flip(3), x - x.transpose(2, 3)))


def neighbours_less_x(x: torch.Tensor) -> torch.Tensor:
    return torch.maximum(torch.maximum(x.flip(2) - x, x - x), x.flip(3) - x)


def masked_neighbours(x: torch.Tensor) -> torch.Tensor:
    """GreedyViG: only neighbours that are near count."""
    largest = x - x
    for axis in (2, 3):
        rolled = torch.roll(x, 2, axis)
        near = ((x - rolled).abs().sum(1, keepdim=True) < 3.0).float()
        largest = torch.max(largest, rolled * near - x)
    return largest


def with_another_operand(x: torch.Tensor) -> torch.Tensor:
    return torch.maximum(torch.maximum(x - x.flip(2), torch.sin(x)), x - x.flip(3))


def two_minuends(x: torch.Tensor) -> torch.Tensor:
    y = torch.sin(x)
    a, b = x.flip(2), x.flip(3)
    return torch.maximum(torch.maximum(x - a, x - b), torch.maximum(y - a.neg(), y - b.neg()))


def one_neighbour(x: torch.Tensor) -> torch.Tensor:
    return torch.maximum(x - x, x - x.flip(2))


# model -> how many of subtraction, maximum, minimum and ReLU are left
CASES: dict[Any, tuple[int, int, int, int]] = {
    rolled_from_zeros: (1, 0, 1, 1),
    without_an_accumulator: (1, 0, 2, 0),
    neighbours_less_x: (1, 1, 0, 1),
    masked_neighbours: (3, 1, 0, 1),
    with_another_operand: (1, 1, 1, 0),
    two_minuends: (2, 1, 2, 0),
    one_neighbour: (1, 0, 0, 1),
}
OPERATORS = ("aten.sub.Tensor", "aten.maximum.default", "aten.minimum.default", "aten.relu.default")


@pytest.mark.parametrize("function", CASES)
@pytest.mark.parametrize("size", [1.0, 1e-42, 3e38])
def test_the_differences_become_one_bit_by_bit(function: Callable[[torch.Tensor], torch.Tensor], size: float) -> None:
    x = X.clamp(-1, 1) * size
    program = prove_with_constants(function, x)
    counts = Counter(targets(program))
    assert tuple(counts[name] for name in OPERATORS) == CASES[function]


def prove_with_constants(function: Any, x: torch.Tensor) -> torch.export.ExportedProgram:
    if function is not rolled_from_zeros:
        return prove(max_relative, function, x)
    program = exported(function, x)
    fold_constants.apply(program)  # zeros_like is a constant by then
    assert (max_relative.apply(program), max_relative.apply(program)) == (1, 0)
    assert torch.equal(program.module()(x), function(x))
    return program


@pytest.mark.parametrize(("step", "size"), [(2, 7), (2, 8), (3, 10)])
def test_the_published_graph_convolution(step: int, size: int) -> None:
    torch.manual_seed(0)
    program = prove(max_relative, GraphConv(step), random(2, 3, size, size))
    shifts = 2 * len(range(step, size, step))
    counts = Counter(targets(program))
    assert tuple(counts[name] for name in OPERATORS) == (1, 0, shifts - 1, 1)
    assert counts["aten.max.other"] == 0


@pytest.mark.parametrize("block", [mobilevig.GraphConv(4, 2), mobilevigv2.GraphConv(4, 2)])
def test_the_zoos_own_blocks(block: nn.Module) -> None:
    assert "aten.relu.default" in targets(prove(max_relative, block, random(1, 4, 7, 7)))


def test_a_nan_stays_a_nan_and_ties_stay_zero() -> None:
    x = torch.randint(-2, 3, (1, 3, 7, 7), generator=torch.Generator().manual_seed(0)).float()
    x[0, 0, 3, 3] = torch.nan
    prove(max_relative, GraphConv(), x)
    prove(max_relative, masked_neighbours, x)


def read_twice(x: torch.Tensor) -> Any:
    first = x - x.flip(2)
    return torch.maximum(first, x - x.flip(3)), first


def different_operands(x: torch.Tensor) -> Any:
    return torch.maximum(x - x.flip(2), torch.sin(x) - x.flip(3))


def with_a_factor(x: torch.Tensor) -> Any:
    return torch.maximum(torch.sub(x, x.flip(2), alpha=2), torch.sub(x, x.flip(3), alpha=2))


def broadcast(x: torch.Tensor) -> Any:
    return torch.maximum(x - x.mean(1, keepdim=True), x - x.mean(2, keepdim=True))


def inner_maximum_is_read(x: torch.Tensor) -> Any:
    inner = torch.maximum(torch.sin(x), x - x.flip(2))
    return torch.maximum(inner, torch.cos(x)), inner


def overwritten(x: torch.Tensor) -> Any:
    y = torch.sin(x)
    first = x - y
    y.neg_()
    return torch.maximum(first, x - y)


@pytest.mark.parametrize(
    "function", [read_twice, different_operands, with_a_factor, broadcast, inner_maximum_is_read, overwritten]
)
def test_a_near_miss_stays(function: Callable[[torch.Tensor], Any]) -> None:
    refuse(max_relative, function, X)


def test_another_dtype_stays() -> None:
    refuse(max_relative, without_an_accumulator, X.double())


def test_xnnpack_runs_half_the_operators(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before, _ = convert("executorch", tmp_path, GraphConv(), X, without=("max_relative",))
    after, parity = convert("executorch", tmp_path, GraphConv(), X)
    assert parity.passed and after.partitions == 1
    assert before.operators is not None and after.operators is not None
    # 7 subtractions and 6 maxima against 5 minima, 1 subtraction and 1 ReLU
    assert before.operators - after.operators >= 6

"""Means over any axes but the batch are the one mean that XNNPACK takes, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rewrite_proof import Function, Program, convert, error, exported, prove, random, refuse
from torch import nn

from edgekit.export.rewrites import delegated_mean

CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "image without its axes": ((2, 8, 7, 5), (2, 3)),
    "negative": ((1, 448, 7, 7), (-1, -2)),
    "channels last": ((2, 7, 7, 24), (1, 2)),
    "channels": ((2, 64, 14, 14), (1,)),
    "rows": ((2, 6, 5, 7), (2,)),
    "last of four": ((1, 8, 6, 6), (3,)),
    "all but the batch": ((2, 3, 5, 4), (1, 2, 3)),
    "tokens": ((1, 197, 192), (1,)),
    "width of tokens": ((3, 197, 192), (2,)),
    "tokens and width": ((2, 9, 16), (1, 2)),
    "vectors": ((4, 300), (1,)),
    "five axes": ((1, 3, 4, 5, 6), (2, 3)),
}
X = random(1, 8, 6, 6)
Head = Callable[[torch.Tensor], torch.Tensor]


def means(program: Program) -> list[tuple[object, ...]]:
    return [n.args[1:] for n in program.graph.nodes if str(n.target) == "aten.mean.dim"]


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_mean_becomes_a_spatial_one(case: str, keepdim: bool) -> None:
    shape, axes = CASES[case]
    if keepdim and case in ("image without its axes", "negative"):
        refuse(delegated_mean, lambda x: x.mean(axes, keepdim=True), random(*shape))
        return
    model, x = Function(lambda x: x.mean(axes, keepdim=keepdim) + 1), random(*shape) * 3 + 1
    program = prove(delegated_mean, model, x)
    assert error(program, model, x) == 0
    assert means(program) == [([2, 3], True)]


FROM_IMAGES: list[Head] = [
    lambda x: x.flatten(2).transpose(1, 2).mean(1),
    lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
]


@pytest.mark.parametrize("form", FROM_IMAGES)
def test_tokens_of_an_image_are_averaged_in_the_same_order(form: Head) -> None:
    assert error(prove(delegated_mean, form, X), form, X) == 0


def test_another_memory_order_costs_rounding_at_the_most() -> None:
    prove(delegated_mean, lambda x: x.mean(1), random(2, 33, 14, 7).to(memory_format=torch.channels_last))
    prove(delegated_mean, lambda x: x.transpose(1, 3).mean(2), random(2, 33, 14, 7))


def test_a_mean_in_two_places_is_found_twice() -> None:
    program = exported(lambda x: x.mean(1, keepdim=True) * x + x.mean((2, 3), keepdim=True).mean(1, True), X)
    assert delegated_mean.apply(program) == 2


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.mean((2, 3), keepdim=True),
        lambda x: x.mean((-2, -1), True),
        lambda x: x.mean(),
        lambda x: x.mean((0, 1)),
        lambda x: x.mean((1, 3)),
        lambda x: x.mean([]),
        lambda x: x.mean((2, 3), dtype=torch.float64),
        lambda x: x.double().mean((2, 3)),
        lambda x: x.sum((2, 3)),
    ],
)
def test_what_xnnpack_takes_and_what_it_never_will_stays(form: Head) -> None:
    refuse(delegated_mean, form, X)


class Net(nn.Module):
    def __init__(self, head: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head, self.use = nn.Conv2d(8, 16, 3, padding=1), nn.Linear(16, 5), head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.use(self.head, torch.relu(self.stem(x)))


HEADS: dict[str, Callable[[nn.Module, torch.Tensor], torch.Tensor]] = {
    "EfficientFormerV2's head": lambda head, x: head(x.mean((2, 3))),
    "EfficientFormer's head": lambda head, x: head(x.flatten(2).transpose(1, 2).mean(1)),
    "Swin's head": lambda head, x: head(x.permute(0, 2, 3, 1).mean((1, 2))),
    "spatial attention": lambda head, x: x * x.mean(1, keepdim=True),
    "column": lambda head, x: x * torch.sigmoid(x.mean(2, keepdim=True)),
    "row": lambda head, x: x * torch.sigmoid(x.mean(3, keepdim=True)),
    "normalised tokens": lambda head, x: head((t := x.flatten(2).transpose(1, 2)) - t.mean(-1, keepdim=True)),
}


@pytest.mark.parametrize("name", HEADS)
def test_xnnpack_takes_the_whole_model(name: str, tmp_path: Path) -> None:
    conversion, parity = convert("executorch", tmp_path, Net(HEADS[name]), X)
    assert parity.passed and parity.max_abs is not None and parity.max_abs < 2e-6
    assert conversion.partitions == 1 and not conversion.undelegated_ops
    before, _ = convert("executorch", tmp_path, Net(HEADS[name]), X, without=("delegated_mean",))
    assert before.partitions == 2 and [op.op for op in before.undelegated_ops or ()] == ["aten.mean.out"]

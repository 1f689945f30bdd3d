"""Any permute is a sequence of permutes of at most four axes, bit by bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from rewrite_proof import Program, prove, random, refuse
from torch import Tensor

from edgekit.export.rewrites import rank4_permute

SIZES = (2, 3, 4, 5, 6, 7, 2)


def permute_ranks(program: Program) -> list[int]:
    nodes = [n for n in program.graph.nodes if n.target is torch.ops.aten.permute.default]
    return [len(n.meta["val"].shape) for n in nodes]


@pytest.mark.parametrize("rank", [5, 6])
def test_every_order_is_reached_by_small_permutes(rank: int) -> None:
    x = torch.arange(math.prod(SIZES[:rank])).reshape(SIZES[:rank])
    for order in permutations(range(rank)):
        sizes, reduced = rank4_permute.merged(SIZES[:rank], order)
        y = x
        for shape, turn in rank4_permute.steps(sizes, reduced):
            assert len(shape) <= 4 and len(turn) == len(shape)
            y = y.reshape(shape).permute(turn)
        assert torch.equal(y.reshape(x.permute(order).shape), x.permute(order))


@pytest.mark.parametrize("order", [(6, 5, 4, 3, 2, 1, 0), (0, 2, 4, 6, 1, 3, 5), (3, 0, 6, 1, 5, 2, 4)])
def test_seven_axes_are_reached_as_well(order: tuple[int, ...]) -> None:
    program = prove(rank4_permute, lambda x: x.permute(order) + 1, random(*SIZES))
    assert permute_ranks(program) and max(permute_ranks(program)) <= 4


# what models do with windows, heads and shuffles -> how many small permutes it takes
FORMS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...], int]] = {
    "queries, keys and values": (lambda x: x.permute(2, 0, 3, 1, 4) * 2, (1, 6, 3, 2, 8), 1),
    "windows": (lambda x: x.permute(0, 1, 3, 2, 4, 5) * 2, (2, 3, 4, 5, 4, 6), 1),
    "a grid": (lambda x: x.permute(0, 2, 4, 1, 3, 5) * 2, (1, 4, 3, 4, 5, 6), 2),
    "pixel shuffle": (lambda x: x.permute(0, 1, 4, 2, 5, 3) * 2, (1, 3, 2, 2, 5, 6), 2),
    "channel shuffle": (lambda x: x.transpose(1, 2) * 2, (2, 3, 4, 5, 6), 1),
    "moved axes": (lambda x: x.movedim((1, 2), (-1, 0)) * 2, (2, 3, 4, 5, 6), 1),
    "only units move": (lambda x: x.permute(1, 0, 3, 2, 4) * 2, (1, 6, 3, 1, 8), 0),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_models_do_is_one_or_two_permutes(form: str) -> None:
    function, shape, count = FORMS[form]
    program = prove(rank4_permute, function, random(*shape))
    assert len(permute_ranks(program)) == count and max(permute_ranks(program), default=0) <= 4


def test_a_view_behind_a_permute_still_works() -> None:
    prove(rank4_permute, lambda x: x.permute(0, 2, 4, 1, 3).contiguous().view(2, -1) * 2, random(2, 3, 4, 5, 6))


def test_small_permutes_and_those_that_are_written_into_stay() -> None:
    def writes(x: Tensor) -> Tensor:
        y = x * 1
        y.permute(4, 3, 2, 1, 0).add_(1)
        return y

    refuse(rank4_permute, lambda x: x.permute(3, 2, 1, 0) * 2, random(2, 3, 4, 5))
    refuse(rank4_permute, writes, random(2, 3, 4, 5, 6))

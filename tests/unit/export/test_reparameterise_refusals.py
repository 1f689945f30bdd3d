"""Parallel branches that stay: they would cost multiplications, or somebody would notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from branched_models import Pair, Position, Residual, X
from rewrite_proof import exported, refuse
from torch import nn
from torch.nn import functional

from edgekit.export.rewrites import aliasing, reparameterise

NOT_MERGED = {
    "a dense 1x1 and a depthwise 7x7": (nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 7, padding=3, groups=6)),
    "1x3 and 3x1": (nn.Conv2d(6, 6, (1, 3), padding=(0, 1)), nn.Conv2d(6, 6, (3, 1), padding=(1, 0))),
    "two dilations": (nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=3, dilation=3)),
}


@pytest.mark.parametrize("name", NOT_MERGED)
def test_what_would_cost_multiplications_stays(name: str) -> None:
    refuse(reparameterise, Pair(*NOT_MERGED[name]), X)


class Refused(nn.Module):
    def __init__(self, forward: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.map = nn.Parameter(torch.rand(9, 8))
        self.function = forward

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def shared_weight(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) + functional.conv2d(x, m.conv.weight)[..., :1, :1]


def weight_used_twice(m: Any, x: torch.Tensor) -> Any:
    return (
        functional.conv2d(x, m.conv.weight, padding=1) + functional.conv2d(torch.relu(x), m.conv.weight, padding=1) * 2
    )


def branch_read_elsewhere(m: Any, x: torch.Tensor) -> Any:
    y = m.conv(x)
    return y + m.other(x), torch.relu(y)


def scale_per_pixel(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) * m.map


def scale_that_depends_on_x(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) * x.mean((2, 3), keepdim=True)


def broadcast_branch(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) + m.other(x.mean((2, 3), keepdim=True))


def different_inputs(m: Any, x: torch.Tensor) -> Any:
    return m.conv(x) + m.other(torch.relu(x))


def training_norm(m: Any, x: torch.Tensor) -> Any:
    return x + functional.batch_norm(x, None, None, training=True)


def activation_between(m: Any, x: torch.Tensor) -> Any:
    return torch.relu(m.conv(x)) + torch.relu(m.other(x))


def overwritten_in_between(m: Any, x: torch.Tensor) -> Any:
    hidden = x * x
    first = m.conv(hidden)
    hidden.relu_()  # the second convolution reads another tensor than the first
    return first + m.other(hidden)


def result_seen_through_a_view(m: Any, x: torch.Tensor) -> Any:
    y = m.conv(x)
    corner = y[:, :, :1, :1]
    y += m.other(x)  # changes the corner, too
    return y, corner * 2


def copy_that_is_overwritten(m: Any, x: torch.Tensor) -> Any:
    hidden = x * x
    copy = hidden + 0
    return copy.relu_() * hidden


@pytest.mark.parametrize(
    "forward",
    [
        shared_weight, weight_used_twice, branch_read_elsewhere, scale_per_pixel, scale_that_depends_on_x,
        broadcast_branch, different_inputs, training_norm, activation_between, overwritten_in_between,
        result_seen_through_a_view, copy_that_is_overwritten,
    ],
)  # fmt: skip
def test_a_near_miss_stays(forward: Callable[[Any, torch.Tensor], Any]) -> None:
    refuse(reparameterise, Refused(forward), X)


def test_another_dtype_stays() -> None:
    refuse(reparameterise, Position().double(), X.double())


def test_a_scale_that_float16_could_not_hold_stays() -> None:
    model = Residual(nn.Conv2d(6, 6, 3, padding=1), (6, 1, 1))
    model.gamma.data.fill_(1e-5)
    refuse(reparameterise, model, X)


def test_writes_that_nobody_misses_are_no_obstacle_and_others_are_seen() -> None:
    def harmless(x: torch.Tensor) -> torch.Tensor:
        return (x * 2).relu_() + 1

    def read_again(x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        view = y[:1]
        y.relu_()
        return view + 1

    for function, safe in ((harmless, True), (read_again, False)):
        program = exported(function, X)
        product = next(n for n in program.graph.nodes if "mul" in n.name)
        aliases = aliasing.Aliases(program)
        assert aliases.functional(product) is safe
        assert aliases.written(product)

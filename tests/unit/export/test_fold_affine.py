"""A scale and offset per channel goes into the layers around it: where, through what, and where not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import convert, error, exported, prove, random, refuse, targets
from torch import nn
from torch.nn import functional

from edgekit.export.rewrites import fold_affine, fold_constants, graph, reparameterise

TOKENS = random(2, 9, 6)
IMAGE = random(2, 6, 8, 6)


class RepNorm(nn.Module):
    """SLAB's re-parameterised batch norm over (batch, tokens, channels)."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.alpha, self.norm = nn.Parameter(torch.tensor([0.7])), nn.BatchNorm1d(channels)
        generator = torch.Generator().manual_seed(2)
        self.norm.running_mean.uniform_(-0.5, 0.5, generator=generator)
        self.norm.running_var.uniform_(0.3, 2.0, generator=generator)
        nn.init.uniform_(self.norm.weight, 0.5, 1.5, generator=generator)
        nn.init.uniform_(self.norm.bias, -0.5, 0.5, generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2)
        x = self.norm(x) + self.alpha * x
        return x.transpose(1, 2)


class Net(nn.Module):
    """A forward over some layers, written where it is used."""

    def __init__(self, forward: Callable[[Any, torch.Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.norm = RepNorm()
        self.norm2d = nn.BatchNorm2d(6)
        self.norm2d.load_state_dict(self.norm.norm.state_dict())
        self.linear, self.other = nn.Linear(6, 5), nn.Linear(6, 4, bias=False)
        self.point, self.patch = nn.Conv2d(6, 6, 1, groups=2), nn.Conv2d(6, 8, 2, stride=2, bias=False)
        self.padded = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.first, self.second = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(3, 4, 3, padding=1)
        self.function = forward

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def block(m: Any, x: torch.Tensor) -> Any:
    return m.linear(m.norm(x))


def two_readers(m: Any, x: torch.Tensor) -> Any:
    y = m.norm(x)
    return m.linear(y), m.other(y)


def windows(m: Any, x: torch.Tensor) -> Any:
    y = torch.roll(m.norm(x).view(2, 3, 3, 6), (1, 1), (1, 2))
    return m.linear(y.permute(0, 2, 1, 3).contiguous().view(2, 9, 6)[:, 1:])


def pooled(m: Any, x: torch.Tensor) -> Any:
    return m.linear(m.norm(x).mean(1))


def class_token(m: Any, x: torch.Tensor) -> Any:
    return m.linear(m.norm(x)[:, 0])


def by_a_number(m: Any, x: torch.Tensor) -> Any:
    return m.linear((x - 0.5) / 0.25)


def grouped_convolution(m: Any, x: torch.Tensor) -> Any:
    return m.point(m.norm2d(x))


def input_normalisation(m: Any, x: torch.Tensor) -> Any:
    return m.patch((x - m.norm2d.running_mean[:, None, None]) * m.norm2d.weight[:, None, None])


def scale_before_padding(m: Any, x: torch.Tensor) -> Any:
    return m.padded(x * m.norm2d.weight[None, :, None, None])


def tokens_of_an_image(m: Any, x: torch.Tensor) -> Any:
    return m.linear(m.norm2d(x).flatten(2).transpose(1, 2))


def image_of_tokens(m: Any, x: torch.Tensor) -> Any:
    return m.point((m.norm(x) * 2).transpose(1, 2).reshape(2, 6, 3, 3))


def behind_a_flattened_linear(m: Any, x: torch.Tensor) -> Any:
    y = m.other(x)
    return torch.relu((y.flatten(0, 1) * m.linear.weight[0, :4]).reshape_as(y))


def behind_a_patch_embedding(m: Any, x: torch.Tensor) -> Any:
    return torch.relu(m.norm(m.point(x).flatten(2).transpose(1, 2)))


def behind_concatenated_convolutions(m: Any, x: torch.Tensor) -> Any:
    first, second = x.split(3, 1)
    return functional.relu(m.norm2d(torch.cat([m.first(first), m.second(second)], 1)), inplace=True)


def behind_a_resize(m: Any, x: torch.Tensor) -> Any:
    y = functional.interpolate(m.point(x), scale_factor=2, mode="bilinear")
    return functional.relu(m.norm2d(y), inplace=True)


def before_a_resize(m: Any, x: torch.Tensor) -> Any:
    return m.point(functional.interpolate(m.norm2d(x), size=(11, 5), mode="nearest"))


def transposes_that_cancel(m: Any, x: torch.Tensor) -> Any:
    return m.linear(x.permute(2, 0, 1).permute(1, 2, 0))


FOLDED = [
    (block, TOKENS), (two_readers, TOKENS), (windows, TOKENS), (pooled, TOKENS), (class_token, TOKENS),
    (by_a_number, TOKENS), (grouped_convolution, IMAGE), (scale_before_padding, IMAGE), (tokens_of_an_image, IMAGE),
    (image_of_tokens, TOKENS), (behind_a_patch_embedding, IMAGE), (behind_concatenated_convolutions, IMAGE),
    (behind_a_resize, IMAGE), (before_a_resize, IMAGE), (transposes_that_cancel, TOKENS),
]  # fmt: skip


@pytest.mark.parametrize(("forward", "x"), FOLDED)
def test_nothing_is_left_of_the_affine(forward: Callable[[Any, torch.Tensor], Any], x: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = Net(forward).eval()
    program = prove_folded(model, x)
    left = set(targets(program)) - ({"aten.permute.default"} if forward is windows else set())
    assert not left & {f"aten.{name}.Tensor" for name in ("add", "sub", "mul", "div")}
    assert not left & {"aten.batch_norm.default", "aten.permute.default"}


def prove_folded(model: nn.Module, x: torch.Tensor) -> torch.export.ExportedProgram:
    """Within its bound, after the constants are folded as in the table."""
    program = exported(model, x)
    fold_constants.apply(program)
    assert fold_affine.apply(program) == 1
    assert fold_affine.apply(program) == 0
    assert error(program, model, x) <= fold_affine.BOUND
    return program


@pytest.mark.parametrize(("forward", "x"), [(input_normalisation, IMAGE), (behind_a_flattened_linear, TOKENS)])
def test_constants_that_the_program_computes_count_once_they_are_folded(
    forward: Callable[[Any, torch.Tensor], Any], x: torch.Tensor
) -> None:
    torch.manual_seed(0)
    program = prove_folded(Net(forward).eval(), x)
    assert not {"aten.mul.Tensor", "aten.sub.Tensor"} & set(targets(program))


def test_it_survives_the_archive() -> None:
    torch.manual_seed(0)
    prove(fold_affine, Net(two_readers), TOKENS)


def offset_before_padding(m: Any, x: torch.Tensor) -> Any:
    return m.padded(m.norm2d(x))


def read_elsewhere(m: Any, x: torch.Tensor) -> Any:
    y = m.norm2d(x)
    return m.point(y), torch.relu(y)


def returned(m: Any, x: torch.Tensor) -> Any:
    y = m.norm2d(x)
    return m.point(y), y


def activation_between(m: Any, x: torch.Tensor) -> Any:
    return m.point(torch.relu(m.norm2d(x)))


def channels_taken_apart(m: Any, x: torch.Tensor) -> Any:
    return m.linear(m.norm2d(x).reshape(2, 48, 6))


def channels_cut(m: Any, x: torch.Tensor) -> Any:
    return functional.conv2d(m.norm2d(x)[:, :2], m.patch.weight[:, :2])


def mean_over_channels(m: Any, x: torch.Tensor) -> Any:
    return m.linear(m.norm2d(x).mean(1))


def shared_weight(m: Any, x: torch.Tensor) -> Any:
    return m.point(m.norm2d(x)) + m.point(x)


def concatenated_twice(m: Any, x: torch.Tensor) -> Any:
    half = functional.conv2d(x, m.patch.weight[:3, :, :1, :1])
    return torch.relu(m.norm2d(torch.cat([half, half], 1)))


def concatenated_with_an_activation(m: Any, x: torch.Tensor) -> Any:
    return torch.relu(m.norm2d(torch.cat([m.first(x[:, :3]), torch.relu(x[:, :4])], 1)))


def overwritten_before_it_is_read(m: Any, x: torch.Tensor) -> Any:
    hidden = x * torch.relu(x)
    y = m.norm2d(hidden)
    hidden.sigmoid_()
    return m.point(y) * hidden


@pytest.mark.parametrize(
    "forward",
    [
        offset_before_padding, read_elsewhere, returned, activation_between, channels_taken_apart, channels_cut,
        mean_over_channels, shared_weight, concatenated_twice,
        concatenated_with_an_activation, overwritten_before_it_is_read,
    ],
)  # fmt: skip
def test_a_near_miss_stays(forward: Callable[[Any, torch.Tensor], Any]) -> None:
    refuse(fold_affine, Net(forward), IMAGE)


def test_a_norm_before_two_heads_leaves_one_linear_layer() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 4))
            self.two = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 4))
            self.two[0].running_mean.fill_(0.3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.one(x) + self.two(x)) / 2

    torch.manual_seed(0)
    model, x = Heads().eval(), TOKENS[:, 0]
    program = exported(model, x)
    assert (fold_affine.apply(program), reparameterise.apply(program)) == (2, 1)
    assert targets(program) == ["aten.linear.default"]
    assert graph.origin_of(next(n for n in program.graph.nodes if n.name.startswith("linear"))) == "div"
    assert error(program, model, x) <= fold_affine.BOUND


def test_a_converted_token_block_has_no_norm_and_no_transposes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    conversion, parity = convert("executorch", tmp_path, Net(block), TOKENS)
    assert parity.passed and conversion.operators == 1  # 10 without the rewrite

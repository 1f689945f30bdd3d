"""Layer norms become operators that XNNPACK takes, over tokens as over the channels of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import convert, error, exported, prove, random, refuse, targets
from torch import Tensor, nn
from torch.nn import functional

from edgekit.export.rewrites import delegated_layer_norm


def norm(*axes: int, affine: bool = True, eps: float = 1e-5) -> nn.LayerNorm:
    torch.manual_seed(0)
    layer = nn.LayerNorm(axes, elementwise_affine=affine, eps=eps)
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layer


class Image(nn.Module):
    """LayerNorm2d as timm and torchvision write it, between two convolutions."""

    def __init__(self, affine: bool = True, also_last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.before, self.norm, self.after = nn.Conv2d(3, 8, 3), norm(8, affine=affine), nn.Conv2d(8, 4, 1)
        self.also_last = also_last

    def forward(self, x: Tensor) -> Any:
        y = self.norm(self.before(x).permute(0, 2, 3, 1))
        z = self.after(y.permute(0, -1, 1, 2))
        return (z, y * 2) if self.also_last else z


X = random(2, 7, 12) * 3 + 1


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (norm(12), X),
        (norm(12, affine=False, eps=1e-2), X),
        (norm(7, 12), X),
        (norm(2, 7, 12), X),
        (norm(12), X[0, 0]),
        (norm(12), random(2, 3, 4, 12)),
        (norm(1), random(3, 1)),
        (nn.Sequential(nn.Linear(12, 192), norm(192), nn.Linear(192, 12)), X),
    ],
    ids=["last", "plain", "two axes", "all axes", "vector", "rank 4", "width 1", "wide"],
)
def test_a_norm_over_last_axes_is_two_passes(layer: nn.Module, x: Tensor) -> None:
    program = prove(delegated_layer_norm, layer, x)
    assert "aten.layer_norm.default" not in targets(program)
    assert error(program, layer, x * 1e-3) <= delegated_layer_norm.BOUND


@pytest.mark.parametrize("affine", [True, False])
def test_a_norm_over_channels_needs_no_permute(affine: bool) -> None:
    program = prove(delegated_layer_norm, Image(affine), random(1, 3, 7, 6))
    assert not [t for t in targets(program) if "permute" in t or "layer_norm" in t]


def test_an_image_that_is_read_channels_last_as_well_is_normalised_there() -> None:
    program = prove(delegated_layer_norm, Image(also_last=True), random(1, 3, 7, 6))
    assert "aten.linear.default" in targets(program)


def test_weights_that_are_computed_are_multiplied_as_they_come() -> None:
    def model(x: Tensor, weight: Tensor) -> Tensor:
        return functional.layer_norm(x.permute(0, 2, 3, 1), (3,), weight, weight + 1).permute(0, 3, 1, 2)

    prove(delegated_layer_norm, model, random(1, 3, 5, 5), random(3))


def test_the_native_form_is_found_unless_its_statistics_are_read() -> None:
    weight, bias = random(12), random(12, seed=1)

    def native(x: Tensor) -> Tensor:
        return torch.native_layer_norm(x, [12], weight, bias, 1e-5)[0]

    def statistics(x: Tensor) -> tuple[Tensor, ...]:
        return torch.native_layer_norm(x, [12], None, None, 1e-5)

    assert "native" not in str(targets(prove(delegated_layer_norm, native, X)))
    refuse(delegated_layer_norm, statistics, X)


def test_other_dtypes_stay() -> None:
    refuse(delegated_layer_norm, lambda x: functional.layer_norm(x, (12,)), X.double())


def test_norms_of_one_width_share_their_constant() -> None:
    program = prove(delegated_layer_norm, nn.Sequential(norm(12), nn.ReLU(), norm(12)), X, places=2)
    assert len(program.constants) == 1


@pytest.mark.parametrize("ratio", [50.0, 1000.0])
def test_a_large_mean_costs_no_more_than_the_rounding_of_the_input(ratio: float) -> None:
    x = random(1, 197, 192) + ratio
    program = exported(norm(192), x)
    assert delegated_layer_norm.apply(program) == 1
    with torch.no_grad():
        reference, found = norm(192).double()(x.double()), program.module()(x)
    assert float((found - reference).abs().max() / reference.abs().max()) <= ratio * 2**-23


class Block(nn.Module):
    """Both kinds, with a large mean, which ExecuTorch's own kernel gets wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.tokens, self.head = Image(), norm(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tokens(self.image(x).flatten(2).transpose(1, 2) + 50))


def test_xnnpack_takes_both_and_a_large_mean_is_right(tmp_path: Path) -> None:
    x = random(1, 3, 8, 8)
    conversion, parity = convert("executorch", tmp_path, Block(), x)
    assert parity.passed and conversion.partitions == 1 and not conversion.undelegated_ops
    before, wrong = convert("executorch", tmp_path, Block(), x, without=("delegated_layer_norm",))
    assert wrong.passed is False
    assert before.partitions == 3 and [op.op for op in before.undelegated_ops or ()] == ["aten.native_layer_norm.out"]


def test_norms_in_two_partitions_may_share_their_constant(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = norm(12), norm(12)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.erf(self.first(x)))

    conversion, parity = convert("executorch", tmp_path, Twice(), X)
    assert parity.passed and conversion.partitions == 2

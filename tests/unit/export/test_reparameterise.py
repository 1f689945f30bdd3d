"""Parallel linear branches become one layer: whose, and within which bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from branched_models import (
    LAYERS,
    TOKENS,
    Crossed,
    Heads,
    LargeKernel,
    Mixed,
    MobileOne,
    Pair,
    Plus,
    Position,
    RepMixer,
    RepNormOverConv,
    RepVgg,
    Residual,
    X,
    merged,
    trained,
)
from rewrite_proof import convert, error, exported, random, targets
from torch import nn
from torch.nn import functional

from edgekit.export.rewrites import fold_affine, fold_batch_norm, fold_constants, reparameterise
from edgekit.model.torchvision_ops import make_importable

ONE_LAYER: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "RepVGG": (RepVgg, X),
    "RepVGG, stride 2": (lambda: RepVgg(stride=2), X),
    "RepVGG, groups": (lambda: RepVgg(groups=2), X),
    "MobileOne": (MobileOne, X),
    "FastViT's RepMixer": (RepMixer, X),
    "large kernel": (LargeKernel, X),
    "crossed kernels": (Crossed, X),
    "groups of two sizes": (Mixed, X),
    "alpha and norm of a convolution": (RepNormOverConv, X),
    "positional encoding": (Position, X),
    "1-d positional encoding": (lambda: Position(nn.Conv1d, 3), X[..., 0]),
    "averaged heads": (Heads, TOKENS),
    "averaged heads of one row": (Heads, TOKENS[:, 0]),
    "an offset": (lambda: nn.Sequential(nn.Conv2d(6, 4, 3, bias=False), Plus((4, 1, 1))), X),
}


@pytest.mark.parametrize("name", ONE_LAYER)
def test_the_branches_become_one_layer(name: str) -> None:
    make, x = ONE_LAYER[name]
    torch.manual_seed(0)
    program = merged(make(), x)
    (layer,) = (t for t in targets(program) if "relu" not in t)
    assert layer == (LAYERS[2] if isinstance(make(), Heads) else LAYERS[4 - x.dim()])


@pytest.mark.parametrize(
    ("layer", "shape", "x", "sign"),
    [
        (nn.Conv2d(6, 6, 3, padding=1), (6, 1, 1), X, 1),
        (nn.Conv2d(6, 6, 3, padding=1, groups=3), (1, 6, 1, 1), X, -1),
        (nn.Linear(6, 6), (6,), TOKENS, 1),
        (nn.Linear(6, 6, bias=False), (1,), TOKENS, -1),
    ],
    ids=["conv2d", "conv2d, subtracted", "linear", "linear by a number, subtracted"],
)
def test_a_layer_scale_goes_into_the_layer_and_the_residual_stays(
    layer: nn.Module, shape: tuple[int, ...], x: torch.Tensor, sign: int
) -> None:
    program = merged(Residual(layer, shape, sign), x)
    joining = "aten.add.Tensor" if sign > 0 else "aten.sub.Tensor"
    assert len(targets(program)) == 3 and {"aten.gelu.default", joining} < set(targets(program))


def test_a_chain_of_blocks_is_merged_block_by_block() -> None:
    program = merged(nn.Sequential(RepVgg(), MobileOne(), RepMixer(), Position()), X, places=4)
    assert [t for t in targets(program) if "relu" not in t] == ["aten.conv2d.default"] * 4


def test_an_affine_alone_keeps_one_product_and_one_sum() -> None:
    class Affine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.gelu(self.norm(x) + 0.5 * x - 1)

    assert targets(merged(Affine(), X)) == ["aten.mul.Tensor", "aten.add.Tensor", "aten.gelu.default"]


def test_a_sparse_grid_holds_two_dilated_kernels() -> None:
    wide = [nn.Conv2d(6, 6, size, padding=size - 1, dilation=2, groups=6) for size in (3, 5)]
    assert targets(merged(Pair(*wide), random(1, 6, 16, 16))) == ["aten.conv2d.default"]


def test_kernels_that_read_elsewhere_are_moved_there() -> None:
    corner, centre = nn.Conv2d(6, 6, 2, stride=2), nn.Conv2d(6, 6, 3, stride=2, padding=1)
    assert targets(merged(Pair(corner, centre), random(1, 6, 8, 8))) == ["aten.conv2d.default"]


def test_a_dense_convolution_of_x_and_x_itself_costs_nothing_more() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 6, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.conv(x)

    assert targets(merged(Skip(), X)) == ["aten.conv2d.default"]


# What of the network is exported: the whole of it takes seconds and holds more of the same.
FAMILIES: dict[str, Callable[[Any], nn.Module]] = {
    "repvgg_a0": lambda m: nn.Sequential(m.stem, m.stages[0]),
    "mobileone_s0": lambda m: nn.Sequential(m.stem, m.stages[0]),
    "mobileone_s4": lambda m: nn.Sequential(m.stem, m.stages[0][0]),
    "fastvit_t8": lambda m: nn.Sequential(m.stem, m.stages[0], m.stages[1]),
    "repghostnet_050": lambda m: nn.Sequential(m.conv_stem, m.bn1, m.act1, m.blocks[:4]),
    "repvit_m1": lambda m: nn.Sequential(m.stem, m.stages[0]),
    "repvit_m1, head": lambda m: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 384), m.head),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_timms_families_end_up_as_timm_re_parameterises_them(name: str) -> None:
    make_importable()
    import timm
    from timm.utils.model import reparameterize_model

    torch.manual_seed(0)
    module = trained(FAMILIES[name](timm.create_model(name.partition(",")[0], num_classes=10)))
    x = random(1, 3, 32, 32)
    program = exported(module, x)
    for rewrite in (fold_constants, fold_batch_norm, fold_affine, reparameterise):
        rewrite.apply(program)
    with torch.no_grad():
        theirs = reparameterize_model(module).eval()
        expected, found = theirs(x), program.module()(x)
    layers = [m for m in theirs.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len([t for t in targets(program) if t in LAYERS]) == len(layers)
    assert not any("batch_norm" in t for t in targets(program))
    assert float((found - expected).abs().max()) <= reparameterise.BOUND * float(expected.abs().max())
    assert error(program, module, x) <= reparameterise.BOUND


@pytest.mark.parametrize("format_name", ["executorch", "coreml"])
def test_a_converted_file_holds_one_convolution_per_block(format_name: str, tmp_path: Path) -> None:
    model, x = trained(nn.Sequential(RepVgg(), RepMixer())), random(1, 6, 8, 8)
    conversion, parity = convert(format_name, tmp_path, model, x)
    assert parity.passed
    assert conversion.operators is not None and conversion.operators <= 4  # over 20 without the rewrite

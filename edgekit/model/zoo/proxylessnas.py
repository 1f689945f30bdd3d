"""ProxylessNAS: the networks that were searched for CPU, GPU and phones.

Source: Cai et al., "ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware" (arXiv 1812.00332).
The rows below are the published architectures (mit-han-lab/proxylessnas, MIT). Counts: 4,361,648 (CPU), 7,119,848
(GPU), 4,080,512 (mobile) and 6,857,568 (mobile, 1.4x) parameters, as other implementations of the published
configurations count them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from edgekit.model.zoo.blocks import ConvNorm, InvertedResidual

_BN_EPS = 1e-3


class Stage(NamedTuple):
    """Output channels, stride of the first block, and kernel and expansion per block; skipped blocks are absent."""

    channels: int
    stride: int
    blocks: tuple[tuple[int, int], ...]


class Network(NamedTuple):
    """Stem channels, stages and the width of the last 1x1 convolution."""

    stem: int
    stages: tuple[Stage, ...]
    head: int


_MOBILE_BLOCKS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((3, 1),),
    ((5, 3), (3, 3)),
    ((7, 3), (3, 3), (5, 3), (5, 3)),
    ((7, 6), (5, 3), (5, 3), (5, 3)),
    ((5, 6), (5, 3), (5, 3), (5, 3)),
    ((7, 6), (7, 6), (7, 3), (7, 3)),
    ((7, 6),),
)
_STRIDES = (1, 2, 2, 2, 1, 2, 1)


def _mobile(stem: int, widths: tuple[int, ...], head: int) -> Network:
    stages = zip(widths, _STRIDES, _MOBILE_BLOCKS, strict=True)
    return Network(stem, tuple(Stage(*stage) for stage in stages), head)


NETWORKS = {
    "cpu": Network(
        40,
        (
            Stage(24, 1, ((3, 1),)),
            Stage(32, 2, ((3, 6), (3, 3), (3, 3), (3, 3))),
            Stage(48, 2, ((3, 6), (3, 3), (3, 3), (5, 3))),
            Stage(88, 2, ((3, 6), (3, 3))),
            Stage(104, 1, ((5, 6), (3, 3), (3, 3), (3, 3))),
            Stage(216, 2, ((5, 6), (5, 3), (5, 3), (3, 3))),
            Stage(360, 1, ((5, 6),)),
        ),
        1432,
    ),
    "gpu": Network(
        40,
        (
            Stage(24, 1, ((3, 1),)),
            Stage(32, 2, ((5, 3),)),
            Stage(56, 2, ((7, 3), (3, 3))),
            Stage(112, 2, ((7, 6), (5, 3))),
            Stage(128, 1, ((5, 6), (3, 3), (5, 3))),
            Stage(256, 2, ((7, 6), (7, 6), (7, 6), (5, 6))),
            Stage(432, 1, ((7, 6),)),
        ),
        1728,
    ),
    "mobile": _mobile(32, (16, 32, 40, 80, 96, 192, 320), 1280),
    "mobile_14": _mobile(48, (24, 40, 56, 112, 136, 256, 448), 1792),
}


class ProxylessNAS(nn.Module):
    """Input (N, 3, H, W) float32; output (N, classes) logits."""

    def __init__(self, network: Network, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = ConvNorm(3, network.stem, 3, 2, act=nn.ReLU6, eps=_BN_EPS)
        self.stages = nn.Sequential()
        channels = network.stem
        for stage in network.stages:
            blocks = nn.Sequential()
            for index, (kernel, expansion) in enumerate(stage.blocks):
                stride = stage.stride if index == 0 else 1
                hidden = channels * expansion
                # A stage's first block never has a shortcut, even where the shapes would allow one.
                block = InvertedResidual(
                    channels, stage.channels, kernel, stride, hidden, shortcut=index > 0, eps=_BN_EPS
                )
                blocks.append(block)
                channels = stage.channels
            self.stages.append(blocks)
        self.mix = ConvNorm(channels, network.head, act=nn.ReLU6, eps=_BN_EPS)
        self.classify = nn.Linear(network.head, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mix(self.stages(self.stem(x)))
        logits: torch.Tensor = self.classify(x.mean((2, 3)))
        return logits


def build(network: str, num_classes: int = 1000) -> ProxylessNAS:
    """``network`` is "cpu", "gpu", "mobile" or "mobile_14"."""
    return ProxylessNAS(NETWORKS[network], num_classes)

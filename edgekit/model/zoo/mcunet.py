"""MCUNet: the ImageNet networks that TinyNAS found for microcontrollers.

Source: Lin et al., "MCUNet: Tiny Deep Learning on IoT Devices" (arXiv 2007.10319). The rows are the configurations
that mit-han-lab published under MIT (in0 to in4 are "10fps", "5fps", "256kb-1mb", "320kb-1mb" and "512kb-2mb").
Counts: parameters and multiply-accumulates of the authors' README, 0.75 M/6.4 M, 0.64 M/12.8 M, 0.73 M/67.3 M,
0.74 M/81.8 M and 1.73 M/125.9 M; ours agree to the digits given.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from edgekit.model.zoo.blocks import ConvNorm, InvertedResidual

# Output channels, kernel, stride, expansion.
Row = tuple[int, int, int, int]


class Network(NamedTuple):
    """Input side in pixels, stem channels, and one row per block."""

    side: int
    stem: int
    rows: tuple[Row, ...]


# fmt: off
NETWORKS = {
    "in0": Network(48, 24, (
        (16, 3, 1, 1), (16, 5, 2, 4), (16, 3, 1, 3), (16, 3, 1, 4), (24, 7, 2, 5), (24, 5, 1, 4), (24, 5, 1, 5),
        (48, 7, 2, 5), (48, 5, 1, 4), (56, 3, 1, 5), (56, 5, 1, 4), (56, 3, 1, 5), (112, 3, 2, 6), (112, 5, 1, 4),
        (192, 3, 1, 6),
    )),
    "in1": Network(96, 16, (
        (8, 3, 1, 1), (16, 3, 2, 4), (16, 3, 1, 3), (24, 7, 2, 3), (24, 3, 1, 5), (40, 3, 2, 5), (40, 7, 1, 4),
        (48, 5, 1, 4), (48, 3, 1, 3), (48, 3, 1, 4), (96, 7, 2, 5), (96, 5, 1, 4), (96, 5, 1, 4), (160, 3, 1, 6),
    )),
    "in2": Network(160, 16, (
        (8, 3, 1, 1), (16, 5, 2, 3), (16, 7, 1, 6), (16, 3, 1, 5), (16, 5, 1, 5), (24, 3, 2, 5), (24, 7, 1, 6),
        (24, 5, 1, 6), (40, 7, 2, 4), (40, 5, 1, 5), (48, 3, 1, 5), (48, 5, 1, 5), (48, 3, 1, 4), (96, 5, 2, 6),
        (96, 5, 1, 4), (96, 5, 1, 3), (96, 3, 1, 4), (160, 5, 1, 5),
    )),
    "in3": Network(176, 16, (
        (8, 3, 1, 1), (16, 7, 2, 3), (16, 3, 1, 5), (16, 7, 1, 5), (16, 5, 1, 4), (24, 5, 2, 5), (24, 5, 1, 5),
        (24, 5, 1, 5), (40, 3, 2, 5), (40, 7, 1, 6), (40, 5, 1, 4), (48, 5, 1, 5), (48, 7, 1, 5), (48, 3, 1, 5),
        (96, 3, 2, 6), (96, 7, 1, 5), (96, 3, 1, 4), (160, 7, 1, 5),
    )),
    "in4": Network(160, 32, (
        (16, 3, 1, 1), (24, 7, 2, 3), (24, 3, 1, 5), (24, 5, 1, 4), (40, 7, 2, 5), (40, 3, 1, 4), (40, 7, 1, 4),
        (80, 7, 2, 3), (80, 3, 1, 3), (80, 7, 1, 3), (96, 3, 1, 4), (96, 5, 1, 3), (96, 5, 1, 3), (192, 7, 2, 4),
        (192, 7, 1, 3), (192, 5, 1, 3), (320, 5, 1, 4),
    )),
}
# fmt: on


class MCUNet(nn.Module):
    """Input (N, 3, S, S) float32 with the network's own side S; output (N, classes) logits."""

    def __init__(self, network: Network, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = ConvNorm(3, network.stem, 3, 2, act=nn.ReLU6)
        self.blocks = nn.Sequential()
        channels = network.stem
        for out, kernel, stride, expansion in network.rows:
            self.blocks.append(InvertedResidual(channels, out, kernel, stride, channels * expansion))
            channels = out
        self.classify = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


def build(network: str, num_classes: int = 1000) -> MCUNet:
    """``network`` is "in0" to "in4"."""
    return MCUNet(NETWORKS[network], num_classes)

"""VanillaNet: a chain of 1x1 convolutions and poolings with a depthwise 7x7 "series" activation, no shortcuts.

Source: Chen et al., "VanillaNet: the Power of Minimalism in Deep Learning" (arXiv 2305.12972), widths as in
huawei-noah/VanillaNet (MIT). Built in the deployed form: in training each 1x1 is two, with batch norms between them,
which merge exactly. Counts: 15.5, 32.5 and 41.4 M parameters and 5.2, 6.0 and 8.6 G multiply-accumulates for depths 5,
6 and 9 in the authors' README.
"""

from __future__ import annotations

import torch
from torch import nn

# Depth -> channels after the stem and after each block, and the pooling stride of each block.
SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "5": ((512, 1024, 2048, 4096), (2, 2, 2)),
    "6": ((512, 1024, 2048, 4096, 4096), (2, 2, 2, 1)),
    "7": ((512, 512, 1024, 2048, 4096, 4096), (1, 2, 2, 2, 1)),
    "8": ((512, 512, 1024, 2048, 2048, 4096, 4096), (1, 2, 2, 1, 2, 1)),
    "9": ((512, 512, 1024, 2048, 2048, 2048, 4096, 4096), (1, 2, 2, 1, 1, 2, 1)),
}
REACH = 3


class SeriesActivation(nn.Module):
    """ReLU, then a learned weighted sum over each channel's 7x7 neighbourhood."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.spread = nn.Conv2d(channels, channels, 2 * REACH + 1, padding=REACH, groups=channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.spread(self.act(x))
        return y


class VanillaNet(nn.Module):
    """Input (N, 3, H, W) float32, H and W multiples of 32; output (N, classes) logits."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels[0], 4, 4), SeriesActivation(channels[0]))
        self.blocks = nn.Sequential()
        for before, after, stride in zip(channels, channels[1:], strides, strict=False):
            pool = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
            self.blocks.append(nn.Sequential(nn.Conv2d(before, after, 1), pool, SeriesActivation(after)))
        self.classify = nn.Conv2d(channels[-1], num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x))
        out: torch.Tensor = self.classify(x.mean((2, 3), keepdim=True)).flatten(1)
        return out


def build(depth: str, num_classes: int = 1000) -> VanillaNet:
    """``depth`` is "5" to "9"."""
    channels, strides = SIZES[depth]
    return VanillaNet(channels, strides, num_classes)

"""FFNet, slim mobile versions: a plain ResNet encoder and a light convolutional decoder for segmentation.

Source: Mehta et al., "Simple and Efficient Architectures for Semantic Segmentation" (arXiv 2206.08236); widths and
depths as in Qualcomm-AI-research/FFNet (BSD-3-Clause), models "40S", "54S" and "78S" "dBBB mobile". Counts: 13.9, 18.0
and 27.5 M parameters in quic/ai-hub-models.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from edgekit.model.zoo.blocks import ConvNorm

DEPTHS = {"40s": (4, 5, 6, 4), "54s": (5, 8, 8, 5), "78s": (6, 12, 12, 8)}
ENCODER = (64, 128, 192, 320)
DECODER = (64, 128, 128, 256)
SMOOTHED = (96, 96, 64, 32)
HEAD = 256


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, which is a 1x1 where the shape changes."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNorm(channels, out, 3, stride, act=nn.ReLU), ConvNorm(out, out, 3))
        same = channels == out and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm(channels, out, 1, stride)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.act(self.body(x) + self.shortcut(x))
        return y


class Decoder(nn.Module):
    """Adds each coarser map to the next finer one, smooths all four and concatenates them at the finest."""

    def __init__(self) -> None:
        super().__init__()
        self.adapt = nn.ModuleList(ConvNorm(a, b, act=nn.ReLU) for a, b in zip(ENCODER, DECODER, strict=True))
        self.smooth = nn.ModuleList(ConvNorm(a, b, 3, act=nn.ReLU) for a, b in zip(DECODER, SMOOTHED, strict=True))
        self.lift = nn.ModuleList(ConvNorm(b, a, act=nn.ReLU) for a, b in pairwise(DECODER))
        self.up = nn.ModuleList(nn.Upsample(scale_factor=2**k, mode="nearest") for k in range(1, 4))

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        maps = [adapt(x) for adapt, x in zip(self.adapt, maps, strict=True)]
        x = maps[3]
        smooth = [self.smooth[3](x)]
        for level in (2, 1, 0):
            x = self.up[0](self.lift[level](x)) + maps[level]
            smooth.insert(0, self.smooth[level](x))
        return torch.cat([smooth[0], *(up(y) for up, y in zip(self.up, smooth[1:], strict=True))], 1)


class FFNet(nn.Module):
    """Input (N, 3, H, W) float32, H and W multiples of 64; output (N, classes, H/8, W/8) logits."""

    def __init__(self, depths: tuple[int, int, int, int], num_classes: int = 19) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 32, 3, 2, act=nn.ReLU), ConvNorm(32, 64, 3, 2, act=nn.ReLU))
        self.encoder = nn.ModuleList()
        channels = 64
        for depth, out in zip(depths, ENCODER, strict=True):
            rest = (ResidualBlock(out, out, 1) for _ in range(depth - 1))
            self.encoder.append(nn.Sequential(ResidualBlock(channels, out, 2), *rest))
            channels = out
        self.decoder = Decoder()
        self.head = nn.Sequential(
            ConvNorm(sum(SMOOTHED), HEAD, 3, act=nn.ReLU, bias=True), nn.Conv2d(HEAD, num_classes, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        maps = []
        for stage in self.encoder:
            x = stage(x)
            maps.append(x)
        logits: torch.Tensor = self.head(self.decoder(maps))
        return logits


def build(size: str, num_classes: int = 19) -> FFNet:
    """``size`` is "40s", "54s" or "78s"; the classes are those of Cityscapes unless given."""
    return FFNet(DEPTHS[size], num_classes)

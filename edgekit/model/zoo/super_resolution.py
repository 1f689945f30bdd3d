"""Super-resolution: ESPCN and XLSR, both of which end in a depth-to-space.

ESPCN: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
Network" (arXiv 1609.05158): 5x5 to 64, 3x3 to 32, 3x3 to r^2 channels, tanh between; works on the luma channel.

XLSR: Ayazoglu, "Extremely Lightweight Quantization Robust Real-Time Single-Image Super Resolution for Mobile Devices"
(arXiv 2105.10288): three blocks of 3x3 convolutions in four groups and a 1x1, a parallel 3x3 on the input, and an
output clipped to 0..1, which is what makes it robust to int8. Counts: 22 K parameters at scale 3 in the paper, 28.0 K
at scale 4 in quic/ai-hub-models.
"""

from __future__ import annotations

import torch
from torch import nn

_GROUPS = 4


class ESPCN(nn.Module):
    """Input (N, 1, H, W) float32 luma in 0..1; output (N, 1, H*scale, W*scale)."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.extract = nn.Conv2d(1, 64, 5, padding=2)
        self.shrink = nn.Conv2d(64, 32, 3, padding=1)
        self.expand = nn.Conv2d(32, scale**2, 3, padding=1)
        self.act = nn.Tanh()
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.shrink(self.act(self.extract(x))))
        y: torch.Tensor = self.shuffle(self.expand(x))
        return y


class GroupBlock(nn.Sequential):
    """A 3x3 convolution in four groups, ReLU, and a 1x1 that mixes the groups."""

    def __init__(self, channels: int) -> None:
        grouped = nn.Conv2d(channels, channels, 3, padding=1, groups=_GROUPS)
        super().__init__(grouped, nn.ReLU(), nn.Conv2d(channels, channels, 1))


class XLSR(nn.Module):
    """Input (N, 3, H, W) float32 RGB in 0..1; output (N, 3, H*scale, W*scale) in 0..1."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.beside = nn.Conv2d(3, 16, 3, padding=1)
        self.extract = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 1))
        self.blocks = nn.Sequential(GroupBlock(32), GroupBlock(32), GroupBlock(32))
        self.mix = nn.Sequential(nn.Conv2d(48, 32, 1), nn.ReLU())
        self.expand = nn.Conv2d(32, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        self.clip = nn.Hardtanh(0.0, 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = torch.cat([self.blocks(self.extract(x)), self.beside(x)], 1)
        y: torch.Tensor = self.clip(self.shuffle(self.expand(self.mix(features))))
        return y


def espcn(scale: str) -> ESPCN:
    """``scale`` is "2" to "4"."""
    return ESPCN(int(scale))


def xlsr(scale: str) -> XLSR:
    """``scale`` is "2" to "4"."""
    return XLSR(int(scale))

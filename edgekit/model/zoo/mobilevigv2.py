"""MobileViGv2: graph convolution with four neighbours in three stages, behind a depthwise positional encoding.

Source: Avery et al., "Scaling Graph Convolutions for Mobile Vision" (arXiv 2406.05850); widths and depths are those of
SLDGroup/MobileViGv2 (Apache-2.0). Its positional encoding (7x7 depthwise plus identity) can be fused into one
convolution before export. Differs from V1 in the sign (``x_j - x``), in four shifts per block, and in a 1x1
convolution that maps the concatenation back to C channels. The published parameter and multiply-accumulate counts
were not found; ours are counted.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from edgekit.model.zoo.blocks import ConvNorm, LayerScale2d
from edgekit.model.zoo.mobilevig import Head, LocalBlock, rolled, stem


class Size(NamedTuple):
    """Local blocks and channels per stage and the head's width; stages 2 to 4 have ``graphs`` graph blocks."""

    blocks: tuple[int, int, int, int]
    graphs: int
    channels: tuple[int, int, int, int]
    head: int


SIZES = {
    "ti": Size((2, 2, 6, 2), 2, (32, 64, 128, 256), 512),
    "s": Size((3, 3, 9, 3), 3, (32, 64, 128, 256), 512),
    "m": Size((3, 3, 9, 3), 3, (32, 64, 192, 384), 512),
    "b": Size((3, 3, 9, 3), 3, (64, 128, 256, 512), 768),
}
# Distance of the four neighbours, per stage; the first stage has no graph blocks.
DISTANCES = (0, 8, 4, 2)


class GraphConv(nn.Module):
    """The maximum over four neighbours, ``distance`` pixels away on each axis, of ``x_j - x``, at least 0."""

    def __init__(self, channels: int, distance: int) -> None:
        super().__init__()
        self.distance = distance
        self.mix = ConvNorm(2 * channels, channels, act=nn.GELU, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        largest = x - x
        for axis in (2, 3):
            # A map smaller than the distance wraps around more than once.
            steps = self.distance % x.shape[axis]
            for shift in (steps, x.shape[axis] - steps) if steps else ():
                largest = torch.maximum(largest, rolled(x, shift, axis) - x)
        out: torch.Tensor = self.mix(torch.cat([x, largest], dim=1))
        return out


class GraphBlock(nn.Module):
    """Positional encoding, graph convolution between 1x1 convolutions, then a 1x1 MLP, each behind a layer scale."""

    def __init__(self, channels: int, distance: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.enter = ConvNorm(channels, channels, bias=True)
        self.graph = GraphConv(channels, distance)
        self.leave = ConvNorm(channels, channels, bias=True)
        self.scale = LayerScale2d(channels)
        self.mlp = nn.Sequential(
            ConvNorm(channels, 4 * channels, act=nn.GELU, bias=True), ConvNorm(4 * channels, channels, bias=True)
        )
        self.mlp_scale = LayerScale2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        placed = self.position(x) + x
        x = x + self.scale(self.leave(self.graph(self.enter(placed))))
        out: torch.Tensor = x + self.mlp_scale(self.mlp(x))
        return out


class MobileViGv2(nn.Module):
    """Input (N, 3, H, W) float32, H and W multiples of 32; output (N, classes) logits."""

    def __init__(self, size: Size, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = stem(size.channels[0])
        self.stages = nn.Sequential()
        before = size.channels[0]
        for index, (blocks, channels) in enumerate(zip(size.blocks, size.channels, strict=True)):
            down = [ConvNorm(before, channels, 3, 2, bias=True)] if index else []
            graphs = [GraphBlock(channels, DISTANCES[index]) for _ in range(size.graphs if index else 0)]
            self.stages.append(nn.Sequential(*down, *(LocalBlock(channels) for _ in range(blocks)), *graphs))
            before = channels
        self.head = Head(before, size.head, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.stages(self.stem(x)))
        return logits


def build(size: str, num_classes: int = 1000) -> MobileViGv2:
    """``size`` is "ti", "s", "m" or "b"."""
    return MobileViGv2(SIZES[size], num_classes)

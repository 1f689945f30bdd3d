"""MobileViG: inverted residuals, then graph convolutions over cyclic shifts of the last 7x7 map.

Source: Munir et al., "MobileViG: Graph-Based Sparse Attention for Mobile Vision Applications" (arXiv 2307.00395); the
widths and depths are those of SLDGroup/MobileViG (Apache-2.0). Counts: 5.271, 7.277, 14.076 and 26.869 M parameters
with both heads, 0.662, 0.984, 1.493 and 2.793 G multiply-accumulates at 224; published 5.2/7.2/14.0/26.7 M.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from edgekit.model.zoo.blocks import ConvNorm, LayerScale2d


class Size(NamedTuple):
    """Blocks and channels of the three local stages, blocks and channels of the global one, width of the head."""

    blocks: tuple[int, int, int]
    channels: tuple[int, int, int]
    global_blocks: int
    global_channels: int
    head: int


SIZES = {
    "ti": Size((2, 2, 6), (42, 84, 168), 2, 256, 512),
    "s": Size((3, 3, 9), (42, 84, 176), 3, 256, 512),
    "m": Size((3, 3, 9), (42, 84, 224), 3, 400, 768),
    "b": Size((5, 5, 15), (42, 84, 240), 5, 464, 768),
}


def stem(channels: int) -> nn.Sequential:
    """Two 3x3 convolutions of stride 2."""
    half = channels // 2
    return nn.Sequential(
        ConvNorm(3, half, 3, 2, act=nn.GELU, bias=True), ConvNorm(half, channels, 3, 2, act=nn.GELU, bias=True)
    )


class LocalBlock(nn.Module):
    """Residual of 1x1 (times 4), depthwise 3x3 and 1x1, behind a layer scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 4 * channels
        self.expand = ConvNorm(channels, hidden, act=nn.GELU, bias=True)
        self.depthwise = ConvNorm(hidden, hidden, 3, groups=hidden, act=nn.GELU, bias=True)
        self.project = ConvNorm(hidden, channels, bias=True)
        self.scale = LayerScale2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.scale(self.project(self.depthwise(self.expand(x))))
        return out


def rolled(x: torch.Tensor, steps: int, axis: int) -> torch.Tensor:
    """``x`` moved cyclically by ``steps`` along ``axis``, as two slices and one concat, which every backend has."""
    size = x.shape[axis]
    return torch.cat([x.narrow(axis, size - steps, steps), x.narrow(axis, 0, size - steps)], dim=axis)


class GraphConv(nn.Module):
    """Max-relative graph convolution where a pixel's neighbours are every ``step``-th pixel of its row and column.

    The maximum over neighbours j of ``x - x_j``, at least 0, is concatenated to x and mixed by a 1x1 convolution.
    """

    def __init__(self, channels: int, step: int = 2) -> None:
        super().__init__()
        self.step = step
        self.mix = ConvNorm(2 * channels, 2 * channels, act=nn.GELU, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        largest = x - x
        for axis in (2, 3):
            for steps in range(self.step, x.shape[axis], self.step):
                largest = torch.maximum(largest, x - rolled(x, steps, axis))
        out: torch.Tensor = self.mix(torch.cat([x, largest], dim=1))
        return out


class GlobalBlock(nn.Module):
    """Residual graph convolution between two 1x1 convolutions, then a residual 1x1 MLP."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = ConvNorm(channels, channels, bias=True)
        self.graph = GraphConv(channels)
        self.leave = ConvNorm(2 * channels, channels, bias=True)
        self.mlp = nn.Sequential(
            ConvNorm(channels, 4 * channels, act=nn.GELU, bias=True), ConvNorm(4 * channels, channels, bias=True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.leave(self.graph(self.enter(x)))
        out: torch.Tensor = x + self.mlp(x)
        return out


class Head(nn.Module):
    """Global mean, 1x1 to the head's width, and two classifiers (class and distillation) that are averaged."""

    def __init__(self, channels: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.embed = ConvNorm(channels, width, act=nn.GELU, bias=True)
        self.classify = nn.Conv2d(width, num_classes, 1)
        self.distil = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x.mean((2, 3), keepdim=True))
        out: torch.Tensor = ((self.classify(x) + self.distil(x)) / 2).flatten(1)
        return out


class MobileViG(nn.Module):
    """Input (N, 3, H, W) float32, H and W multiples of 32; output (N, classes) logits."""

    def __init__(self, size: Size, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = stem(size.channels[0])
        before = size.channels[0]
        self.local = nn.ModuleList()
        for blocks, channels in zip(size.blocks, size.channels, strict=True):
            down = [ConvNorm(before, channels, 3, 2, bias=True)] if len(self.local) else []
            self.local.append(nn.Sequential(*down, *(LocalBlock(channels) for _ in range(blocks))))
            before = channels
        self.down = ConvNorm(before, size.global_channels, 3, 2, bias=True)
        self.globals = nn.Sequential(*(GlobalBlock(size.global_channels) for _ in range(size.global_blocks)))
        self.head = Head(size.global_channels, size.head, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for stage in self.local:
            x = stage(x)
        out: torch.Tensor = self.head(self.globals(self.down(x)))
        return out


def build(size: str, num_classes: int = 1000) -> MobileViG:
    """``size`` is "ti", "s", "m" or "b"."""
    return MobileViG(SIZES[size], num_classes)

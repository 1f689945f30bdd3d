"""HarDNet: densely connected layers with few, power-of-two links, made for little memory traffic.

Source: Chao et al., "HarDNet: A Low Memory Traffic Network" (arXiv 1909.00948), sizes as in PingoLH/Pytorch-HarDNet
(MIT). Counts: 3.5 M and 0.44 G (39ds), 4.2 M and 0.8 G (68ds, norms counted too) in the authors' README. Parameters
are equal to those of other public implementations: 3,488,228, 4,180,602, 17,565,348 (68) and 36,670,212 (85).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from edgekit.model.zoo.blocks import ConvNorm


class Block(NamedTuple):
    """Growth, layers, channels after the block's 1x1, and whether the map is halved behind it."""

    growth: int
    layers: int
    out: int
    halve: bool


class Size(NamedTuple):
    """Channels of the two stem layers, growth multiplier, blocks, and whether the layers are depthwise-separable."""

    stem: tuple[int, int]
    multiplier: float
    blocks: tuple[Block, ...]
    separable: bool


_39 = (Block(16, 4, 96, True), Block(20, 16, 320, True), Block(64, 8, 640, True), Block(160, 4, 1024, False))
_68 = (
    Block(14, 8, 128, True),
    Block(16, 16, 256, False),
    Block(20, 16, 320, True),
    Block(40, 16, 640, True),
    Block(160, 4, 1024, False),
)
_85 = (
    Block(24, 8, 192, True),
    Block(24, 16, 256, False),
    Block(28, 16, 320, True),
    Block(36, 16, 480, False),
    Block(48, 16, 720, True),
    Block(256, 4, 1280, False),
)
SIZES = {
    "39ds": Size((24, 48), 1.6, _39, True),
    "68ds": Size((32, 64), 1.7, _68, True),
    "68": Size((32, 64), 1.7, _68, False),
    "85": Size((48, 96), 1.7, _85, False),
}


def links(layer: int) -> list[int]:
    """The earlier layers that feed ``layer`` (0 is the block's input): ``layer - 2^k`` where 2^k divides it."""
    return [layer - (1 << k) for k in range(layer.bit_length()) if layer % (1 << k) == 0]


def width(layer: int, channels: int, growth: int, multiplier: float) -> int:
    """Channels of a layer: the growth, times the multiplier for each further link, rounded to even."""
    if layer == 0:
        return channels
    return int(int(growth * multiplier ** (len(links(layer)) - 1) + 1) / 2) * 2


class HarDBlock(nn.Module):
    """Runs its layers on the concatenation of their links; answers the odd layers and the last one."""

    def __init__(self, channels: int, block: Block, multiplier: float, separable: bool) -> None:
        super().__init__()
        widths = [width(layer, channels, block.growth, multiplier) for layer in range(block.layers + 1)]
        self.links = [links(layer) for layer in range(1, block.layers + 1)]
        self.kept = [layer for layer in range(1, block.layers + 1) if layer % 2 or layer == block.layers]
        self.out = sum(widths[layer] for layer in self.kept)
        self.layers = nn.ModuleList(
            _layer(sum(widths[link] for link in sources), out, separable)
            for sources, out in zip(self.links, widths[1:], strict=True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = [x]
        for layer, sources in zip(self.layers, self.links, strict=True):
            parts = [made[source] for source in sources]
            made.append(layer(torch.cat(parts, 1) if len(parts) > 1 else parts[0]))
        return torch.cat([made[layer] for layer in self.kept], 1)


def _layer(channels: int, out: int, separable: bool) -> nn.Module:
    if not separable:
        return ConvNorm(channels, out, 3, act=nn.ReLU6)
    return nn.Sequential(ConvNorm(channels, out, act=nn.ReLU6), ConvNorm(out, out, 3, groups=out))


class HarDNet(nn.Module):
    """Input (N, 3, H, W) float32, H and W multiples of 32; output (N, classes) logits."""

    def __init__(self, size: Size, num_classes: int = 1000) -> None:
        super().__init__()
        first, channels = size.stem
        second = 1 if size.separable else 3
        self.stem = nn.Sequential(
            ConvNorm(3, first, 3, 2, act=nn.ReLU6),
            ConvNorm(first, channels, second, act=nn.ReLU6),
            _halve(channels, size.separable, 3),
        )
        self.blocks = nn.Sequential()
        for block in size.blocks:
            dense = HarDBlock(channels, block, size.multiplier, size.separable)
            stage = nn.Sequential(dense, ConvNorm(dense.out, block.out, act=nn.ReLU6))
            if block.halve:
                stage.append(_halve(block.out, size.separable, 2))
            self.blocks.append(stage)
            channels = block.out
        self.classify = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


def _halve(channels: int, separable: bool, kernel: int) -> nn.Module:
    if separable:
        return ConvNorm(channels, channels, 3, 2, groups=channels)
    return nn.MaxPool2d(kernel, 2, (kernel - 1) // 2)


def build(size: str, num_classes: int = 1000) -> HarDNet:
    """``size`` is "39ds", "68ds", "68" or "85"."""
    return HarDNet(SIZES[size], num_classes)

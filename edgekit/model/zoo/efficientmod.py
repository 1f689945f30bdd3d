"""EfficientMod: blocks that multiply an MLP's hidden layer by a large-kernel context, then attention in late stages.

Source: Ma et al., "Efficient Modulation for Vision Networks" (arXiv 2403.19963); sizes as in ma-xu/EfficientMod
(Apache-2.0). Tensors are channels-last (N, H, W, C) between the convolutions. Counts: 4.7, 6.6 and 12.9 M parameters
and, for xxs and s, 0.6 and 1.4 G multiply-accumulates as published.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

HEADS, LEAST_PER_HEAD = 8, 32
CONTEXT = 7


class Size(NamedTuple):
    """Per stage: channels, modulation blocks, attention blocks and their expansion; ``wide`` is the larger expansion.

    Modulation blocks expand by 1 and by ``wide`` in turn.
    """

    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    attention: tuple[int, int, int, int]
    attention_expansion: tuple[int, int, int, int]
    wide: int


SIZES = {
    "xxs": Size((32, 64, 128, 256), (2, 2, 6, 2), (0, 0, 1, 2), (4, 4, 4, 4), 6),
    "xs": Size((32, 64, 144, 288), (3, 3, 4, 2), (0, 0, 3, 3), (4, 4, 4, 4), 4),
    "s": Size((32, 64, 144, 312), (4, 4, 8, 4), (0, 0, 4, 4), (4, 4, 4, 5), 6),
}


class Embed(nn.Module):
    """A strided convolution and a layer norm; takes and gives (N, H, W, C)."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        return y


class Modulation(nn.Module):
    """Residual of a 2-layer MLP whose hidden layer is multiplied by a 7x7 depthwise context of the input."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.expansion = expansion
        self.norm = nn.LayerNorm(channels)
        self.enter = nn.Linear(channels, channels)
        self.context = nn.Conv2d(channels, channels, CONTEXT, padding=CONTEXT // 2, groups=channels)
        self.leave = nn.Linear(channels, channels)
        self.expand = nn.Linear(channels, channels * expansion)
        self.project = nn.Linear(channels * expansion, channels)
        self.act = nn.GELU()
        self.layer_scale = nn.Parameter(torch.full((channels,), 1e-4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(x)
        context = self.act(self.context(self.enter(normed).permute(0, 3, 1, 2)))
        context = self.leave(context.permute(0, 2, 3, 1))
        hidden = self.expand(normed)
        if self.expansion > 1:
            hidden = self.act(hidden)
            context = torch.cat([context] * self.expansion, -1)
        out: torch.Tensor = x + self.layer_scale * self.project(hidden * context)
        return out


class Attention(nn.Module):
    """Pre-norm attention and MLP over all positions; takes and gives (N, H, W, C)."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.per_head = max(channels // HEADS, LEAST_PER_HEAD)
        inner = HEADS * self.per_head
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * inner, bias=False)
        self.project = nn.Linear(inner, channels)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels * expansion), nn.GELU(), nn.Linear(channels * expansion, channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, height, width, channels = x.shape
        tokens = x.reshape(batch, height * width, channels)
        parts = self.qkv(self.norm(tokens)).chunk(3, -1)
        query, key, value = (part.reshape(batch, -1, HEADS, self.per_head).transpose(1, 2) for part in parts)
        weights = torch.softmax(query @ key.transpose(-2, -1) * self.per_head**-0.5, -1)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, height * width, HEADS * self.per_head)
        tokens = tokens + self.project(mixed)
        tokens = tokens + self.mlp(self.mlp_norm(tokens))
        out: torch.Tensor = tokens.reshape(batch, height, width, channels)
        return out


class EfficientMod(nn.Module):
    """Input (N, 3, H, W) float32, H and W multiples of 32; output (N, classes) logits."""

    def __init__(self, size: Size, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = Embed(3, size.channels[0], 7, 4)
        self.stages = nn.Sequential()
        before = size.channels[0]
        for index, channels in enumerate(size.channels):
            stage = nn.Sequential()
            if index:
                stage.append(Embed(before, channels, 3, 2))
            for block in range(size.depths[index]):
                stage.append(Modulation(channels, size.wide if block % 2 else 1))
            for _ in range(size.attention[index]):
                stage.append(Attention(channels, size.attention_expansion[index]))
            self.stages.append(stage)
            before = channels
        self.norm = nn.LayerNorm(before)
        self.classify = nn.Linear(before, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stages(self.stem(x.permute(0, 2, 3, 1))))
        logits: torch.Tensor = self.classify(x.mean((1, 2)))
        return logits


def build(size: str, num_classes: int = 1000) -> EfficientMod:
    """``size`` is "xxs", "xs" or "s"."""
    return EfficientMod(SIZES[size], num_classes)

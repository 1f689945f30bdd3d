"""EMO: inverted residuals that carry window attention in their expansion, one block type for the whole network.

Source: Zhang et al., "Rethinking Mobile Block for Efficient Attention-based Models" (arXiv 2301.01146); sizes as in
zhangzjn/EMO. Windows are dilated: a window takes every n-th pixel, so cutting a map into windows is a space-to-depth.
Counts in the authors' README: 1.3/2.3/5.1/6.1 M parameters (cut off, not rounded) and 261/439/903/961 M operations,
which ours reach when norms are counted too (2 per batch-norm element, 5 per layer-norm element).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

WINDOW = 7
STEM = 24
_EPS = 1e-6
# Of the four stages: depthwise kernels, and whether blocks after the first carry attention (with layer norm and GELU).
KERNELS = (3, 3, 5, 5)
ATTENTION = (False, False, True, True)


class Size(NamedTuple):
    """Per stage: blocks, channels and expansion; and the channels per head of the last two stages."""

    depths: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    expansions: tuple[float, float, float, float]
    heads: tuple[int, int]


SIZES = {
    "1m": Size((2, 2, 8, 3), (32, 48, 80, 168), (2.0, 2.5, 3.0, 3.5), (20, 21)),
    "2m": Size((3, 3, 9, 3), (32, 48, 120, 200), (2.0, 2.5, 3.0, 3.5), (20, 20)),
    "5m": Size((3, 3, 9, 3), (48, 72, 160, 288), (2.0, 3.0, 4.0, 4.0), (32, 32)),
    "6m": Size((3, 3, 9, 3), (48, 72, 160, 320), (2.0, 3.0, 4.0, 5.0), (20, 32)),
}


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of an NCHW tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Gate(nn.Module):
    """Channel gate of the stem: global mean, 1x1, SiLU, 1x1, sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels, 1)
        self.act = nn.SiLU()
        self.expand = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))))


class WindowAttention(nn.Module):
    """Attention over dilated windows of 7x7 whose values are the input itself."""

    def __init__(self, channels: int, per_head: int) -> None:
        super().__init__()
        self.heads, self.per_head = channels // per_head, per_head
        self.qk = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.shape
        right, below = -width % WINDOW, -height % WINDOW
        if right or below:
            x = functional.pad(x, (0, right, 0, below))
        step = x.shape[2] // WINDOW
        query, key = self.qk(x).chunk(2, 1)
        query, key, value = (self._windows(part, step) for part in (query, key, x))
        weights = torch.softmax(query @ key.transpose(-2, -1) * self.per_head**-0.5, -1)
        y = (weights @ value).reshape(batch * self.heads, step * step, WINDOW * WINDOW, self.per_head)
        y = y.permute(0, 3, 1, 2).reshape(batch, channels * step * step, WINDOW, WINDOW)
        y = functional.pixel_shuffle(y, step) if step > 1 else y
        return y[:, :, :height, :width] if right or below else y

    def _windows(self, x: torch.Tensor, step: int) -> torch.Tensor:
        """(N, C, H, W) to (N * heads * windows, 49, channels per head); no tensor has more than four axes."""
        batch = x.shape[0]
        x = functional.pixel_unshuffle(x, step) if step > 1 else x
        x = x.reshape(batch * self.heads, self.per_head, step * step, WINDOW * WINDOW)
        return x.permute(0, 2, 3, 1).reshape(-1, WINDOW * WINDOW, self.per_head)


class Block(nn.Module):
    """Norm, attention if any, 1x1 expansion, depthwise convolution (residual where shapes allow), 1x1 projection.

    ``norm`` and ``act`` are those of the stage; ``per_head`` of 0 leaves the attention out.
    """

    def __init__(
        self, channels: int, out: int, hidden: int, kernel: int, stride: int, *, layer_norm: bool, per_head: int = 0
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and channels == out
        self.norm = LayerNorm2d(channels, _EPS) if layer_norm else nn.BatchNorm2d(channels, _EPS)
        self.attend = WindowAttention(channels, per_head) if per_head else nn.Identity()
        self.expand = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.GELU() if layer_norm else nn.SiLU())
        self.depthwise = _depthwise(hidden, kernel, stride)
        self.project = nn.Conv2d(hidden, out, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.expand(self.attend(self.norm(x)))
        local = self.depthwise(y)
        out: torch.Tensor = self.project(y + local if self.shortcut else local)
        return x + out if self.shortcut else out


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels, _EPS), nn.SiLU())


class EMO(nn.Module):
    """Input (N, 3, S, S) float32, S a multiple of 32; output (N, classes) logits."""

    def __init__(self, size: Size, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM, 3, 2, 1),
            nn.BatchNorm2d(STEM, _EPS),
            _depthwise(STEM, 3, 1),
            Gate(STEM),
            nn.Conv2d(STEM, STEM, 1, bias=False),
        )
        self.stages = nn.Sequential()
        channels = STEM
        for index, (depth, out) in enumerate(zip(size.depths, size.channels, strict=True)):
            stage = nn.Sequential()
            for block in range(depth):
                first = block == 0
                expansion = size.expansions[index] * (2 if first else 1)
                per_head = size.heads[index - 2] if ATTENTION[index] and not first else 0
                hidden, stride = int(channels * expansion), 2 if first else 1
                stage.append(
                    Block(channels, out, hidden, KERNELS[index], stride, layer_norm=ATTENTION[index], per_head=per_head)
                )
                channels = out
            self.stages.append(stage)
        self.norm = LayerNorm2d(channels, _EPS)
        self.classify = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(self.norm(self.stages(self.stem(x))).mean((2, 3)))
        return logits


def build(size: str, num_classes: int = 1000) -> EMO:
    """``size`` is "1m", "2m", "5m" or "6m"."""
    return EMO(SIZES[size], num_classes)

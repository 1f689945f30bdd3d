"""SINet: extremely small portrait segmentation with spatial squeeze blocks and an information-blocking decoder.

Source: Park et al., "SINet: Extreme Lightweight Portrait Segmentation Networks with Spatial Squeeze Modules and
Information Blocking Decoder" (arXiv 1911.09099); layout as in clovaai/ext_portrait_segmentation (MIT). Counts: 86.9 K
parameters and 64 M multiply-accumulates at 224 as published.
"""

from __future__ import annotations

import torch
from torch import nn

_EPS = 1e-3
STEM, FIRST, SECOND, THIRD = 12, 16, 48, 96
BRANCHES = 2
# Per module, per branch: depthwise kernel and how much smaller the map is made for it.
Branches = tuple[tuple[int, int], tuple[int, int]]
SECOND_LEVEL: tuple[Branches, ...] = (((3, 1), (5, 1)), ((3, 1), (3, 1)))
THIRD_LEVEL: tuple[Branches, ...] = (
    ((3, 1), (5, 1)),
    ((3, 1), (3, 1)),
    ((5, 1), (3, 2)),
    ((5, 2), (3, 4)),
    ((3, 1), (3, 1)),
    ((5, 1), (5, 1)),
    ((3, 2), (3, 4)),
    ((3, 1), (5, 2)),
)


def _norm_act(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels, _EPS), nn.PReLU(channels))


def _conv(channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)


def _up(scale: int) -> nn.Upsample:
    return nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=True)


class Squeeze(nn.Module):
    """Multiplies the channels by factors made from their global means, without a bound on the factors."""

    def __init__(self, channels: int, divide: int) -> None:
        super().__init__()
        hidden = channels // divide
        layers: list[nn.Module] = [nn.Conv2d(channels, hidden, 1), nn.PReLU(hidden)]
        if divide > 1:
            layers += [nn.Conv2d(hidden, channels, 1), nn.PReLU(channels)]
        self.factors = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        factors: torch.Tensor = self.factors(x.mean((2, 3), keepdim=True))
        return x * factors


def _halve(channels: int, out: int, divide: int) -> nn.Sequential:
    """Depthwise 3x3 of stride 2, channel factors, 1x1, norm and PReLU."""
    depthwise = _conv(channels, channels, 3, 2, channels)
    return nn.Sequential(depthwise, Squeeze(channels, divide), _conv(channels, out), _norm_act(out))


def _branch(channels: int, kernel: int, squeeze: int) -> nn.Sequential:
    """Depthwise and 1x1 convolution on a map that is made ``squeeze`` times smaller and larger again."""
    body: list[nn.Module] = [_conv(channels, channels, kernel, groups=channels), _norm_act(channels)]
    body.append(_conv(channels, channels))
    if squeeze > 1:
        body = [nn.AvgPool2d(squeeze), *body, _up(squeeze)]
    return nn.Sequential(*body, nn.BatchNorm2d(channels, _EPS))


class SpatialSqueeze(nn.Module):
    """Grouped 1x1, channel shuffle, two branches side by side, a shortcut where the channels allow it."""

    def __init__(self, channels: int, out: int, branches: Branches) -> None:
        super().__init__()
        half = out // BRANCHES
        self.shortcut = channels == out
        self.reduce = _conv(channels, half, groups=BRANCHES)
        self.branches = nn.ModuleList(_branch(half, kernel, squeeze) for kernel, squeeze in branches)
        self.act = _norm_act(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.reduce(x)
        batch, channels, height, width = y.shape
        # The channel shuffle with both axes of the map as one: four axes instead of five.
        y = y.reshape(batch, BRANCHES, channels // BRANCHES, height * width).transpose(1, 2)
        y = y.reshape(batch, channels, height, width)
        y = torch.cat([branch(y) for branch in self.branches], 1)
        out: torch.Tensor = self.act(x + y if self.shortcut else y)
        return out


def _level(channels: int, out: int, modules: tuple[Branches, ...]) -> nn.Sequential:
    first, *rest = modules
    return nn.Sequential(SpatialSqueeze(channels, out, first), *(SpatialSqueeze(out, out, m) for m in rest))


class SINet(nn.Module):
    """Input (N, 3, H, W) float32, H and W multiples of 32; output (N, classes, H, W) logits."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, STEM, 3, 2), _norm_act(STEM))
        self.halve2 = _halve(STEM, FIRST, 1)
        self.level2 = _level(FIRST, SECOND, SECOND_LEVEL)
        self.join2 = _norm_act(FIRST + SECOND)
        self.halve3 = _halve(FIRST + SECOND, SECOND, 2)
        self.level3 = _level(SECOND, THIRD, THIRD_LEVEL)
        self.join3 = _norm_act(SECOND + THIRD)
        self.coarse = _conv(SECOND + THIRD, num_classes)
        self.coarse_up = nn.Sequential(_up(2), nn.BatchNorm2d(num_classes, _EPS))
        self.fine = nn.Sequential(_conv(SECOND, num_classes), _norm_act(num_classes))
        self.fine_up = nn.Sequential(_up(2), nn.BatchNorm2d(num_classes, _EPS))
        self.classify = nn.Sequential(_up(2), _conv(num_classes, num_classes, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before2 = self.halve2(self.stem(x))
        level2 = self.level2(before2)
        before3 = self.halve3(self.join2(torch.cat([before2, level2], 1)))
        joined = self.join3(torch.cat([before3, self.level3(before3)], 1))
        coarse = self.coarse_up(self.coarse(joined))
        # Fine features only reach the output where the coarse prediction is unsure.
        unsure = 1 - torch.softmax(coarse, 1).amax(1, keepdim=True)
        logits: torch.Tensor = self.classify(self.fine_up(self.fine(level2) * unsure + coarse))
        return logits


def build(num_classes: int = 2) -> SINet:
    """Two classes, background and person, unless given."""
    return SINet(num_classes)

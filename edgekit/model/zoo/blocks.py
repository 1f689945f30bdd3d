"""Layers that several of edgekit's own families share."""

from __future__ import annotations

import torch
from torch import nn


def divisible(value: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``value``, at least ``divisor`` and never below 90% of ``value``.

    The rounding of channel counts that MobileNetV2 introduced; its descendants' widths depend on it.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class ConvNorm(nn.Sequential):
    """Convolution with "same" padding for odd kernels, batch norm, and an activation if one is given."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: type[nn.Module] | None = None,
        bias: bool = False,
        dilation: int = 1,
        eps: float = 1e-5,
    ) -> None:
        padding = (kernel - 1) // 2 * dilation
        conv = nn.Conv2d(channels, out, kernel, stride, padding, dilation, groups, bias)
        layers: list[nn.Module] = [conv, nn.BatchNorm2d(out, eps=eps)]
        if act is not None:
            layers.append(act())
        super().__init__(*layers)


class LayerScale2d(nn.Module):
    """One learned factor per channel of an NCHW tensor."""

    def __init__(self, channels: int, init: float = 1e-5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((1, channels, 1, 1), init))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


class SqueezeExcite(nn.Module):
    """Channel gate: global mean, 1x1 to ``hidden``, ReLU, 1x1 back, ``gate``."""

    def __init__(self, channels: int, hidden: int, gate: type[nn.Module] = nn.Hardsigmoid) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.act = nn.ReLU()
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.gate = gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x * self.gate(self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))))
        return out


class InvertedResidual(nn.Module):
    """1x1 expansion (left out where ``hidden`` equals the input), depthwise kernel, optional gate, 1x1 projection.

    Source: Sandler et al., "MobileNetV2", with the gate of Howard et al., "Searching for MobileNetV3".
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int,
        hidden: int,
        act: type[nn.Module] = nn.ReLU6,
        gate_channels: int = 0,
        shortcut: bool | None = None,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and channels == out if shortcut is None else shortcut
        expand = hidden != channels
        self.expand = ConvNorm(channels, hidden, act=act, eps=eps) if expand else nn.Identity()
        self.depthwise = ConvNorm(hidden, hidden, kernel, stride, groups=hidden, act=act, eps=eps)
        self.gate = SqueezeExcite(hidden, gate_channels) if gate_channels else nn.Identity()
        self.project = ConvNorm(hidden, out, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.gate(self.depthwise(self.expand(x))))
        out: torch.Tensor = x + y if self.shortcut else y
        return out

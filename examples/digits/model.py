"""A small network in the manner of MobileNetV2 (Sandler et al., 2018) for 32 x 32 grey images of digits."""

from __future__ import annotations

import torch
from torch import nn


class ConvNormAct(nn.Sequential):
    """A convolution without bias, batch norm and, unless it is the linear end of a block, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True):
        convolution = nn.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
        )  # fmt: skip
        super().__init__(convolution, nn.BatchNorm2d(outputs), *([nn.ReLU6()] if act else []))


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, project; added to the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            ConvNormAct(inputs, hidden, 1),
            ConvNormAct(hidden, hidden, 3, stride=stride, groups=hidden),
            ConvNormAct(hidden, outputs, 1, act=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float32 (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y: torch.Tensor = self.body(x)
        return x + y if self.residual else y


class DigitsNet(nn.Module):
    """Scores of the ten digits, float32 (N, 10), for images of float32 (N, 1, 32, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvNormAct(1, 16, 3, stride=2),
            InvertedResidual(16, 24, stride=1),
            InvertedResidual(24, 24, stride=1),
            InvertedResidual(24, 32, stride=2),
            InvertedResidual(32, 32, stride=1),
            InvertedResidual(32, 48, stride=2),
            InvertedResidual(48, 48, stride=1),
            ConvNormAct(48, 128, 1),
        )
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The scores."""
        scores: torch.Tensor = self.classifier(self.features(image))
        return scores


def digits_net() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The untrained network and inputs of the right shape; ``--arch examples/digits/model.py:digits_net``."""
    return DigitsNet(), (torch.zeros(1, 1, 32, 32),)

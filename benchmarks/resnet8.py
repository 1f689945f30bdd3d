"""ResNet-8 of MLPerf Tiny (image classification on CIFAR-10's 32x32x3), for benchmarks/mcu.py.

Stem of 16 channels, three residual stacks of 16, 32 and 64, the last two with stride 2 and a 1x1 shortcut: 12.5 M
multiply-accumulates. Weights are random: what is counted does not depend on them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Stack(nn.Module):
    """Two 3x3 convolutions and the shortcut around them."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, 1)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1)
        self.shortcut = nn.Conv2d(inside, outside, 1, stride) if inside != outside else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(1, inside, H, W) to (1, outside, H / stride, W / stride)."""
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def resnet8() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The network and an example input, float32 (1, 3, 32, 32)."""
    torch.manual_seed(0)
    stacks = nn.Sequential(Stack(16, 16, 1), Stack(16, 32, 2), Stack(32, 64, 2))
    head = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(dim=1))
    model = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.ReLU(), stacks, head)
    return model.eval(), (torch.zeros(1, 3, 32, 32),)

"""Models of parallel linear branches, as they are trained, and the proof that their branches become one layer."""

from __future__ import annotations

import math
from typing import Any

import torch
from rewrite_proof import Program, error, exported, prove, random
from torch import nn
from torch.nn import functional

from edgekit.export.rewrites import fold_batch_norm, fold_constants, reparameterise

X = random(2, 6, 9, 8)
TOKENS = random(2, 5, 6)
LAYERS = ("aten.conv2d.default", "aten.conv1d.default", "aten.linear.default")


def trained(module: nn.Module, seed: int = 1) -> nn.Module:
    """Norms, scales and biases that move every channel."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.uniform_(-0.5, 0.5, generator=generator)
            layer.running_var.uniform_(0.3, 2.0, generator=generator)
            with torch.no_grad():
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.5, 0.5, generator=generator)
    return module.eval()


def conv_norm(channels: int, size: int, **options: Any) -> nn.Sequential:
    convolution = nn.Conv2d(channels, channels, size, padding=size // 2, bias=False, **options)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


class RepVgg(nn.Module):
    """3x3 + 1x1 + batch norm, then the activation in place."""

    def __init__(self, channels: int = 6, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.dense = conv_norm(channels, 3, stride=stride, groups=groups)
        self.point = conv_norm(channels, 1, stride=stride, groups=groups)
        self.norm = nn.BatchNorm2d(channels) if stride == 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = 0 if self.norm is None else self.norm(x)
        return functional.relu(self.dense(x) + self.point(x) + skip, inplace=True)


class MobileOne(nn.Module):
    """A loop over copies that adds in place, a 1x1 branch and a norm."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.scale, self.identity = conv_norm(channels, 1, groups=channels), nn.BatchNorm2d(channels)
        self.copies = nn.ModuleList(conv_norm(channels, 3, groups=channels) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = 0
        for copy in self.copies:
            out += copy(x)
        out += self.scale(x)
        out += self.identity(x)
        return functional.relu(out, inplace=True)


class RepMixer(nn.Module):
    """FastViT's token mixer: x + scale * (mixer(x) - norm(x))."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.mixer, self.norm = MobileOne(channels), nn.BatchNorm2d(channels)
        self.gamma = nn.Parameter(torch.linspace(-1, 1, channels)[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixer = self.mixer
        mixed = mixer.scale(x) + mixer.identity(x) + sum(copy(x) for copy in mixer.copies)
        return x + self.gamma * (mixed - self.norm(x))


class LargeKernel(nn.Module):
    """A depthwise 7x7 with a 3x3 beside it and a dilated 3x3 (UniRepLKNet), normed each."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.large, self.small = conv_norm(channels, 7, groups=channels), conv_norm(channels, 3, groups=channels)
        self.wide = nn.Conv2d(channels, channels, 3, padding=3, dilation=3, groups=channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.large(x) + self.small(x) + self.wide(x)


class Crossed(nn.Module):
    """A 3x3 with 1x3 and 3x1 beside it (ACNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.square = nn.Conv2d(6, 4, 3, padding=1)
        self.row, self.column = nn.Conv2d(6, 4, (1, 3), padding=(0, 1)), nn.Conv2d(6, 4, (3, 1), padding="same")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.square(x) + self.row(x) - self.column(x)


class Mixed(nn.Module):
    """Branches of different groups, and a norm over all (RepViT)."""

    def __init__(self) -> None:
        super().__init__()
        self.halves = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.each, self.norm = nn.Conv2d(6, 6, 1, groups=6), nn.BatchNorm2d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.halves(x) / 2 + self.each(x) * 0.3 + x)


class RepNormOverConv(nn.Module):
    """alpha * y + norm(y) of a convolution's result, which both read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.alpha = nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.Parameter(torch.tensor([0.7]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.alpha * y + self.norm(y)


class Heads(nn.Module):
    """Two classifiers, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 10), nn.Linear(6, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.one(x) + self.two(x)) / 2


class Residual(nn.Module):
    """x + scale * layer(other), without and with a sign."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...], sign: int = 1) -> None:
        super().__init__()
        self.layer, self.sign = layer, sign
        self.gamma = nn.Parameter(torch.linspace(0.2, 1.5, math.prod(shape)).reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = self.layer(functional.gelu(x)) * self.gamma
        return x + scaled if self.sign > 0 else scaled - x


class Position(nn.Module):
    """A conditional positional encoding: x + depthwise(x)."""

    def __init__(self, kind: type[nn.Module] = nn.Conv2d, size: int = 7) -> None:
        super().__init__()
        self.conv = kind(6, 6, size, padding=size // 2, groups=6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + x


class Pair(nn.Module):
    """Two convolutions of x, added; ``change`` spoils it."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) + self.second(x)


class Plus(nn.Module):
    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.linspace(-1, 1, math.prod(shape)).reshape(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.offset


def merged(model: nn.Module, *inputs: torch.Tensor, places: int = 1) -> Program:
    """Proved within the bound after what comes before it in the table."""
    program = exported(trained(model), *inputs)
    fold_constants.apply(program)
    fold_batch_norm.apply(program)
    macs = sum_of_macs(program)
    assert reparameterise.apply(program) == places
    assert reparameterise.apply(program) == 0
    assert error(program, model, *inputs) <= reparameterise.BOUND
    assert sum_of_macs(program) <= macs
    prove(reparameterise, model, *inputs, places=places)
    return program


def sum_of_macs(program: Program) -> int:
    layers = [node for node in program.graph.nodes if str(node.target) in LAYERS or "conv2d" in str(node.target)]
    return sum(
        node.meta["val"].numel() * math.prod(node.args[1].meta["val"].shape[1:])
        for node in layers
        if node.op == "call_function"
    )

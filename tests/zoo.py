"""Small models for the tests, good and bad, named by ``tests/zoo.py:factory``."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.pointwise(torch.relu(self.norm(self.depthwise(x))))


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def _with_statistics(module: nn.Module) -> nn.Module:
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
    return module.eval()


EXAMPLE = (torch.zeros(1, 3, 32, 32),)


def tiny():
    return _with_statistics(Tiny()), EXAMPLE


def tiny_with_another_activation():
    """The same weights as ``tiny`` has under the same seed."""
    module = _with_statistics(Tiny())
    module.stem[2] = nn.Hardswish()
    return module, EXAMPLE


def tiny_module_only():
    return _with_statistics(Tiny())


def two_inputs_two_outputs():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.scale = nn.Linear(5, 4)

        def forward(self, image: torch.Tensor, extra: torch.Tensor):
            y = self.conv(image) * self.scale(extra)[:, :, None, None]
            return y, y.mean((2, 3))

    return Two().eval(), (torch.zeros(1, 3, 16, 16), torch.zeros(1, 5))


def gives_nan():
    class Nan(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log(-torch.abs(x).sum((1, 2, 3)) - 1.0)

    return Nan().eval(), EXAMPLE


def gives_constant():
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.arange(10.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2, 3), keepdim=False)[:, None] * 0.0 + self.bias

    return Constant().eval(), EXAMPLE


def data_dependent():
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            if y.sum() > 0:  # the line that the message has to name
                return y
            return -y

    return Branch().eval(), EXAMPLE


def lacks_operator():
    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(x.mean(1))  # no mobile format has a singular value decomposition

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.spectrum = Spectrum()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.spectrum(self.conv(x))

    return Net().eval(), EXAMPLE


def gives_nonzero():
    class Where(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x + 1, torch.nonzero(x > 0)  # as many rows as there are positive values

    return Where().eval(), EXAMPLE


def gives_number():
    class Number(nn.Module):
        def forward(self, x: torch.Tensor):
            return x + 1, 3

    return Number().eval(), EXAMPLE


def counts_calls():
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls[0] += 1
            return x * self.calls.sum()

    return Counter().eval(), EXAMPLE


def writes_input():
    class InPlace(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x[:, 0].mul_(2.0)
            return x.mean((2, 3))

    return InPlace().eval(), EXAMPLE


def works_in_place():
    """In-place operators on the model's own intermediates, as nn.ReLU(inplace=True) has them: nothing is wrong."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)).eval(), EXAMPLE


class Branches(nn.Module):
    """torch.cond, whose branches are graphs of their own."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda v: v * self.factor, lambda v: v - 1.0, (x,))


def branches():
    return Branches(2.0).eval(), EXAMPLE


class Attention(nn.Module):
    """Four heads over six tokens, with a mask where ``masked``; ``explicit`` spells the same operations out."""

    def __init__(self, masked: bool = True, explicit: bool = False) -> None:
        super().__init__()
        self.qkv = nn.Linear(32, 96)
        self.masked, self.explicit = masked, explicit
        self.register_buffer("mask", torch.zeros(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).reshape(1, 6, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        mask = self.mask if self.masked else None
        if not self.explicit:
            return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        scores = q @ k.transpose(-2, -1) * 8**-0.5
        return (scores if mask is None else scores + mask).softmax(-1) @ v


class Resize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(self.conv(x), scale_factor=2, mode="bilinear", align_corners=False)


def resize():
    return Resize().eval(), EXAMPLE


def attention():
    return Attention().eval(), (torch.zeros(1, 6, 32),)


class Products(nn.Module):
    """Every kind of layer whose multiply-accumulates are counted; one takes its weight from the input, as no delegate
    can."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(12, 24, 3, padding=1, groups=12)
        self.up = nn.ConvTranspose2d(24, 6, 2, stride=2)
        self.signal = nn.Conv1d(6, 4, 3, padding=1)
        self.weights = nn.Linear(4, 2 * 6 * 9)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = self.up(self.depthwise(self.grouped(self.conv(x).relu()).relu()))
        rows = image.mean(3)
        signal = torch.bmm(self.signal(rows), torch.bmm(rows.transpose(1, 2), rows).softmax(-1))
        weight = self.weights(signal.mean(2)).reshape(2, 6, 3, 3)
        return self.head(nn.functional.conv2d(image, weight, padding=1).mean(3) + signal[:, :2])


def products():
    return Products().eval(), (torch.zeros(1, 3, 16, 16),)

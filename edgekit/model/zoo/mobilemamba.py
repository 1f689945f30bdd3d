"""MobileMamba: channels split between a selective scan with a wavelet branch, a depthwise convolution and a shortcut.

Source: He et al., "MobileMamba: Lightweight Multi-Receptive Visual Mamba Network" (arXiv 2411.15941); sizes as in
lewandofskee/MobileMamba (MIT). Exportable on purpose: the scan runs as a parallel prefix in log2(length) steps of
slices and products, its backward direction shifts the other way instead of reversing the sequence, and the inverse
Haar transform is a grouped 1x1 convolution with a depth-to-space. Published: 8.8/14.2/15.0 M parameters and
0.255/0.413/0.652 G for T2/T4/S6, which ours reach when norms are counted too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from edgekit.model.zoo.blocks import ConvNorm, LayerScale2d, SqueezeExcite
from edgekit.model.zoo.emo import LayerNorm2d

KERNELS = (7, 5, 3)
DEPTHS = (1, 2, 2)
GLOBAL, LOCAL = (0.8, 0.7, 0.6), (0.2, 0.2, 0.3)
SCAN_WIDTH = 2


class Size(NamedTuple):
    """Input side in pixels and the channels of the three stages."""

    side: int
    channels: tuple[int, int, int]


SIZES = {"t2": Size(192, (144, 272, 368)), "t4": Size(192, (176, 368, 448)), "s6": Size(224, (192, 384, 448))}


def scan(decay: torch.Tensor, entry: torch.Tensor, backward: bool) -> torch.Tensor:
    """``h[l] = decay[l] * h[l - 1] + entry[l]`` along the last axis from zero, or from the far end.

    A parallel prefix by doubling (Hillis and Steele, "Data parallel algorithms", 1986) on (N, C, L) tensors. Decays lie
    in 0..1, so no step can overflow.
    """
    length, reach = decay.shape[-1], 1
    while reach < length:
        rest = length - reach
        kept, far = (0, reach) if backward else (reach, 0)
        near_decay, near_entry = decay.narrow(-1, kept, rest), entry.narrow(-1, kept, rest)
        added = near_entry + near_decay * entry.narrow(-1, far, rest)
        product = near_decay * decay.narrow(-1, far, rest)
        edge = rest if backward else 0
        done_decay, done_entry = decay.narrow(-1, edge, reach), entry.narrow(-1, edge, reach)
        entry = torch.cat([added, done_entry] if backward else [done_entry, added], -1)
        decay = torch.cat([product, done_decay] if backward else [done_decay, product], -1)
        reach *= 2
    return entry


class Direction(nn.Module):
    """One selective scan with a state of size 1: its step, input and output weights depend on the input."""

    def __init__(self, channels: int, rank: int, backward: bool) -> None:
        super().__init__()
        self.rank, self.backward = rank, backward
        self.select = nn.Conv1d(channels, rank + 2, 1, bias=False)
        self.step = nn.Conv1d(rank, channels, 1)
        self.log_decay = nn.Parameter(torch.zeros(channels, 1))
        self.through = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rank, enter, leave = torch.split(self.select(x), [self.rank, 1, 1], 1)
        step = functional.softplus(self.step(rank))
        state = scan(torch.exp(-step * torch.exp(self.log_decay)), step * enter * x, self.backward)
        y: torch.Tensor = state * leave + x * self.through
        return y


class SelectiveScan(nn.Module):
    """Gated scan over all pixels, row by row and in reverse, between two 1x1 convolutions; NCHW."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, rank = SCAN_WIDTH * channels, math.ceil(channels / 16)
        self.enter = ConvNorm(channels, 2 * inner)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.act = nn.SiLU()
        self.onward, self.back = Direction(inner, rank, False), Direction(inner, rank, True)
        self.norm = LayerNorm2d(inner)
        self.leave = ConvNorm(inner, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, gate = self.enter(x).chunk(2, 1)
        x = self.act(self.depthwise(x))
        line = x.flatten(2)
        y = (self.onward(line) + self.back(line)).reshape(x.shape)
        out: torch.Tensor = self.leave(self.norm(y) * self.act(gate))
        return out


class WaveletScan(nn.Module):
    """A selective scan beside a depthwise convolution of the four Haar bands."""

    bands: torch.Tensor
    merge: torch.Tensor

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels = channels
        low, high = torch.tensor([0.5, 0.5]).sqrt(), torch.tensor([0.5, 0.5]).sqrt() * torch.tensor([1.0, -1.0])
        pairs = ((low, low), (high, low), (low, high), (high, high))
        haar = torch.stack([rows[:, None] * columns[None, :] for rows, columns in pairs])
        self.register_buffer("bands", haar[:, None].repeat(channels, 1, 1, 1), persistent=False)
        inverse = haar.reshape(4, 4).t().reshape(4, 4, 1, 1)
        self.register_buffer("merge", inverse.repeat(channels, 1, 1, 1), persistent=False)
        self.scan = SelectiveScan(channels)
        self.scan_scale = LayerScale2d(channels, 1.0)
        self.filter = nn.Conv2d(
            4 * channels, 4 * channels, kernel, padding=kernel // 2, groups=4 * channels, bias=False
        )
        self.filter_scale = LayerScale2d(4 * channels, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        even = functional.pad(x, (0, width % 2, 0, height % 2)) if width % 2 or height % 2 else x
        bands = functional.conv2d(even, self.bands, stride=2, groups=self.channels)
        bands = self.filter_scale(self.filter(bands))
        merged = functional.pixel_shuffle(functional.conv2d(bands, self.merge, groups=self.channels), 2)
        y: torch.Tensor = self.scan_scale(self.scan(x)) + merged[:, :, :height, :width]
        return y


class Mixer(nn.Module):
    """Scan, convolution and identity, each on its share of the channels, then ReLU and a 1x1 convolution."""

    def __init__(self, channels: int, kernel: int, global_share: float, local_share: float) -> None:
        super().__init__()
        scanned = (int(global_share * channels) + 8) // 16 * 16
        local = min(int(local_share * channels), channels - scanned)
        self.shares = [scanned, local, channels - scanned - local]
        self.scan = WaveletScan(scanned, kernel)
        self.local = nn.Sequential(
            ConvNorm(local, local, kernel, groups=local, act=nn.ReLU), ConvNorm(local, local, groups=local)
        )
        self.project = nn.Sequential(nn.ReLU(), ConvNorm(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scanned, local, rest = torch.split(x, self.shares, 1)
        y: torch.Tensor = self.project(torch.cat([self.scan(scanned), self.local(local), rest], 1))
        return y


class Residual(nn.Module):
    """Adds its input to what its body makes of it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return x + y


def _local(channels: int) -> nn.Sequential:
    """A residual depthwise 3x3 and a residual 1x1 MLP of twice the width."""
    mlp = nn.Sequential(ConvNorm(channels, 2 * channels, act=nn.ReLU), ConvNorm(2 * channels, channels))
    return nn.Sequential(Residual(ConvNorm(channels, channels, 3, groups=channels)), Residual(mlp))


def _down(channels: int, out: int) -> nn.Sequential:
    """Halves the map: an expansion by 4, a strided depthwise 3x3 and a channel gate, between local layers."""
    hidden = 4 * channels
    gate = SqueezeExcite(hidden, (hidden // 4 + 4) // 8 * 8, nn.Sigmoid)
    return nn.Sequential(
        _local(channels),
        ConvNorm(channels, hidden, act=nn.ReLU),
        ConvNorm(hidden, hidden, 3, 2, groups=hidden, act=nn.ReLU),
        gate,
        ConvNorm(hidden, out),
        _local(out),
    )


class MobileMamba(nn.Module):
    """Input (N, 3, S, S) float32, S a multiple of 16; output (N, classes) logits."""

    def __init__(self, size: Size, num_classes: int = 1000) -> None:
        super().__init__()
        first = size.channels[0]
        widths = (3, first // 8, first // 4, first // 2, first)
        self.stem = nn.Sequential()
        for index in range(4):
            act = nn.ReLU if index < 3 else None
            self.stem.append(ConvNorm(widths[index], widths[index + 1], 3, 2, act=act))
        self.stages = nn.Sequential()
        for index, channels in enumerate(size.channels):
            stage = nn.Sequential(_down(size.channels[index - 1], channels)) if index else nn.Sequential()
            for _ in range(DEPTHS[index]):
                mixer = Residual(Mixer(channels, KERNELS[index], GLOBAL[index], LOCAL[index]))
                stage.append(Residual(nn.Sequential(_local(channels), mixer, _local(channels))))
            self.stages.append(stage)
        self.norm = nn.BatchNorm1d(size.channels[-1])
        self.classify = nn.Linear(size.channels[-1], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(self.norm(self.stages(self.stem(x)).mean((2, 3))))
        return logits


def build(size: str, num_classes: int = 1000) -> MobileMamba:
    """``size`` is "t2", "t4" or "s6"."""
    return MobileMamba(SIZES[size], num_classes)

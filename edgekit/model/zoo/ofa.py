"""Once-for-All: every sub-network of the MobileNetV3 space, by kernel, expansion, depth, width and resolution.

Source: Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient Deployment" (arXiv 1908.09791);
the space is that of mit-han-lab/once-for-all (MIT). A stage has 2 to 4 blocks; each block chooses its kernel (3, 5, 7)
and expansion (3, 4, 6). The configurations of the authors' specialised networks were not found in
their repository, so only the corners of the space have names; ours are counted.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from edgekit.model.zoo.blocks import ConvNorm, InvertedResidual, divisible

KERNELS, EXPANSIONS, DEPTHS = (3, 5, 7), (3, 4, 6), (2, 3, 4)
WIDTHS = ("1.0", "1.2")
RESOLUTIONS = range(128, 257, 4)
STAGES, MOST_BLOCKS = 5, 4
GATE_REDUCTION = 4


class Stage(NamedTuple):
    """Channels at width 1, stride of the first block, activation, and whether the blocks have a channel gate."""

    channels: int
    stride: int
    act: type[nn.Module]
    gate: bool


SPACE = (
    Stage(24, 2, nn.ReLU, False),
    Stage(40, 2, nn.ReLU, True),
    Stage(80, 2, nn.Hardswish, False),
    Stage(112, 1, nn.Hardswish, True),
    Stage(160, 2, nn.Hardswish, True),
)


class Config(NamedTuple):
    """One sub-network: kernel and expansion of the 4 possible blocks of each of 5 stages, depths, width, resolution."""

    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    depths: tuple[int, ...]
    width: float
    resolution: int


class OFAMobileNetV3(nn.Module):
    """Input (N, 3, R, R) float32 with the configuration's resolution R; output (N, classes) logits."""

    def __init__(self, config: Config, num_classes: int = 1000) -> None:
        super().__init__()
        self.input_size = (3, config.resolution, config.resolution)
        channels = divisible(16 * config.width)
        self.stem = nn.Sequential(
            ConvNorm(3, channels, 3, 2, act=nn.Hardswish),
            InvertedResidual(channels, channels, 3, 1, channels, act=nn.ReLU),
        )
        self.stages = nn.Sequential()
        for index, stage in enumerate(SPACE):
            blocks = nn.Sequential()
            for block in range(config.depths[index]):
                choice = index * MOST_BLOCKS + block
                out = divisible(stage.channels * config.width)
                hidden = divisible(channels * config.expansions[choice])
                gate = divisible(hidden // GATE_REDUCTION) if stage.gate else 0
                stride = stage.stride if block == 0 else 1
                blocks.append(
                    InvertedResidual(
                        channels, out, config.kernels[choice], stride, hidden, stage.act, gate, shortcut=block > 0
                    )
                )
                channels = out
            self.stages.append(blocks)
        last, features = divisible(960 * config.width), divisible(1280 * config.width)
        self.expand = ConvNorm(channels, last, act=nn.Hardswish)
        self.mix = nn.Conv2d(last, features, 1, bias=False)
        self.act = nn.Hardswish()
        self.classify = nn.Linear(features, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.expand(self.stages(self.stem(x)))
        x = self.act(self.mix(x.mean((2, 3), keepdim=True)))
        logits: torch.Tensor = self.classify(x.flatten(1))
        return logits


def build(
    ks: str = "7", e: str = "6", d: str = "4", w: str = "1.0", r: str = "224", num_classes: int = 1000
) -> OFAMobileNetV3:
    """A sub-network from its options, as they stand behind ``zoo:ofa_mbv3?``.

    ``ks`` and ``e`` hold one value for all blocks, one per stage (5) or one per possible block (20); ``d`` one value or
    one per stage; ``w`` is 1.0 or 1.2 and ``r`` the resolution in pixels.

    Raises:
        ValueError: a value is outside the space.
    """
    blocks = STAGES * MOST_BLOCKS
    kernels, expansions = _choices(ks, "ks", KERNELS, blocks), _choices(e, "e", EXPANSIONS, blocks)
    if w not in WIDTHS:
        raise ValueError(f"w={w[:20]} is not one of {', '.join(WIDTHS)}")
    resolution = _choices(r, "r", RESOLUTIONS, 1)[0]
    return OFAMobileNetV3(
        Config(kernels, expansions, _choices(d, "d", DEPTHS, STAGES), float(w), resolution), num_classes
    )


def _choices(text: str, key: str, allowed: tuple[int, ...] | range, count: int) -> tuple[int, ...]:
    """``count`` values from a comma-separated list of 1, of one per stage, or of ``count``."""
    parts = text[:200].split(",")
    values = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= 4]
    shown = (
        f"{allowed[0]} to {allowed[-1]} in steps of 4" if isinstance(allowed, range) else ", ".join(map(str, allowed))
    )
    if len(values) != len(parts) or any(value not in allowed for value in values):
        raise ValueError(f"{key}={text[:60]} has a value that is not one of {shown}")
    if len(values) not in (1, min(STAGES, count), count):
        raise ValueError(
            f"{key}={text[:60]} has {len(values)} values; give 1{f', {STAGES}' if count > 1 else ''} or {count}"
        )
    return tuple(value for value in values for _ in range(count // len(values)))

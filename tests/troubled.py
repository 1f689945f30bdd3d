"""Operators that some backend refuses, runs outside its delegate, or gets wrong; each behind a convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

EXAMPLE = (torch.zeros(1, 3, 16, 16),)

_library = torch.library.Library("edgekit_tests", "FRAGMENT")
_library.define("twice(Tensor x) -> Tensor")
_library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
torch.library.register_fake("edgekit_tests::twice", lambda x: torch.empty_like(x), lib=_library)


class After(nn.Module):
    """A function of a convolution's result."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self.conv(x))


FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "spectrum": lambda x: torch.fft.rfft2(x).abs(),
    "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "roll": lambda x: torch.roll(x, (3, 5), (2, 3)),
    "custom": lambda x: torch.ops.edgekit_tests.twice(x),
    "float64": lambda x: F.conv2d(x.double(), torch.ones(2, 4, 3, 3, dtype=torch.float64)).float(),
    "int64": lambda x: (x.argmax(1) * 7 + 3) // 2,
    "bits": lambda x: (x.argmax(1) & 3) | 8,
    "order": lambda x: torch.sort(x, -1)[0],
    "rank_7": lambda x: x.reshape(1, 2, 2, 4, 4, 4, 4).permute(0, 2, 1, 4, 3, 6, 5) * 1.0,
    "volume": lambda x: F.conv3d(x[None], torch.ones(2, 1, 3, 3, 3)),
    "branch": lambda x: torch.cond(x.sum() > 0, lambda v: v * 2, lambda v: v - 1, (x,)),
}


def make(name: str) -> nn.Module:
    """The model of that name, with fixed weights."""
    torch.manual_seed(0)
    return After(FUNCTIONS[name]).eval()


def spectrum() -> Any:
    return make("spectrum"), EXAMPLE


def bicubic() -> Any:
    return make("bicubic"), EXAMPLE


def order() -> Any:
    return make("order"), EXAMPLE

"""Whole networks through edgekit's own loading, export and conversion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mil_programs import export_to, load, random, relative
from torch import nn

from edgekit.convert import parity
from edgekit.convert.coreml import Converter
from edgekit.export.export import export
from edgekit.model.load import load as load_model
from edgekit.model.request import LoadRequest


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.randn(heads, 36, 36))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + self.bias).softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))


class Hybrid(nn.Module):
    """Convolutions, pool mixing with layer scale as in EfficientFormer, then attention blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.GELU())
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.scale = nn.Parameter(torch.rand(24, 1, 1))
        self.down = nn.Conv2d(24, 32, 2, 2)
        self.norms = nn.ModuleList([nn.LayerNorm(32), nn.LayerNorm(32)])
        self.attention = Attention(32, 4)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.down(x + self.scale * (self.pool(x) - x))
        x = x.flatten(2).transpose(1, 2)
        x = x + self.attention(self.norms[0](x))
        x = x + self.mlp(self.norms[1](x))
        return self.head(x.mean(1))


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 5e-6), ("fp16", 2e-2)])
def test_hybrid_of_convolutions_and_attention(tmp_path: Path, precision: str, bound: float) -> None:
    torch.manual_seed(0)
    module = Hybrid().eval()
    x = random(1, 3, 24, 24)
    with torch.no_grad():
        eager = module(torch.from_numpy(x)).numpy()
    program = export_to(module, [torch.from_numpy(x)], tmp_path / "hybrid.mlpackage", precision)
    assert relative(program.run([x])[0], eager) < bound


def test_mobilenet(tmp_path: Path) -> None:
    made = export(load_model(LoadRequest(spec="timm:mobilenetv2_050", input_shape=((1, 3, 96, 96),))))
    path = tmp_path / "mobilenet.mlpackage"
    Converter().convert(made.program, "fp32", path)
    x = random(1, 3, 96, 96)
    with torch.no_grad():
        eager = made.eager(torch.from_numpy(x)).numpy()
    actual = load(path).run([x])[0]
    assert relative(actual, eager) < 5e-5
    assert parity.compare([actual[None]], [eager[None]], "fp32").passed is True

    weights = path / "Data/com.apple.CoreML/weights/weight.bin"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2 + 2] ^= 0x80  # the lowest bit of one weight's exponent: it doubles or halves
    weights.write_bytes(content)
    assert not np.array_equal(load(path).run([x])[0], actual)

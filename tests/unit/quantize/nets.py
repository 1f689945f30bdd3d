"""Small networks for the quantiser, with weights under which every layer counts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from edgekit.convert.litert import Converter
from edgekit.export import rewrites
from edgekit.export.export import export
from edgekit.model.load import Model
from edgekit.model.random_weights import randomise
from edgekit.records import TensorSpec

MANY = 11  # so that args_10 sorts before args_2


class Residual(nn.Module):
    """What a microcontroller's network is made of; ``act`` ends the second convolution."""

    def __init__(self, act: type[nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16), act())
        self.point = nn.Conv2d(16, 16, 1)
        self.classify = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        y = y + self.point(self.depthwise(y))
        logits: torch.Tensor = self.classify(y.mean((2, 3)))
        return logits


class WeightedSum(nn.Module):
    """``MANY`` inputs of one shape."""

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        total = values[0]
        for number, value in enumerate(values[1:], 2):
            total = total + value * number
        return total


def residual(act: type[nn.Module] = nn.ReLU) -> Model:
    spec = TensorSpec(name="image", shape=(1, 3, 32, 32))
    module = Residual(act).eval()
    randomise(module, spec, None, 0)
    return model(module, (spec,))


def weighted_sum() -> Model:
    return model(WeightedSum().eval(), tuple(TensorSpec(name=f"x{k}", shape=(1, 8)) for k in range(MANY)))


def model(module: nn.Module, specs: tuple[TensorSpec, ...]) -> Model:
    return Model(name="net", spec="tests", weights="random", module=module, program=None, inputs=specs, preprocess=None)


def to_tflite(made: Model, path: Path) -> Path:
    """The float file, as the LiteRT backend writes it."""
    program = export(made).program
    rewrites.apply_all(program, "litert")
    Converter().convert(program, "fp32", path)
    return path

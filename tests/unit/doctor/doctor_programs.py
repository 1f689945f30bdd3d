"""Small programs for the doctor's tests, and what a backend's plain converter makes of them."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.convert import backend as backends
from edgekit.convert import judge, parity
from edgekit.export import provenance
from edgekit.records import Parity

Function = Callable[..., Any]


class After(nn.Module):
    """A function of a convolution's result, as a delegate meets an operator."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.function = nn.Conv2d(3, 4, 1), function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self.conv(x))


def image(*shape: int) -> torch.Tensor:
    """Normally distributed float32, the same each time."""
    return torch.randn(shape or (1, 3, 12, 9), generator=torch.Generator().manual_seed(0))


def exported(function: Function, x: torch.Tensor | None = None) -> Any:
    """A program with the function behind a convolution, as the doctor gets it."""
    program = torch.export.export(After(function).eval(), (image() if x is None else x,), strict=False)
    provenance.strip(program)
    return program


def plain_parity(backend: str, folder: Path, function: Function, x: torch.Tensor, *rewrites: str) -> Parity:
    """Convert with these rewrites alone, by default with none, and compare the file with the model."""
    program = exported(function, x)
    for name in rewrites:
        assert importlib.import_module(f"edgekit.export.rewrites.{name}").apply(program)
    with torch.no_grad():
        wanted = After(function).eval()(x).numpy()[None]
    info = backends.lookup(backend)
    path = folder / f"file{info.suffix}"
    with contextlib.redirect_stdout(None):
        backends.instantiate(info).convert(program, "fp32", path)
    return parity.compare(judge.outputs(backend, path, [x.numpy()[None]]), [wanted], "fp32")


def _large(x: torch.Tensor) -> torch.Tensor:
    scaled = torch.sub(x, x * x, alpha=2.5) * 1e6
    return nn.functional.interpolate(scaled, scale_factor=2, mode="bicubic").tanh() + x.mean()


def overflowing() -> Any:
    """Model and example: values that float16 can't hold, an alpha that Core ML drops, a resize that it refuses."""
    return After(_large).eval(), (image(),)


def plain() -> Any:
    """Model and example: nothing to find."""
    return After(torch.relu).eval(), (image(),)

"""Pools that converters refuse, get wrong or leave to the CPU: equal in eager form, and at parity in the file."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import convert, prove, random, refuse
from torch import nn
from torch.nn import functional


class Pool(nn.Module):
    """A pool between two convolutions, as a delegate meets it; ``kind`` is the function's name."""

    def __init__(self, kind: str, **how: Any) -> None:
        super().__init__()
        flat = kind.endswith("1d")
        layer = nn.Conv1d if flat else nn.Conv2d
        torch.manual_seed(0)
        self.before, self.after = layer(3, 4, 1), layer(4, 2, 1)
        self.kind, self.how = getattr(functional, kind), how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.kind(self.before(x), **self.how))


AVG, MAX = "avg_pool2d", "max_pool2d"
# rewrite, function, its arguments
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("pool_1d", "avg_pool1d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("pool_1d", "max_pool1d", {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("pool_divisor", AVG, {"kernel_size": 3, "stride": 2, "padding": 1, "divisor_override": 5}),
    ("padded_avg_pool", AVG, {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("padded_avg_pool", AVG, {"kernel_size": 2, "stride": 3, "ceil_mode": True}),
    ("padded_avg_pool", AVG, {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0), "ceil_mode": True}),
    ("uncounted_avg_pool", AVG, {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False}),
    ("uncounted_avg_pool", AVG, {"kernel_size": 3, "stride": 2, "padding": (0, 1), "count_include_pad": False}),
    ("dilated_max_pool", MAX, {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
    ("dilated_max_pool", MAX, {"kernel_size": 2, "stride": 1, "dilation": (1, 3)}),
    ("odd_max_pool", MAX, {"kernel_size": 3, "stride": 2, "padding": (1, 0)}),
    ("adaptive_avg_pool", "adaptive_avg_pool2d", {"output_size": (4, 3)}),
    ("adaptive_avg_pool", "adaptive_avg_pool2d", {"output_size": 5}),
    ("adaptive_max_pool", "adaptive_max_pool2d", {"output_size": (4, 3)}),
    ("adaptive_max_pool", "adaptive_max_pool2d", {"output_size": 5}),
    ("adaptive_max_pool", "adaptive_max_pool2d", {"output_size": 1}),
]
PLAIN: list[tuple[str, str, dict[str, Any]]] = [
    ("pool_divisor", AVG, {"kernel_size": 2}),
    ("padded_avg_pool", AVG, {"kernel_size": 2, "stride": 2}),
    ("uncounted_avg_pool", AVG, {"kernel_size": 3, "padding": 1}),
    ("dilated_max_pool", MAX, {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("odd_max_pool", MAX, {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("adaptive_avg_pool", "adaptive_avg_pool2d", {"output_size": 1}),
]
# What the converters refuse or get wrong as it is: the file must be at parity in every format.
CONVERTED = [1, 2, 4, 6, 8, 10, 12, 14]


def made(case: tuple[str, str, dict[str, Any]]) -> tuple[Any, Pool, torch.Tensor]:
    name, kind, how = case
    rewrite = importlib.import_module(f"edgekit.export.rewrites.{name}")
    return rewrite, Pool(kind, **how), random(2, 3, 12) if kind.endswith("1d") else random(2, 3, 12, 9)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[2]}")
def test_a_pool_is_equal_within_the_bound(case: tuple[str, str, dict[str, Any]]) -> None:
    prove(*made(case))


@pytest.mark.parametrize("case", PLAIN, ids=lambda c: c[0])
def test_a_pool_that_backends_take_stays(case: tuple[str, str, dict[str, Any]]) -> None:
    refuse(*made(case))


@pytest.mark.parametrize("format_name", ["executorch", "litert", "coreml", "onnx"])
@pytest.mark.parametrize("case", [CASES[i] for i in CONVERTED], ids=lambda c: c[0])
def test_the_file_is_at_parity(case: tuple[str, str, dict[str, Any]], format_name: str, tmp_path: Path) -> None:
    _, model, x = made(case)
    _, found = convert(format_name, tmp_path, model, x)
    assert found.passed, found.reason

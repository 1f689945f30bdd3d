"""Pools that round up to no effect lose that flag; those that need it keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rewrite_proof import convert, prove, random, refuse
from torch import nn
from torch.nn import functional

from edgekit.export.rewrites import needless_ceil


class Pool(nn.Module):
    """A pool that rounds up; ``kind`` is the function's name."""

    def __init__(self, kind: str, *how: Any, **more: Any) -> None:
        super().__init__()
        self.kind, self.how, self.more = getattr(functional, kind), how, more

    def forward(self, x: Any) -> Any:
        return self.kind(x.relu(), *self.how, ceil_mode=True, **self.more)


MAX, AVG = "max_pool2d", "avg_pool2d"
# What it is, its arguments, the input's rows and columns.
NEEDLESS: dict[str, tuple[Pool, int, int]] = {
    "windows that fit": (Pool(MAX, 2, 2), 12, 8),
    "SqueezeNet's": (Pool(MAX, 3, 2), 13, 9),
    "padded windows that fit": (Pool(AVG, 3, 2, 1), 13, 9),
    "uncounted padding": (Pool(AVG, 3, 2, 1, count_include_pad=False), 13, 9),
    "a divisor of its own": (Pool(AVG, 3, 2, 1, divisor_override=4), 13, 9),
    "dilated windows that fit": (Pool(MAX, 3, 2, 1, 2), 11, 7),
    "a window that would start beyond the end": (Pool(MAX, 2, 3), 12, 9),
    "the same, averaged": (Pool(AVG, 2, 3), 12, 9),
    "the same along one axis": (Pool(AVG, 2, 3), 12, 8),
    "windows without a stride": (Pool(AVG, 3), 12, 9),
    "one position in the padding": (Pool(MAX, 2, 3, 1), 13, 10),
}
NEEDED: dict[str, tuple[Pool, int, int]] = {
    "ResNet's stem with a window more": (Pool(MAX, 3, 2), 12, 9),
    "one that reaches over by a column": (Pool(AVG, 2, 2), 12, 9),
    "a window of one row": (Pool(AVG, 2, 3), 13, 9),
}


@pytest.mark.parametrize("name", NEEDLESS)
def test_a_flag_without_effect_goes(name: str) -> None:
    pool, rows, columns = NEEDLESS[name]
    program = prove(needless_ceil, pool, random(2, 3, rows, columns))
    (node,) = (n for n in program.graph.nodes if "pool" in str(n.target))
    assert node.meta["val"].shape == pool(random(2, 3, rows, columns)).shape


@pytest.mark.parametrize("name", NEEDED)
def test_a_flag_with_an_effect_stays(name: str) -> None:
    pool, rows, columns = NEEDED[name]
    refuse(needless_ceil, pool, random(2, 3, rows, columns))


def test_a_pool_that_does_not_round_up_stays() -> None:
    refuse(needless_ceil, nn.MaxPool2d(2), random(1, 3, 12, 9))


@pytest.mark.parametrize("format_name", ["executorch", "litert", "coreml", "onnx"])
@pytest.mark.parametrize("kind", [MAX, AVG])
def test_the_file_is_at_parity(format_name: str, kind: str, tmp_path: Path) -> None:
    _, parity = convert(format_name, tmp_path, Pool(kind, 2, 3), random(1, 3, 12, 9))
    assert parity.passed, parity.reason


def test_xnnpack_takes_an_average_that_no_longer_rounds_up(tmp_path: Path) -> None:
    conversion, _ = convert("executorch", tmp_path, Pool(AVG, 3, 2), random(1, 3, 13, 9))
    assert conversion.partitions == 1 and not conversion.undelegated_ops


@pytest.mark.parametrize("kind", [MAX, AVG])
def test_core_ml_would_give_a_window_too_many(kind: str, tmp_path: Path) -> None:
    _, parity = convert("coreml", tmp_path, Pool(kind, 2, 3), random(1, 3, 12, 9), without=("needless_ceil",))
    assert parity.passed is False and "shape" in str(parity.reason)

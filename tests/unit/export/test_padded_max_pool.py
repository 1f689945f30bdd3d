"""Zeros in front of a max pool stay zeros in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rewrite_proof import convert, prove, random, refuse, targets
from torch.nn import functional

from edgekit.export.rewrites import padded_max_pool

NEGATIVE = random(2, 3, 7, 6).abs().neg() - 1.0  # the zeros are the largest of every window that has one


def pooled(x: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(functional.pad(x * 1.5, (0, 1, 0, 1)), 2, 1)


@pytest.mark.parametrize("sides", [(0, 1, 0, 1), (1, 1, 1, 1), (2, 0), (0, 0, 1, 0), (1, 2, 3, 0)])
def test_a_padding_is_concatenated(sides: tuple[int, ...]) -> None:
    program = prove(padded_max_pool, lambda x: functional.max_pool2d(functional.pad(x, sides), 2, 1), NEGATIVE)
    assert "aten.cat.default" in targets(program) and not any("pad" in target for target in targets(program))


@pytest.mark.parametrize(
    "left_alone",
    [
        lambda x: functional.max_pool2d(functional.pad(torch.relu(x), (0, 1, 0, 1)), 2, 1),
        lambda x: functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-5.0), 2, 1),
        lambda x: functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), mode="reflect"), 2, 1),
        lambda x: functional.max_pool2d(functional.pad(x, (-1, 1, 0, 1)), 2, 1),
        lambda x: functional.avg_pool2d(functional.pad(x, (0, 1, 0, 1)), 2, 1),
        lambda x: functional.max_pool2d(x, 2, 1, padding=1),
    ],
)
def test_others_are_left_alone(left_alone: object) -> None:
    refuse(padded_max_pool, left_alone, NEGATIVE)


def test_onnx_runtime_gets_it_wrong_without_and_right_with(tmp_path: Path) -> None:
    _, without = convert("onnx", tmp_path, pooled, NEGATIVE, without=("padded_max_pool",))
    _, mended = convert("onnx", tmp_path, pooled, NEGATIVE)
    assert without.passed is False, "ONNX Runtime fuses it correctly now: the rewrite can go"
    assert mended.passed is True

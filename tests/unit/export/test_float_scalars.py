"""Numbers beside float tensors are floats for ExecuTorch, so that nothing is converted at run time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rewrite_proof import convert, prove, random, refuse

from edgekit.export.rewrites import float_scalars

X = random(1, 8, 5, 5)


def arithmetic(x: torch.Tensor) -> torch.Tensor:
    y = (1 - x * 2) / 3 + 1
    y = torch.relu(y).add_(4).mul_(2).sub_(1).div_(7)
    return y - 5 + (x - 3) ** 2


@pytest.mark.parametrize("shape", [(3,), (2, 8), (1, 8, 5, 5)])
def test_whole_numbers_become_floats_bit_by_bit(shape: tuple[int, ...]) -> None:
    program = prove(float_scalars, arithmetic, random(*shape), places=10)
    numbers = [arg for node in program.graph.nodes for arg in node.args if isinstance(arg, (int, float))]
    assert [n for n in numbers if isinstance(n, int)] == [2]  # the exponent


def test_integer_tensors_exponents_and_large_numbers_stay() -> None:
    refuse(float_scalars, lambda x: (x + 1, x * 2, x**2), torch.arange(6))
    refuse(float_scalars, lambda x: (x**3, x * 1.5, x + ((1 << 24) + 1), x.clamp(0, 6)), X)
    refuse(float_scalars, lambda x: x + 1, X.double())


def test_nothing_is_left_outside_the_delegate(tmp_path: Path) -> None:
    conversion, parity = convert("executorch", tmp_path, arithmetic, X)
    assert parity.passed and conversion.partitions == 1 and not conversion.undelegated_ops

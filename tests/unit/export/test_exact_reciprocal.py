"""Reciprocals and reciprocal square roots become divisions: Core ML's own add an epsilon that PyTorch doesn't have."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rewrite_proof import convert, prove, random, refuse, targets

from edgekit.export.rewrites import exact_reciprocal, exact_rsqrt

SMALL = torch.tensor([[-3.0, -1e-3, -1e-4, 1e-6, 5e-5, 0.01, 0.5, 40.0]])


@pytest.mark.parametrize("form", [torch.reciprocal, lambda x: 1 / x, lambda x: 3.0 / x, lambda x: 1 / (1 / x)])
def test_a_reciprocal_is_a_division_of_one_bit_by_bit(form: object) -> None:
    program = prove(exact_reciprocal, form, SMALL, places=targets_of(form).count("aten.reciprocal.default"))
    assert "aten.reciprocal.default" not in targets(program)
    assert exact_reciprocal.BOUND == 0.0


def targets_of(form: object) -> list[str]:
    from rewrite_proof import exported

    return targets(exported(form, SMALL))


def test_special_values_are_kept() -> None:
    prove(exact_reciprocal, torch.reciprocal, torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-42]))


def test_all_reciprocals_share_one_constant() -> None:
    program = prove(exact_reciprocal, lambda x: 1 / x + 1 / (x + 1), SMALL, places=2)
    assert len(program.constants) == 1


@pytest.mark.parametrize("shape", [(7,), (2, 3, 4), (1, 8, 5, 5)])
def test_a_reciprocal_square_root_is_a_division_by_the_root(shape: tuple[int, ...]) -> None:
    program = prove(exact_rsqrt, lambda x: torch.rsqrt(x * x), random(*shape))
    assert "aten.rsqrt.default" not in targets(program)


@pytest.mark.parametrize("rewrite", [exact_reciprocal, exact_rsqrt])
def test_other_dtypes_and_operators_stay(rewrite: object) -> None:
    refuse(rewrite, lambda x: (torch.reciprocal(x), torch.rsqrt(x)), random(4).double())
    refuse(rewrite, lambda x: (x / 2, torch.sqrt(x), x**-1, 1 - x), SMALL)


def test_core_ml_divides_by_what_is_almost_zero(tmp_path: Path) -> None:
    def form(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 2 / x, torch.rsqrt(x * x)

    assert convert("coreml", tmp_path, form, SMALL)[1].passed
    _, wrong = convert("coreml", tmp_path, form, SMALL, without=("exact_reciprocal", "exact_rsqrt"))
    assert wrong.passed is False and "output 0" in str(wrong.reason) and "output 1" in str(wrong.reason)


def test_xnnpack_takes_the_division(tmp_path: Path) -> None:
    conversion, parity = convert("executorch", tmp_path, lambda x: 2 / x, SMALL)
    assert parity.passed and not conversion.undelegated_ops
    before, _ = convert("executorch", tmp_path, lambda x: 2 / x, SMALL, without=("exact_reciprocal",))
    assert [op.op for op in before.undelegated_ops or ()] == ["aten.reciprocal.out"]

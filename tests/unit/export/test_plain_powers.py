"""Powers become products and roots, as torch's own kernel computes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rewrite_proof import convert, error, prove, random, refuse, targets

from edgekit.export.rewrites import plain_powers

X = random(2, 8, 5, 6)


@pytest.mark.parametrize("exponent", [2.0, 3, 3.0, 4, 0.5, -0.5, -1, -2, -2.0])
def test_a_power_is_what_torch_computes(exponent: float) -> None:
    program = prove(plain_powers, lambda x: x.abs() ** exponent, X)
    assert not [t for t in targets(program) if "pow" in t]
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, -2.0, 1e-30])
    signed = prove(plain_powers, lambda x: x**exponent, special)
    if exponent != 4:
        assert error(signed, lambda x: x**exponent, special) == 0.0


def test_what_the_delegate_takes_or_is_no_small_power_stays() -> None:
    refuse(plain_powers, lambda x: (x**2, x.square(), x**5, x.abs() ** 0.3, 2.0**x, x**x), X)
    refuse(plain_powers, lambda x: x**3, torch.arange(6))


@pytest.mark.parametrize("format_name", ["executorch", "litert"])
def test_the_delegate_takes_all_of_it(format_name: str, tmp_path: Path) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return (x**3 + (x + 5) ** 0.5) * (x + 6) ** -1 + x**2.0 + x**4

    conversion, parity = convert(format_name, tmp_path, model, X)
    assert parity.passed and conversion.partitions == 1 and not conversion.undelegated_ops

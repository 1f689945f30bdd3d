"""``add`` and ``sub`` lose their alpha, which Core ML and LiteRT's converter can't be told, and keep their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rewrite_proof import convert, prove, random, refuse, targets

from edgekit.export.rewrites import explicit_alpha

X, Y = random(2, 8, 5), random(8, 1, seed=1)

FORMS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: torch.add(x, y, alpha=2.5),
    "sub": lambda x, y: torch.sub(x, y, alpha=2.5),
    "subtract": lambda x, y: torch.subtract(x, y, alpha=-0.5),
    "rsub": lambda x, y: torch.rsub(x, y, alpha=3),
    "add number": lambda x, y: torch.add(x, 1.5, alpha=2) + y,
    "sub number": lambda x, y: torch.sub(x, 1.5, alpha=2) + y,
    "rsub number": lambda x, y: torch.rsub(x, 1.5, alpha=2) + y,
    "add zero times": lambda x, y: torch.add(x, y, alpha=0),
    "in place": lambda x, y: torch.relu(x).sub_(y, alpha=2.5),
    "in place, read before and after": lambda x, y: (lambda z: (z * 2, z.add_(y, alpha=2.5), z + 1))(torch.relu(x)),
}


@pytest.mark.parametrize("form", FORMS)
def test_alpha_becomes_a_product(form: str) -> None:
    program = prove(explicit_alpha, FORMS[form], X, Y)
    assert all("alpha" not in node.kwargs for node in program.graph.nodes)


def test_a_number_is_multiplied_when_converting() -> None:
    program = prove(explicit_alpha, lambda x: torch.sub(x, 1.5, alpha=2), X)
    assert targets(program) == ["aten.sub.Tensor"]


@pytest.mark.parametrize("form", [lambda x, y: x + y, lambda x, y: torch.sub(x, y, alpha=1), lambda x, y: 1 - x])
def test_what_has_no_alpha_stays(form: Callable[..., Any]) -> None:
    refuse(explicit_alpha, form, X, Y)


def test_integers_stay() -> None:
    refuse(explicit_alpha, lambda x: torch.add(x, x, alpha=2), torch.arange(6))


@pytest.mark.parametrize("format_name", ["coreml", "litert", "executorch"])
def test_the_converted_file_has_the_factor(format_name: str, tmp_path: Path) -> None:
    conversion, parity = convert(format_name, tmp_path, FORMS["sub"], X, Y)
    assert parity.passed and not conversion.undelegated_ops


def test_core_ml_would_lose_the_factor(tmp_path: Path) -> None:
    _, parity = convert("coreml", tmp_path, FORMS["sub"], X, Y, without=("explicit_alpha",))
    assert parity.passed is False

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.doctor.precision import float16_problems, whole_number_problems
from edgekit.export import provenance

X = torch.linspace(0.1, 1.0, 16).reshape(1, 16)


def exported(function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)

    program = torch.export.export(Net(), (X,), strict=False)
    provenance.strip(program)
    return program


@pytest.mark.parametrize(
    ("function", "node", "says"),
    [
        (lambda x: x * 1e5, "mul", "reach 1e+05"),
        (lambda x: torch.rsqrt(x * 1e-9), "rsqrt", "divides by 1e-10"),
        (lambda x: 1e-8 / (x * 1e-9), "reciprocal", "divides by 1e-10"),
        (lambda x: torch.ones_like(x) / (x * 1e-9), "div", "divides by 1e-10"),
        (lambda x: (x * 1e-9).log(), "log", "divides by 1e-10"),
        (lambda x: nn.functional.layer_norm(x * 1e-6, (16,), eps=1e-12), "layer_norm", "float16 can't tell from zero"),
        (lambda x: x + (x * 9999).to(torch.int64).float(), "to_1", "exact in float16 only to 2048"),
    ],
)
def test_what_float16_can_not_hold_is_found_at_its_operator(function: Any, node: str, says: str) -> None:
    problems = {problem.node: problem for problem in float16_problems(exported(function), [(X,)])}
    assert problems[node].severity == "precision" and says in problems[node].cause


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 6e4,
        lambda x: torch.rsqrt(x + 1e-12),
        lambda x: (x * 1e-9) + 1.0,  # what is too small does no harm where it is added
        lambda x: (x * 9).softmax(-1),
        lambda x: nn.functional.layer_norm(x, (16,)),
    ],
)
def test_what_fits_is_not_reported(function: Any) -> None:
    assert float16_problems(exported(function), [(X,)]) == []


def test_the_largest_value_over_all_samples_counts() -> None:
    program = exported(lambda x: x * 1e5)
    (problem,) = float16_problems(program, [(X,), (X * 3,)])
    assert "reach 3e+05" in problem.cause


def test_whole_numbers_beyond_32_bits_are_wrong() -> None:
    program = exported(lambda x: (x.argmax(1) * 3_000_000_000).float())
    (problem,) = whole_number_problems(program, [(X,)])
    assert (problem.node, problem.severity) == ("mul", "wrong") and "4.5e+10" in problem.cause
    assert problem.remedy is not None and "2**31" in problem.remedy


def test_whole_numbers_that_fit_are_not_reported() -> None:
    assert whole_number_problems(exported(lambda x: (x.argmax(1) * 3).float()), [(X,)]) == []


def test_nothing_runs_for_a_program_without_whole_numbers() -> None:
    broken = exported(lambda x: x.relu())
    assert whole_number_problems(broken, [("not a tensor",)]) == []  # type: ignore[list-item]

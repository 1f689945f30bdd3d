"""What executorch's own front half says of a program, operator by operator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import troubled
from doctor_programs import exported, image
from torch import nn
from torch.nn import functional

from edgekit.convert.backend import BACKENDS, instantiate
from edgekit.doctor.executorch import Checker
from edgekit.doctor.problems import Examination


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker("fp32")


def fails(examined: Examination) -> list[tuple[str, str]]:
    return [(p.node, p.cause) for p in examined.problems if p.severity == "fails"]


class Rolls(nn.Module):
    """As often as ``count``: ``roll``, which XNNPACK doesn't take, and a convolution."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = conv(x.roll(1, 3))
        return x


def test_a_program_that_the_delegate_takes_is_one_partition_and_no_problem(checker: Checker) -> None:
    assert checker.examine(exported(lambda x: x.relu())) == Examination((), partitions=1, undelegated={})


def test_the_program_is_not_changed(checker: Checker) -> None:
    program = exported(Rolls(1))
    before = str(program.graph)
    checker.examine(program)
    assert str(program.graph) == before


@pytest.mark.parametrize("count", [1, 2])
def test_an_operator_between_partitions_splits_and_its_price_is_told(checker: Checker, count: int) -> None:
    examined = checker.examine(exported(Rolls(count)))
    assert examined.partitions == count + 1
    rolls = [p for p in examined.problems if p.node.startswith("roll")]
    assert {p.node for p in rolls} == {f"roll_{n}" if n else "roll" for n in range(count)}
    assert {(p.severity, p.partitions) for p in rolls} == {("splits", count)}


def test_an_operator_at_the_end_stays_outside_and_splits_nothing(checker: Checker) -> None:
    examined = checker.examine(exported(lambda x: x.argmax(1)))
    (problem,) = examined.problems
    assert (problem.node, problem.severity, problem.partitions) == ("argmax", "undelegated", None)
    assert examined.partitions == 1 and examined.undelegated == {"aten.argmax.out": 1}


def test_the_partitioner_says_why(checker: Checker) -> None:
    examined = checker.examine(exported(lambda x: x.mean((2, 3)).relu()))
    (mean,) = (p for p in examined.problems if p.node == "mean")
    assert mean.cause == "mean.dim only supports keepdim=True" and mean.operator == "aten.mean.dim"
    assert (mean.severity, mean.partitions, examined.partitions) == ("splits", 1, 2)


def test_other_types_than_floats_are_named(checker: Checker) -> None:
    examined = checker.examine(exported(lambda x: x.argmax(1) * 3))
    causes = {p.node: p.cause for p in examined.problems}
    assert causes["mul"] == "XNNPACK takes floats, and here is int64"


REFUSED = {
    "adaptive_max_pool2d": (lambda x: functional.adaptive_max_pool2d(x, 3), "Core ATen opset"),
    "twice": (troubled.FUNCTIONS["custom"], "no variant that writes into memory"),
    "sort": (troubled.FUNCTIONS["order"], "no kernel for it"),
    "conv3d": (troubled.FUNCTIONS["volume"], "at most two spatial axes"),
    "reshape": (lambda x: x.reshape(1, 2, 2, 2, 2, 3, 12), "at most 6 axes"),
}


@pytest.mark.parametrize("node", REFUSED)
def test_what_will_fail_is_named_with_the_reason(checker: Checker, node: str) -> None:
    function, says = REFUSED[node]
    found = fails(checker.examine(exported(function, image(1, 3, 12, 12))))
    assert [name for name, cause in found if says in cause] == [node], found


def test_a_spectrum_is_blamed_where_its_complex_numbers_come_from(checker: Checker) -> None:
    found = fails(checker.examine(exported(troubled.FUNCTIONS["spectrum"])))
    assert {node for node, _ in found} == {"fft_rfft2"}


def test_an_operator_that_fails_is_not_also_outside_the_delegate(checker: Checker) -> None:
    problems = checker.examine(exported(troubled.FUNCTIONS["order"])).problems
    assert [p.severity for p in problems if p.node == "sort"] == ["fails"]


def test_a_branch_is_followed_and_traced_to_its_condition(checker: Checker) -> None:
    def function(x: torch.Tensor) -> Any:
        return torch.cond(x.sum() > 0, lambda v: torch.roll(v, 1, 3), lambda v: v - 1, (x,))

    examined = checker.examine(exported(function))
    assert "cond" in {p.node for p in examined.problems} and not fails(examined)


@pytest.mark.parametrize("function", [Rolls(2), lambda x: x.argmax(1), troubled.FUNCTIONS["roll"]])
def test_what_is_said_is_what_the_file_holds(checker: Checker, function: Any, tmp_path: Any) -> None:
    examined = checker.examine(exported(function))
    made = instantiate(BACKENDS["executorch"]).convert(exported(function), "fp32", tmp_path / "model.pte")
    outside = {op.op: op.count for op in made.undelegated_ops or ()}
    assert (examined.partitions, examined.undelegated) == (made.partitions, outside)

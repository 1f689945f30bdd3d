"""Unusual operators are converted on trial: what is refused, comes out wrong, or is as it should be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import troubled
from doctor_programs import Function, exported, image
from torch.nn import functional

from edgekit.doctor import trial
from edgekit.doctor.excerpt import constants
from edgekit.doctor.plain import is_plain
from edgekit.doctor.problems import Problem


class Counted(trial.Checker):
    """A checker that counts its trials."""

    def __init__(self, backend: str) -> None:
        super().__init__(backend, "fp32")
        self.trials = 0

    def _try(self, *arguments: Any) -> Problem | None:
        self.trials += 1
        return super()._try(*arguments)


def said(checker: Counted, function: Function, x: torch.Tensor | None = None) -> list[tuple[str, str]]:
    return [(p.node, p.severity) for p in checker.examine(exported(function, x)).problems]


@pytest.mark.parametrize("backend", ["litert", "coreml", "onnx"])
def test_well_known_operators_need_no_trial(backend: str) -> None:
    checker = Counted(backend)
    assert (
        said(checker, lambda x: functional.gelu(functional.max_pool2d(x, 3, 2, 1)) @ x[:, :, :7, :5].transpose(2, 3))
        == []
    )
    assert checker.trials == 0


REFUSED: list[tuple[str, str, Function, str]] = [
    ("litert", "adaptive_max_pool2d", lambda x: functional.adaptive_max_pool2d(x, 3), "Lowering not found"),
    ("litert", "sub", lambda x: torch.sub(x, x * x, alpha=2.5), "alpha"),
    ("coreml", "upsample_bicubic2d", troubled.FUNCTIONS["bicubic"], "upsample_bicubic2d"),
    ("coreml", "max_pool2d", lambda x: functional.max_pool2d(x, 3, 2, 1, 2), "dilation"),
    ("coreml", "twice", troubled.FUNCTIONS["custom"], "twice"),
    ("onnx", "twice", troubled.FUNCTIONS["custom"], "twice"),
]


@pytest.mark.parametrize(
    ("backend", "node", "function", "says"), REFUSED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_refusal_is_blamed_on_its_operator_in_the_converters_words(
    backend: str, node: str, function: Function, says: str
) -> None:
    (problem,) = trial.Checker(backend, "fp32").examine(exported(function)).problems
    assert (problem.node, problem.severity) == (node, "fails") and says in problem.cause
    assert f".{node.rstrip('_')}" in problem.operator


WRONG: list[tuple[str, str, Function, str]] = [
    ("litert", "max_pool2d", lambda x: functional.max_pool2d(x, 3, 1, (1, 0)), "the shape (1, 4, 12, 9), not"),
    ("litert", "max_pool2d", lambda x: functional.max_pool2d(x, 3, 2, ceil_mode=True), "the shape"),
    (
        "litert", "avg_pool2d", lambda x: functional.avg_pool2d(x, 3, 2, (0, 1), count_include_pad=False), "the shape"
    ),
    ("coreml", "avg_pool2d", lambda x: functional.avg_pool2d(x, 2, 3, ceil_mode=True), "the shape"),
    (
        "coreml", "_upsample_bilinear2d_aa",
        lambda x: functional.interpolate(x, size=(5, 4), mode="bilinear", antialias=True), "not PyTorch's",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("backend", "node", "function", "says"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_a_file_that_converts_and_is_wrong_is_found(backend: str, node: str, function: Function, says: str) -> None:
    (problem,) = trial.Checker(backend, "fp32").examine(exported(function)).problems
    assert (problem.node, problem.severity) == (node, "wrong") and says in problem.cause


def test_a_file_that_the_runtime_can_not_load_fails() -> None:
    function: Function = lambda x: functional.avg_pool2d(x, 2, 3, ceil_mode=True)  # noqa: E731 - as in the tables above
    (problem,) = trial.Checker("litert", "fp32").examine(exported(function)).problems
    assert (problem.node, problem.severity) == ("avg_pool2d", "fails")
    assert problem.cause.startswith("it converts, but the runtime can't run the result")


@pytest.mark.parametrize(
    ("backend", "function"),
    [
        ("litert", lambda x: functional.max_pool2d(x, 2, 2, ceil_mode=True)),
        ("coreml", lambda x: functional.avg_pool2d(x, 3, 2, ceil_mode=True)),
        ("coreml", lambda x: functional.max_pool2d(x, 3, 2, ceil_mode=True)),
        ("onnx", lambda x: functional.adaptive_max_pool2d(x, (4, 3))),
    ],
)
def test_what_is_tried_and_right_is_no_problem(backend: str, function: Function) -> None:
    checker = Counted(backend)
    assert said(checker, function) == [] and checker.trials > 0


def test_equal_operators_are_tried_once_and_a_second_program_only_for_what_is_new() -> None:
    def twice(x: torch.Tensor) -> Any:
        return functional.max_pool2d(x, 3, 1, (1, 0)).relu(), functional.max_pool2d(x, 3, 1, (1, 0)).relu()

    checker = Counted("litert")
    first = said(checker, twice)
    assert first == [("max_pool2d", "wrong"), ("max_pool2d_1", "wrong")]
    assert checker.trials == 1
    assert said(checker, twice) == first and checker.trials == 1


def test_what_is_over_the_number_of_trials_is_counted_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def two(x: torch.Tensor) -> Any:
        return functional.max_pool2d(x, 3, 1, (1, 0)).relu(), functional.max_pool2d(x, 3, 1, (0, 1)).relu()

    monkeypatch.setattr(trial, "MAX_TRIALS", 1)
    checker = Counted("litert")
    assert said(checker, two) == [("max_pool2d", "wrong")]
    assert (checker.trials, checker.untried) == (1, 1)


@pytest.mark.parametrize(("backend", "refused"), [("litert", True), ("coreml", True), ("onnx", False)])
def test_control_flow(backend: str, refused: bool) -> None:
    problems = trial.Checker(backend, "fp32").examine(exported(troubled.FUNCTIONS["branch"])).problems
    assert [p.node for p in problems if p.severity == "fails"] == (["cond"] if refused else [])


def test_operators_that_are_unusual_for_their_type_are_blamed_together_with_it() -> None:
    (problem,) = trial.Checker("litert", "fp32").examine(exported(troubled.FUNCTIONS["float64"])).problems
    assert problem.node == "conv2d_1" and problem.cause.startswith("in float64: ")
    assert problem.remedy is not None and "float32" in problem.remedy


def test_a_region_is_what_hangs_together_and_what_is_beside_it() -> None:
    program = exported(lambda x: (torch.sub(x.relu(), x.abs(), alpha=2.0).exp() + 1).sigmoid())
    nodes = {node.name: node for node in program.graph.nodes}
    region = trial._region(nodes["sub"], [nodes["sub"], nodes["exp"]], constants(program))
    assert [node.name for node in region] == ["relu", "abs_1", "sub", "exp", "add"]


def test_trials_are_made_on_positive_numbers_and_on_index_zero() -> None:
    class Indexed(torch.nn.Module):
        def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            return x.log()[index]

    part = torch.export.export(Indexed(), (image(4, 3), torch.zeros(2, dtype=torch.int64)), strict=False)
    numbers, index = trial._examples(part)
    assert float(numbers.min()) > 0 and float(numbers.max()) < 1 and numbers.shape == (4, 3)
    assert index.dtype is torch.int64 and not bool(index.any())


@pytest.mark.parametrize(
    ("backend", "function", "plain"),
    [
        ("litert", lambda x: torch.add(x, x, alpha=2), False),
        ("litert", lambda x: torch.add(x, x, alpha=1), True),
        ("onnx", lambda x: torch.add(x, x, alpha=2), True),
        ("litert", lambda x: functional.max_pool2d(x, 3, 2, 1), True),
        ("litert", lambda x: functional.max_pool2d(x, 3, 2, (1, 0)), False),
        ("litert", lambda x: functional.avg_pool2d(x, 3, 2, ceil_mode=True), False),
        ("coreml", lambda x: functional.max_pool2d(x, 3, 2, (1, 0)), True),
        ("coreml", lambda x: functional.avg_pool2d(x, 3, 2, ceil_mode=True), False),
        ("coreml", lambda x: x.reshape(1, 2, 2, 2, 6, 9) * 2, False),
        ("litert", lambda x: x.double() * 2, False),
    ],
)
def test_which_operators_are_tried(backend: str, function: Function, plain: bool) -> None:
    nodes = [node for node in exported(function).graph.nodes if node.op == "call_function"]
    assert is_plain(nodes[-1], backend) is plain

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from edgekit.doctor.problems import History
from edgekit.doctor.proof import Prover, largest_difference
from edgekit.export import provenance
from edgekit.export.rewrites import REWRITES, graph

X = (torch.linspace(-1.0, 1.0, 3 * 64).reshape(1, 3, 8, 8),)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.aten.alias(self.norm(self.conv(x))).relu()


@pytest.fixture
def program() -> Any:
    torch.manual_seed(0)
    net = Net().eval()
    nn.init.uniform_(net.norm.running_var, 0.5, 1.5)
    made = torch.export.export(net, X, strict=False)
    provenance.strip(made)
    return made


def installed(monkeypatch: pytest.MonkeyPatch, factor: float, bound: float | None) -> None:
    """A rewrite that multiplies what goes into the relu."""

    def apply(program: Any) -> int:
        (relu,) = (n for n in program.graph.nodes if n.name == "relu")
        relu.args = (graph.call(program, relu, torch.ops.aten.mul.Tensor, relu.args[0], factor),)
        graph.finish(program)
        return 1

    module: Any = ModuleType("edgekit.export.rewrites.scaled")
    module.REASON, module.apply = "for the test", apply
    if bound is not None:
        module.BOUND = bound
    monkeypatch.setitem(sys.modules, "edgekit.export.rewrites.scaled", module)


def test_a_rewrite_within_its_bound_is_proved(program: Any) -> None:
    prover = Prover(program, [X], History.of(program))
    identities, folded = prover.apply("remove_identities"), prover.apply("fold_batch_norm")
    assert identities is not None and (identities.places, identities.difference, identities.proved) == (1, 0.0, True)
    assert folded is not None and folded.proved is True and folded.bound is not None
    assert folded.difference is not None and 0 < folded.difference <= folded.bound


def test_a_rewrite_that_leaves_its_bound_is_not_proved(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, 1.001, 1e-5)
    proof = Prover(program, [X], History.of(program)).apply("scaled")
    assert proof is not None and proof.proved is False
    assert proof.difference == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize(("samples", "bound"), [([], 1e-5), ([X], None)])
def test_without_inputs_or_a_bound_nothing_is_proved(
    program: Any, monkeypatch: pytest.MonkeyPatch, samples: Any, bound: float | None
) -> None:
    installed(monkeypatch, 2.0, bound)
    past = History.of(program)
    proof = Prover(program, samples, past).apply("scaled")
    assert proof is not None and proof.proved is None and proof.samples == len(samples)


def test_a_rewrite_that_changes_nothing_is_not_reported(program: Any) -> None:
    assert Prover(program, [X], History.of(program)).apply("odd_nearest_resize") is None


def test_each_rewrite_is_compared_with_the_program_right_before_it(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, 3.0, 1e-5)
    prover = Prover(program, [X], History.of(program))
    assert prover.apply("scaled").proved is False  # type: ignore[union-attr]
    after = prover.apply("remove_identities")
    assert after is not None and after.difference == 0.0


def test_differences_are_relative_to_the_largest_value() -> None:
    a, b = torch.tensor([1.0, -8.0]), torch.tensor([1.5, -8.0])
    assert largest_difference([[a]], [[b]]) == 0.5 / 8


def test_nan_and_infinity_agree_with_themselves_only() -> None:
    bad = torch.tensor([float("nan"), float("inf"), 2.0])
    assert largest_difference([[bad]], [[bad.clone()]]) == 0.0
    assert largest_difference([[bad]], [[torch.tensor([0.0, float("inf"), 2.0])]]) == float("inf")
    assert largest_difference([[torch.zeros(2)]], [[torch.ones(2)]]) == float("inf")
    assert largest_difference([[torch.zeros(2)]], [[torch.zeros(3)]]) == float("inf")


def test_every_rewrite_of_the_table_has_a_reason_and_a_bound() -> None:
    import importlib

    for rewrite in REWRITES:
        module = importlib.import_module(f"edgekit.export.rewrites.{rewrite.name}")
        assert module.REASON and 0.0 <= module.BOUND <= 1e-4, rewrite.name

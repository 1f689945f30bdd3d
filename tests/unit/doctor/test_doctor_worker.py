"""What the doctor's workers make of proofs, outputs and backends that they do not know."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from doctor_programs import exported, image

from edgekit.diagnosis import RewriteProof
from edgekit.doctor import trial, worker
from edgekit.doctor.executorch import Checker as ExecutorchChecker
from edgekit.doctor.problems import Examination, History, Problem
from edgekit.doctor.proof import Prover
from edgekit.export.rewrites import tanh_gelu


def test_each_backend_has_its_checker_and_a_third_partys_has_none() -> None:
    assert isinstance(worker.checker("executorch", "fp32"), ExecutorchChecker)
    for name in ("litert", "coreml", "onnx"):
        assert isinstance(worker.checker(name, "fp32"), trial.Checker)
    assert worker.checker("somebodys", "fp32") is None


def test_a_note_says_what_is_not_known() -> None:
    assert "does not know what it converts" in str(worker._note(None))
    checker = trial.Checker("litert", "fp32")
    assert worker._note(checker) is None
    checker.untried = 3
    assert str(worker._note(checker)).startswith("3 unusual operators were not tried")


def test_a_rewrite_that_leaves_its_bound_is_a_finding_without_a_mender() -> None:
    given: dict[str, Any] = {"places": 2, "reason": "r", "bound": 1e-6, "samples": 1}
    proofs = [RewriteProof(name="good", difference=1e-7, proved=True, **given),
              RewriteProof(name="bad", difference=0.25, proved=False, **given),
              RewriteProof(name="not_run", difference=None, proved=None, **given)]  # fmt: skip
    (finding,) = worker._unproved(proofs, "litert")
    assert (finding.op, finding.severity, finding.proved, finding.rewrite) == ("bad", "wrong", False, None)
    assert "2.5e-01" in finding.cause and "1e-06" in finding.cause and finding.count == 2


@pytest.mark.parametrize(("factor", "meaningless"), [(1.0, False), (0.0, True), (float("nan"), True)])
def test_an_output_on_which_any_file_would_pass_is_a_finding(factor: float, meaningless: bool) -> None:
    program = exported(lambda x: torch.ops.aten.alias(x) * factor)
    prover = Prover(program, [(image(),), (image() * 2 + 1,)], History.of(program))
    assert prover.apply("remove_identities") is not None
    found = worker._meaningless(prover, "net")
    assert [(f.severity, f.backend, f.rewrite) for f in found] == ([("wrong", "", None)] if meaningless else [])


def test_what_would_have_been_wrong_is_told_once() -> None:
    program = exported(lambda x: torch.nn.functional.gelu(x, approximate="tanh").relu())
    history, suspects = History.of(program), {"tanh_gelu": {"gelu", "relu"}, "exact_rsqrt": {"relu"}}
    assert tanh_gelu.apply(program) == 1
    history.record("tanh_gelu", program)
    (problem,) = worker._silent(history, suspects, Examination(()))
    assert (problem.node, problem.severity, problem.cause) == ("gelu", "wrong", tanh_gelu.REASON)
    for severity in ("fails", "wrong"):
        assert worker._silent(history, suspects, Examination((Problem("gelu", severity, "c"),))) == []
    assert len(worker._silent(history, suspects, Examination((Problem("gelu", "splits", "c"),)))) == 1
    assert worker._silent(history, {}, Examination(())) == []

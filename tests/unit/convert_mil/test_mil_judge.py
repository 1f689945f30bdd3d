"""Core ML parity in the conversion itself: judged by the evaluator, never passed where that lacks something."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.convert import backend, entries, events, judge, parity, worker
from edgekit.convert.cache import Cache
from edgekit.convert.convert import convert
from edgekit.convert.launch import Outcome
from edgekit.convert.mil.operators import table
from edgekit.convert.request import ConvertRequest, GoldenRequest
from edgekit.model.request import LoadRequest
from edgekit.records import Artifact

ZOO = str(Path(__file__).parents[2] / "zoo.py")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("judge") / "cache")


@pytest.fixture(scope="module")
def outcome(cache: Cache) -> Outcome:
    request = ConvertRequest(
        load=LoadRequest(spec=f"{ZOO}:tiny"), formats=("coreml",), golden=GoldenRequest(count=3), cache=str(cache.root)
    )
    return convert(request, lambda event: None)


def task(outcome: Outcome, cache: Cache) -> worker.Task:
    assert outcome.exported is not None
    return worker.Task(backend.lookup("coreml"), outcome.exported, "fp32", cache, True, None, None)


def judged_again(outcome: Outcome, cache: Cache) -> tuple[Artifact, list[events.Event]]:
    """Judge the converted file once more, in this process."""
    said: list[events.Event] = []
    worker.run(task(outcome, cache), said.append)
    made = said[-1]
    assert isinstance(made, events.ArtifactReady)
    return made.artifact, said


def test_core_ml_passes_parity(outcome: Outcome) -> None:
    (artifact,) = outcome.artifacts
    found = artifact.parity
    assert (found.passed, found.reason, found.samples) == (True, None, 3)
    assert found.max_abs is not None and found.max_abs < 1e-5


def test_parity_is_kept_until_the_evaluator_changes(
    outcome: Outcome, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcome.exported is not None
    (artifact,) = outcome.artifacts
    assert entries.settled_parity(cache, artifact, outcome.exported, True) == artifact.parity
    assert len(entries.parity_outputs(cache, artifact, outcome.exported)) == 1
    monkeypatch.setattr(judge, "version", lambda name: "another evaluator")
    assert entries.settled_parity(cache, artifact, outcome.exported, True) is None


def test_versions_name_what_judges() -> None:
    ours = judge.version("coreml")
    assert ours is not None and ours.startswith("mil ") and ", torch " in ours
    assert judge.version("onnx") not in (None, ours)
    assert judge.version("stone_tablet") is None
    assert judge.hindrance("coreml") is None
    assert judge.hindrance("stone_tablet") == "no runtime for stone_tablet files on this system"
    assert judge.evaluator_of("coreml") == "edgekit's reference evaluator"
    assert judge.evaluator_of("onnx") is None


def test_missing_operator_is_not_checked(outcome: Outcome, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "version", lambda name: "without conv")
    monkeypatch.delitem(table.OPERATORS, "conv")
    artifact, said = judged_again(outcome, cache)
    assert artifact.parity.passed is None
    assert artifact.parity.reason is not None
    assert artifact.parity.reason.startswith("Core ML operator 'conv' (in ")
    assert artifact.parity.reason.endswith(") is not implemented by the reference evaluator")
    assert artifact.parity.max_abs is None
    assert not any(isinstance(e, events.Progress) and e.state == "failed" for e in said)
    # The answer is kept, without outputs that nobody computed.
    assert outcome.exported is not None
    assert entries.settled_parity(cache, artifact, outcome.exported, True) == artifact.parity
    assert entries.parity_outputs(cache, artifact, outcome.exported) == ()


def test_wrong_operator_fails_and_is_named(outcome: Outcome, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluator that computes relu wrongly stands for a file that does: the first relu is where it shows."""
    monkeypatch.setattr(judge, "version", lambda name: "with a wrong relu")
    monkeypatch.setitem(table.OPERATORS, "relu", lambda call: call.tensor("x").clamp_min(0.05))
    artifact, said = judged_again(outcome, cache)
    assert artifact.parity.passed is False
    first = artifact.parity.first_divergence
    assert first is not None and first.op == "aten.relu.default" and first.module.startswith("stem.2")
    assert any(isinstance(e, events.Progress) and (e.stage, e.state) == ("locate", "started") for e in said)


@pytest.mark.parametrize("bit", [0x40, 0x80])
def test_flipped_weight_fails_parity(outcome: Outcome, tmp_path: Path, bit: int) -> None:
    assert outcome.exported is not None
    package = Path(shutil.copytree(outcome.artifacts[0].path, tmp_path / "flipped.mlpackage"))
    golden = outcome.exported.golden
    inputs, reference = [np.load(p) for p in golden.inputs], [np.load(p) for p in golden.outputs]

    def compared() -> Any:
        return parity.compare(judge.outputs("coreml", package, inputs), reference, "fp32").passed

    assert compared() is True
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    content = bytearray(weights.read_bytes())
    content[128 + 3] ^= bit  # the highest byte of the first weight: its sign, or its exponent's highest bit
    weights.write_bytes(content)
    assert compared() is False

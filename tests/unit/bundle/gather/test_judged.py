from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.bundle.gather import judged as judged_module
from edgekit.bundle.gather.judged import judged
from edgekit.bundle.gather.source import Located, locate
from edgekit.bundle.request import source_text
from edgekit.convert import entries, judge
from edgekit.convert.mil.failures import NotEvaluated
from edgekit.errors import BundleError
from edgekit.records import Artifact, Exported, Parity
from tests.unit.bundle.kept import Kept


class Runs:
    """Stands for the runtime: answers PyTorch's outputs, a little off, and counts its calls."""

    def __init__(self, exported: Exported, off: float) -> None:
        self.exported, self.off, self.count = exported, off, 0

    def __call__(self, format_name: str, path: Path, sha256: str, inputs: Sequence[Any]) -> list[Any]:
        self.count += 1
        assert [len(one) for one in inputs] == [self.exported.golden.count]
        return [np.load(name) + np.float32(self.off) for name in self.exported.golden.outputs]


@pytest.fixture
def never(kept: Kept) -> tuple[Artifact, Exported]:
    """A file that was converted and not judged."""
    exported = kept.export()
    return kept.convert(exported, judged=False, stored=True), exported


def runs(monkeypatch: pytest.MonkeyPatch, exported: Exported, off: float = 1e-5) -> Runs:
    made = Runs(exported, off)
    monkeypatch.setattr(judged_module, "run_file", made)
    return made


def found(kept: Kept, artifact: Artifact) -> Located:
    return locate(source_text(artifact.path), "linux", kept.store, kept.cache)


def parity(kept: Kept, artifact: Artifact, exported: Exported) -> Parity:
    return judged(artifact, exported, Path(artifact.path), Path(artifact.path), kept.cache)


def test_a_file_that_nobody_judged_is_judged_once(
    kept: Kept, never: tuple[Artifact, Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, exported = never
    engine = runs(monkeypatch, exported)
    first, second = (found(kept, artifact).artifact.parity for _ in range(2))
    assert first == second and engine.count == 1
    assert first.passed is True and first.samples == 8 and first.golden_sha256 == exported.golden.sha256
    assert first.max_abs == pytest.approx(1e-5, rel=0.1)
    (answers,) = entries.parity_outputs(kept.cache, artifact, exported)
    assert np.array_equal(np.load(answers), np.load(exported.golden.outputs[0]) + np.float32(1e-5))


def test_another_version_of_the_runtime_judges_again(
    kept: Kept, never: tuple[Artifact, Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, exported = never
    kept.judge(artifact, exported, max_abs=0.5)
    engine = runs(monkeypatch, exported)
    assert parity(kept, artifact, exported).max_abs == 0.5 and engine.count == 0
    monkeypatch.setattr(judge, "version", lambda _format: "9.9")
    assert parity(kept, artifact, exported).max_abs != 0.5 and engine.count == 1


def test_a_file_that_fails_is_refused_and_left_to_a_conversion_to_explain(
    kept: Kept, never: tuple[Artifact, Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, exported = never
    runs(monkeypatch, exported, off=3.0)
    with pytest.raises(BundleError, match="does not compute what its model computes"):
        found(kept, artifact)
    assert entries.find_parity(kept.cache, artifact, exported) is None


def test_what_can_not_be_run_here_stays_unjudged_with_the_reason(
    kept: Kept, never: tuple[Artifact, Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, exported = never
    engine = runs(monkeypatch, exported)
    monkeypatch.setattr(judge, "hindrance", lambda _format: "the runtime litert is not installed")
    made = found(kept, artifact).artifact.parity
    assert (made.passed, made.reason) == (None, "the runtime litert is not installed") and engine.count == 0
    assert made.tolerance is not None


def test_an_operator_that_the_evaluator_lacks_is_the_reason(
    kept: Kept, never: tuple[Artifact, Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*_given: object) -> list[Any]:
        raise NotEvaluated("zip", "node 3")

    artifact, exported = never
    monkeypatch.setattr(judged_module, "run_file", lacks)
    made = parity(kept, artifact, exported)
    assert made.passed is None and "operator 'zip' (in node 3) is not implemented" in (made.reason or "")


def test_golden_data_that_are_damaged_are_said(kept: Kept, never: tuple[Artifact, Exported]) -> None:
    artifact, exported = never
    Path(exported.golden.inputs[0]).write_bytes(b"?")
    with pytest.raises(BundleError, match="golden inputs of net can't be read"):
        parity(kept, artifact, exported)

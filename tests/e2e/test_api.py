"""The public verbs for programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import ZOO

import edgekit
from edgekit.errors import ConvertError, ModelError, ParityError, UsageError

MODEL = f"{ZOO}:tiny"
PLAN = edgekit.Plan(warmup_min_runs=1, warmup_min_seconds=0.0, min_runs=5, min_seconds=0.0, repeats=1)


def test_convert_answers_records_and_tells_what_it_does(tmp_path: Path) -> None:
    told: list[object] = []
    (artifact,) = edgekit.convert(MODEL, ["onnx"], output=tmp_path, on_event=told.append)
    assert isinstance(artifact, edgekit.Artifact)
    assert artifact.parity.passed is True and Path(artifact.path).parent == tmp_path
    (again,) = edgekit.convert(MODEL, ["onnx"])
    assert again.cached is True and again.sha256 == artifact.sha256
    assert Path(again.path).is_file() and Path(again.path) != Path(artifact.path)  # it stays in the cache


def test_check_answers_a_verdict_for_each_file(tmp_path: Path) -> None:
    (artifact,) = edgekit.convert(MODEL, ["onnx"], output=tmp_path)
    (right,) = edgekit.check(MODEL, [artifact.path])
    assert right.parity.passed is True and right.path == artifact.path and right.exported_sha256 is None
    (wrong,) = edgekit.check(f"{ZOO}:tiny_with_another_activation", [Path(artifact.path)])
    assert wrong.parity.passed is False and wrong.parity.first_divergence is not None
    with pytest.raises(UsageError, match="There is no file"):
        edgekit.check(MODEL, [tmp_path / "gone.onnx"])


def test_deploy_measures_and_results_finds_it(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'own.sqlite'}"
    (made,) = edgekit.deploy(MODEL, formats=["onnx"], plan=PLAN, store=store)
    assert made.device_parity.passed is True and made.measurement.samples >= 5
    (kept,) = edgekit.results(store=store)
    assert (kept.id, kept.p50_ms) == (made.measurement.id, made.measurement.p50_ms)


def test_profile_answers_operators() -> None:
    (profile,) = edgekit.profile(MODEL, formats=["onnx"], runs=3)
    assert profile.runs == 3 and profile.ops


@pytest.mark.parametrize(
    ("model", "formats", "kind"),
    [
        ("/no/such/model.pt", ["onnx"], ModelError),
        (MODEL, ["tensorrt"], UsageError),
        (f"{ZOO}:gives_nan", ["onnx"], ParityError),
        (f"{ZOO}:branches", ["onnx", "litert"], ConvertError),  # one of the two works
    ],
)
def test_what_fails_is_raised(model: str, formats: list[str], kind: type[edgekit.EdgekitError]) -> None:
    with pytest.raises(kind) as caught:
        edgekit.convert(model, formats)
    assert caught.value.next_step


def test_the_package_lists_what_it_offers() -> None:
    for name in edgekit.__all__:
        assert getattr(edgekit, name) is not None
    assert dir(edgekit) == sorted(edgekit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        edgekit.trian  # noqa: B018 - the access is what is tested

"""The doctor's processes, forked and spawned: the same reports, whatever the start method and the number of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import doctor_programs
import msgspec
import pytest
import torch

from edgekit.convert import events
from edgekit.diagnosis import Finding
from edgekit.doctor import session
from edgekit.doctor.request import DoctorRequest
from edgekit.model.request import LoadRequest


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    """A session sets them for the workers that it forks."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def asked(name: str, *formats: str, **options: Any) -> DoctorRequest:
    load = LoadRequest(spec=f"{doctor_programs.__file__}:{name}")
    return DoctorRequest(load=load, formats=formats, **options)


def heard(request: DoctorRequest, folder: Path, start_method: str | None = None) -> list[events.Event]:
    said: list[events.Event] = []
    session.run(request, said.append, folder, start_method)
    return said


def reports(said: list[events.Event]) -> list[Any]:
    """What was said in the end, without times."""
    last = [event for event in said if isinstance(event, (events.Proved, events.Examined, events.Failed))]
    plain = [msgspec.to_builtins(event) for event in last]
    for event in plain:
        event.get("report", {}).pop("seconds", None)
    return sorted(plain, key=str)


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> list[events.Event]:
    return heard(asked("overflowing", "coreml", precision="fp16"), tmp_path_factory.mktemp("forked"), "fork")


def of(said: list[events.Event]) -> dict[tuple[str, str], Finding]:
    (examined,) = (event for event in said if isinstance(event, events.Examined))
    return {(f.severity, f.op): f for f in examined.findings}


def test_a_spawned_process_says_the_same(forked: list[events.Event], tmp_path: Path) -> None:
    spawned = heard(asked("overflowing", "coreml", precision="fp16"), tmp_path, "spawn")
    assert reports(spawned) == reports(forked) and len(reports(forked)) == 2


def test_one_job_says_the_same_as_two(tmp_path: Path) -> None:
    said = [reports(heard(asked("plain", "executorch", jobs=jobs), tmp_path)) for jobs in (1, 2)]
    assert said[0] == said[1] and len(said[0]) == 2


def test_what_float16_can_not_hold_is_found_at_its_operator(forked: list[events.Event]) -> None:
    finding = of(forked)["precision", "aten.mul.Tensor"]
    assert "float16 ends at 65504" in finding.cause and finding.rewrite is None
    assert "doctor_programs.py" in finding.source


def test_what_a_rewrite_mends_in_place_is_told_and_examined_again(forked: list[events.Event]) -> None:
    found = of(forked)
    assert found["wrong", "aten.sub.Tensor"].rewrite == "explicit_alpha"
    assert found["fails", "aten.upsample_bicubic2d.vec"].rewrite == "bicubic_resize"
    (examined,) = (event for event in forked if isinstance(event, events.Examined))
    assert examined.report.before.failing == ("aten.upsample_bicubic2d.vec",)
    assert examined.report.after.failing == () and examined.report.convertible is True
    assert {proof.name for proof in examined.report.rewrites} >= {"explicit_alpha", "bicubic_resize"}
    assert all(proof.proved for proof in examined.report.rewrites)


def test_float32_loses_nothing_here(tmp_path: Path) -> None:
    assert {severity for severity, _ in of(heard(asked("overflowing", "coreml"), tmp_path))} == {"wrong", "fails"}


def test_every_stage_is_announced_and_ends(forked: list[events.Event]) -> None:
    progress = [(e.stage, e.state, e.format) for e in forked if isinstance(e, events.Progress)]
    for stage, name in (("load", None), ("export", None), ("prove", None), ("examine", "coreml")):
        assert progress.index((stage, "started", name)) < progress.index((stage, "finished", name))


def test_without_the_model_only_the_backends_are_examined(tmp_path: Path) -> None:
    said = heard(asked("plain", "onnx", model=False), tmp_path)
    assert [type(e) for e in said if not isinstance(e, events.Progress)] == [events.ExportedReady, events.Examined]

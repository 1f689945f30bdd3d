from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
import zoo

from edgekit.convert import events, launch
from edgekit.convert.request import ConvertRequest
from edgekit.errors import ConvertError, ExportError
from edgekit.model.request import LoadRequest


def asked(tmp_path: Path, model: str = "tiny", *formats: str) -> ConvertRequest:
    load = LoadRequest(spec=f"{zoo.__file__}:{model}")
    return ConvertRequest(load=load, formats=formats or ("litert", "onnx"), cache=str(tmp_path / "cache"))


def session() -> psutil.Process:
    alive = (p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE)
    (found,) = (p for p in alive if "edgekit.convert.session" in p.cmdline())
    return found


def all_end(family: list[psutil.Process]) -> bool:
    """A killed process that is not our child takes a moment to be gone."""
    alive = psutil.wait_procs(family, timeout=10)[1]
    return len(family) >= 2 and all(p.status() == psutil.STATUS_ZOMBIE for p in alive)


def test_a_session_that_is_killed_fails_every_format_that_was_not_done(tmp_path: Path) -> None:
    family: list[psutil.Process] = []

    def kill(event: events.Event) -> None:
        started = isinstance(event, events.Progress) and (event.stage, event.state) == ("convert", "started")
        if started and not family:  # the second format's event may already be on its way
            leader = session()
            family.extend([leader, *leader.children(recursive=True)])
            leader.kill()

    outcome = launch.run_session(asked(tmp_path), kill)
    assert outcome.artifacts == [] and list(outcome.errors) == ["litert", "onnx"]
    for name, error in outcome.errors.items():
        assert isinstance(error, ConvertError) and error.code == 11
        assert error.message == f"The conversion process was killed by SIGKILL while {name} was being converted."
        assert error.next_step
    assert all_end(family)


def test_a_session_that_is_killed_early_is_an_error_of_the_call(tmp_path: Path) -> None:
    def kill(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.stage == "load" and event.state == "started":
            session().kill()

    with pytest.raises(ConvertError, match="killed by SIGKILL before the model was exported"):
        launch.run_session(asked(tmp_path), kill)


def test_what_a_session_reports_is_raised_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="control flow") as caught:
        launch.run_session(asked(tmp_path, "data_dependent"), lambda event: None)
    assert "GuardOnDataDependentSymNode" in str(caught.value.facts["traceback"])


def test_an_exception_in_the_caller_ends_the_session_and_its_workers(tmp_path: Path) -> None:
    family: list[psutil.Process] = []

    def interrupt(event: events.Event) -> None:
        started = isinstance(event, events.Progress) and (event.stage, event.state) == ("convert", "started")
        if started and not family:  # the second format's event may already be on its way
            leader = session()
            family.extend([leader, *leader.children(recursive=True)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch.run_session(asked(tmp_path), interrupt)
    assert all_end(family)
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_process_that_can_not_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edgekit").mkdir()
    (tmp_path / "edgekit/__init__.py").write_text("raise ImportError('broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(os.sep)
    with pytest.raises(ConvertError, match="ended with status 1 before the model was exported") as caught:
        launch.run_session(asked(tmp_path), lambda event: None)
    assert "broken installation" in caught.value.facts["log_tail"]

from __future__ import annotations

import re
import sys

import pytest

from edgekit.cli.progress import ProgressView
from edgekit.convert.events import Failed, Progress

EVENTS = (
    Progress(stage="load", state="started"),
    Progress(stage="load", state="finished", seconds=1.25),
    Progress(stage="convert", state="waiting", format="litert"),
    Progress(stage="convert", state="started", format="litert"),
    Progress(stage="convert", state="finished", format="litert", seconds=2.0),
    Progress(stage="parity", state="started", format="litert"),
    Failed(error={}, format="litert"),
    Progress(stage="parity", state="failed", format="litert", seconds=0.5),
)


def shown(quiet: bool, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    with ProgressView(quiet) as view:
        for event in EVENTS:
            view.on_event(event)
        view.say("net litert fp32: repeat 1 of 2")
        view.say("net litert fp32: repeat 2 of 2")
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_elsewhere_than_on_a_terminal_every_step_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = shown(False, capsys)
    assert out == ""
    assert [line.partition("] ")[2] for line in err.splitlines()] == [
        "model: load the model (1.2 s)",
        "litert: convert (2.0 s)",
        "litert: compare with PyTorch FAILED (0.5 s)",
        "net litert fp32: repeat 1 of 2",
        "net litert fp32: repeat 2 of 2",
    ]


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(True, capsys) == ("", "")


def test_a_terminal_gets_live_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    out, err = shown(False, capsys)
    assert out == ""
    err = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err)
    for text in ("model: load the model", "litert: convert", "compare with PyTorch failed", "repeat 2 of 2"):
        assert text in err

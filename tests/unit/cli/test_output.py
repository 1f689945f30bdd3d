from __future__ import annotations

import json

import pytest

from edgekit.cli import main, output
from edgekit.errors import ConvertError, ModelError, UntrustworthyError


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (1_234_567, "1.2 MB"), (12_300_000_000, "12.30 GB")],
)
def test_bytes_for_people(count: int | None, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.01234, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123")]
)
def test_milliseconds_have_three_digits(value: float | None, text: str) -> None:
    assert output.milliseconds(value) == text


def test_a_document_is_one_and_has_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    output.document({"things": [1, None]})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"schema": 1, "things": [1, None]} and err == ""


def test_a_failure_is_the_same_for_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    error = ModelError("No.", where="a.pt", next_step="Do it.", nearest=["b.pt"])
    assert output.fail(error, as_json=True) == 10
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": 1,
        "error": {"code": 10, "kind": "model", "message": "No.", "where": "a.pt", "next_step": "Do it.",
                  "nearest": ["b.pt"]},
    }  # fmt: skip
    assert err == "edgekit: No.\n  where: a.pt\n  next:  Do it.\n"
    assert output.fail(error, as_json=False) == 10
    assert capsys.readouterr().out == ""


def test_tracebacks_and_logs_are_for_people_who_ask(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConvertError("No.", traceback="Traceback: here", log_tail="noise")
    output.fail(error, as_json=True)
    out, err = capsys.readouterr()
    assert "traceback" not in json.loads(out)["error"] and "log_tail" not in json.loads(out)["error"]
    assert "Traceback" not in err
    output.fail(error, as_json=False, traceback=True)
    assert capsys.readouterr().err.startswith("Traceback: here\nedgekit: No.")


def test_markup_in_names_is_not_interpreted(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("[red]x[/red]", [("Model", "left")], [["[bold]net[/bold]"]])
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out and "[bold]net[/bold]" in out


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (UntrustworthyError("No."), 14)])
def test_whatever_a_command_raises_becomes_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: BaseException, code: int
) -> None:
    def fails() -> list[object]:
        raise raised

    monkeypatch.setattr("edgekit.device.resolve.list_devices", fails)
    assert main.main(["devices", "--json"]) == code
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == code
    assert err.strip().startswith("edgekit: ")


def test_every_command_in_the_table_is_a_command() -> None:
    for name in main.COMMANDS:
        command = main.LazyGroup().get_command(None, name)  # type: ignore[arg-type]
        assert command is not None and command.callback is not None
    assert main.LazyGroup().get_command(None, "nothing") is None  # type: ignore[arg-type]


def test_what_is_not_utf8_is_refused_in_words_and_never_breaks_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["convert", "/tmp/\udcff.pt", "--to", "litert", "--json"]) == 2
    assert "is not UTF-8" in json.loads(capsys.readouterr().out)["error"]["message"]
    output.document({"files": [{"path": "a\udcff"}], "names": ("é",)})
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "files": [{"path": "a\\udcff"}], "names": ["é"]}

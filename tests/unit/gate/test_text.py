"""What people and CI services read."""

from __future__ import annotations

import pytest

from edgekit.cli import gate
from edgekit.errors import EdgekitError, IncomparableError, ParityError, RegressedError
from edgekit.gate.lines import Line, ModelReport
from edgekit.gate.run import Checked
from edgekit.records import Artifact, DeviceParity, Parity

LINES = (
    Line(quantity="parity", unit="parity", result="ok", now=9.5e-7),
    Line(quantity="size", unit="bytes", result="regressed", baseline=43_300, now=159_400, change=2.681,
         ci95=(2.681, 2.681), tolerance=0.01),
    Line(quantity="top1", unit="share", result="undecided", baseline=0.7512, now=0.7, change=-0.0512,
         ci95=(-0.11, 0.01), tolerance=0.005),
    Line(quantity="top1", unit="share", result="ok", now=0.7, limit=0.65),
    Line(quantity="latency", unit="ms", result="regressed", baseline=0.211, now=0.79, change=2.746,
         ci95=(2.736, 2.778), tolerance=0.02, rounds=10, passes=2),
    Line(quantity="p50", unit="ms", result="over-budget", now=12.345, limit=12.0, rounds=20, passes=2),
    Line(quantity="peak_rss", unit="bytes", result="ok", baseline=57e6, now=58e6, change=0.0175,
         ci95=(0.01, 0.03), tolerance=0.05),
    Line(quantity="instructions", unit="count", result="same-file", baseline=110_827_341, now=110_827_341, change=0.0),
    Line(quantity="/a/long/way/to/s.py:recall", unit="value", result="not-checked", baseline=0.8, now=0.81,
         change=0.01, note="free"),
)  # fmt: skip


def report(*lines: Line) -> ModelReport:
    artifact = Artifact(sha256="a" * 64, bytes=1, format="litert", precision="fp32", path="x", model="net",
                        exported_sha256=None, parity=Parity(passed=True))  # fmt: skip
    return ModelReport(name="net|1", artifact=artifact, baseline_sha256="b" * 64,
                       device_parity=DeviceParity(passed=True, bit_equal=True), lines=lines)  # fmt: skip


def test_the_table_fits_into_80_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    gate.show_model(report(*LINES), "host")
    out = capsys.readouterr().out
    rows = out.splitlines()[: 3 + len(LINES)]
    assert all(len(row) <= 80 for row in rows), out
    assert "+275% (+274%, +278%)" in out and "≥ 65.00%" in out and "≤ 12.0 ms" in out and "can't tell" in out
    assert "110.827 M" in out and "\nrecall" in out


def test_every_line_that_is_not_ok_has_its_sentence() -> None:
    made = gate.sentences(report(*LINES))
    assert [text.split(":")[0] for text in made] == ["size", "top1", "latency", "p50", "recall"]
    assert "found twice; the second time by 10 rounds of its own" in made[2] and "above its limit" in made[3]
    assert "--strict fails it" in made[1]


def test_a_summary_keeps_its_table_whatever_is_in_a_name() -> None:
    errors: dict[str, EdgekitError] = {"<b>": RegressedError("worse | much", next_step="look")}
    text = gate.markdown_text(Checked(models=[report(*LINES)], errors=errors), 1)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(LINES) and all(line.count("|") == 7 for line in table)
    assert "net\\|1" in text and "&lt;b&gt;" in text and "worse \\| much" in text


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([IncomparableError("x")], 2),
        ([IncomparableError("x"), RegressedError("x")], 1),
        ([RegressedError("x"), ParityError("x")], 12),
    ],
)
def test_the_worst_failure_is_the_exit_code(errors: list[EdgekitError], code: int) -> None:
    assert gate.exit_code({str(number): error for number, error in enumerate(errors)}) == code

"""The tables of ``convert`` and ``check`` for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.cli import check, convert
from edgekit.convert.check import Checked
from edgekit.records import Artifact, Exported, Golden, Parity, UndelegatedOp

GOLDEN = Golden(sha256="g", count=8, source="generated pictures", inputs=(), outputs=())
EXPORTED = Exported(
    sha256="e", name="net", spec="net.pt", weights="file net.pt", inputs=(), outputs=(), parameters=1, program="",
    golden=GOLDEN,
)  # fmt: skip
NOTE = "there is no delegate"


def artifact(name: str, **fields: Any) -> Artifact:
    parity = Parity(passed=False, reason="wrong", max_abs=1.5e-3, psnr_db=62.25)
    return Artifact(
        sha256="a", bytes=123_456_789, format=name, precision="fp32", path=f"/out/{'long_' * 12}{name}.bin",
        model="net", exported_sha256="e", parity=parity, weights="file net.pt", convert_seconds=1234.5, **fields,
    )  # fmt: skip


ARTIFACTS = [
    artifact(
        "executorch", operators=12_345, weight_bytes=99_000_000, partitions=123, undelegated_macs_share=0.4567,
        undelegated_ops=tuple(UndelegatedOp(op=f"aten.operator_{n}.out", count=9 - n) for n in range(9)),
    ),
    artifact("litert", operators=20, weight_bytes=1, partitions=1, undelegated_macs_share=0.0, undelegated_ops=()),
    artifact("onnx", operators=30, weight_bytes=2, placement_note=NOTE),
]  # fmt: skip


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "80")

    def printed(what: Any, *arguments: Any) -> list[str]:
        what(*arguments)
        return capsys.readouterr().out.splitlines()

    return printed


def row(found: list[str], start: str, heading: str) -> list[str]:
    """The cells of the first row that begins so, below the table's heading."""
    below = found[next(index for index, line in enumerate(found) if line.startswith(heading)) :]
    return next(line for line in below if line.startswith(start)).split()


def test_size_and_placement_stand_side_by_side(lines: Any) -> None:
    found = lines(convert.show, ARTIFACTS, EXPORTED)
    placed = [row(found, name, "Size and placement") for name in ("executorch", "litert", "onnx")]
    assert placed[0] == ["executorch", "123.5", "MB", "99.0", "MB", "12345", "123", "45", "45.7%"]
    assert placed[1] == ["litert", "123.5", "MB", "1", "B", "20", "1", "0", "0.0%"]
    assert placed[2] == ["onnx", "123.5", "MB", "2", "B", "30", "-", "-", "-"]


def test_undelegated_operators_are_named_and_a_missing_figure_has_its_reason(lines: Any) -> None:
    found = lines(convert.show, ARTIFACTS, EXPORTED)
    (named,) = (line for line in found if "outside the delegate" in line)
    assert named.startswith("executorch: outside the delegate: 9 aten.operator_0.out, 8 aten.operator_1.out, ")
    assert named.endswith("4 aten.operator_5.out, and 3 more kinds (--json lists them).")
    assert f"onnx: {NOTE}." in found


@pytest.mark.parametrize("what", ["convert", "check"])
def test_the_tables_fit_into_80_columns(lines: Any, what: str) -> None:
    if what == "convert":
        found = lines(convert.show, ARTIFACTS, EXPORTED)
    else:
        found = lines(check.show, Checked(exported=EXPORTED, artifacts=ARTIFACTS))
    # Sentences and paths may be longer: they are one line each, to be copied.
    tables = [line for line in found if not line.endswith(".") and not line.startswith("/")]
    assert len(tables) > 10
    assert max(len(line) for line in tables) <= 80


def test_a_check_names_each_file(lines: Any) -> None:
    found = lines(check.show, Checked(exported=EXPORTED, artifacts=ARTIFACTS))
    text = "".join("".join(line.split()[0] if line.split() else "" for line in found))
    for entry in ARTIFACTS:
        assert Path(entry.path).name[:20] in text
    assert row(found, "Golden", "Size")[:3] == ["Golden", "inputs:", "8,"]

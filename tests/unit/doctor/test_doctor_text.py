"""The doctor's report for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.cli import doctor_text
from edgekit.convert.remedies import REST_OUTSIDE
from edgekit.diagnosis import BackendReport, Diagnosis, Finding, ModelReport, ModuleCost, Placement, RewriteProof
from edgekit.errors import ConvertError, EdgekitError, ParityError
from edgekit.records import TensorSpec, UndelegatedOp

WIDTH = 80


def placement(partitions: int | None, *outside: tuple[str, int]) -> Placement:
    ops = None if partitions is None else tuple(UndelegatedOp(op=op, count=n) for op, n in outside)
    return Placement(partitions=partitions, undelegated_ops=ops, failing=())


def backend(name: str, before: Placement, after: Placement, **fields: Any) -> BackendReport:
    return BackendReport(name=name, before=before, after=after, **{"precision": "fp32", "convertible": True, **fields})


def proof(name: str, difference: float | None = 2.5e-7, proved: bool | None = True) -> RewriteProof:
    return RewriteProof(name=name, places=2, reason="r", bound=1e-6, difference=difference, samples=2, proved=proved)


def model(**fields: Any) -> ModelReport:
    given: dict[str, Any] = {
        "name": "net", "spec": "net.py:make", "weights": "random weights", "outputs": (),
        "inputs": (TensorSpec(name="x", shape=(1, 3, 32, 32), dtype="float32"),), "operators": 42,
        "parameters": 1_234_567, "weight_bytes": 4_938_268, "macs": 1_271_183_360, "traffic_bytes": 33_000_000,
        "peak_activation_bytes": 2_500_000,
    }  # fmt: skip
    return ModelReport(**{**given, **fields})


def finding(severity: Any, name: str = "litert", **fields: Any) -> Finding:
    given = {"op": "aten.sort.default", "module": "blocks.0 (Block)", "source": "", "cause": "no such operator",
             "remedy": "Sort outside the model."}  # fmt: skip
    return Finding(severity=severity, backend=name, **{**given, **fields})


NONE = placement(None)
BACKENDS = (
    backend("executorch", placement(5, ("aten.mean.out", 2), ("aten.sub.out", 4)), placement(1)),
    backend("litert", placement(1), placement(1), convertible=False),
    backend("coreml", NONE, NONE, convertible=None, note="3 unusual operators were not tried"),
)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("NO_COLOR", "1")

    def show(*findings: Finding, errors: dict[str, EdgekitError] | None = None, **fields: Any) -> list[str]:
        given = {"model": model(), "backends": BACKENDS[:1], **fields}
        doctor_text.show(Diagnosis(findings=findings, **given), errors or {})
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= WIDTH
        return lines

    return show


def text(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def cells(lines: list[str], start: str) -> list[str]:
    return next(line for line in lines if line.startswith(start)).split()


def test_each_backend_has_a_row_with_what_the_rewrites_change(shown: Any) -> None:
    lines = shown(backends=BACKENDS)
    assert lines[0] == "net (random weights), input 1x3x32x32"
    assert cells(lines, "executorch") == ["executorch", "fp32", "yes", "5", "->", "1", "6", "->", "0"]
    assert cells(lines, "litert") == ["litert", "fp32", "NO", "1", "0"]
    assert cells(lines, "coreml") == ["coreml", "fp32", "unknown", "-", "-"]
    assert "x -> y: as exported, and after edgekit's rewrites." in lines
    assert "coreml: 3 unusual operators were not tried." in lines


def test_a_placement_that_is_known_only_before_or_after_has_a_question_mark(shown: Any) -> None:
    lines = shown(backends=(backend("executorch", NONE, placement(2)),))
    assert cells(lines, "executorch")[3:] == ["?", "->", "2", "?", "->", "0"]


def test_the_figures_of_the_model(shown: Any) -> None:
    said = text(shown())
    assert "1.23 M parameters, 1.27 G MACs. 42 operators move 33.0 MB to and from memory" in said
    assert "activations need 2.5 MB at the most." in said
    assert "Note:" not in said
    assert "Note: the weights are random." in text(shown(model=model(warnings=("the weights are random.",))))


def test_nothing_found_says_so_and_what_to_do_next(shown: Any) -> None:
    lines = shown()
    assert "Nothing found: every operator converts and runs where it should." in lines
    assert lines[-2:] == ["Verdict: executorch will convert.", "Next: edgekit convert net.py:make --to executorch"]


def test_a_finding_says_what_where_why_and_what_to_do(shown: Any) -> None:
    here = Path.cwd() / "models" / "net.py"
    lines = shown(finding("fails", source=f"{here}:12 in forward", count=3, modules=("a (A)", "b (B)", "c (C)")))
    start = lines.index("Found (1)")
    assert [line.strip() for line in lines[start + 1 : start + 5]] == [
        "fails: aten.sort x3 (litert)",
        "in blocks.0 (Block) and 2 more at models/net.py:12",
        "no such operator.",
        "-> Sort outside the model.",
    ]


def test_the_model_itself_is_a_place_too(shown: Any) -> None:
    assert "in the model itself (Net)" in text(shown(finding("fails", module="(top) (Net)")))


def test_the_same_trouble_on_two_backends_is_one_entry_with_each_ones_cause(shown: Any) -> None:
    same = text(shown(finding("fails"), finding("fails", "coreml")))
    assert "Found (1)" in same and "fails: aten.sort (litert, coreml)" in same and same.count("no such operator.") == 1
    other = text(shown(finding("fails"), finding("fails", "coreml", cause="not implemented")))
    assert "litert: no such operator." in other and "coreml: not implemented." in other


@pytest.mark.parametrize(
    ("severity", "words"),
    [
        ("fails", "fails: aten.sort"),
        ("wrong", "silently wrong: aten.sort"),
        ("splits", "splits the delegate: aten.sort"),
        ("undelegated", "outside the delegate: aten.sort"),
        ("precision", "loses precision: aten.sort"),
    ],
)
def test_every_severity_is_in_words(shown: Any, severity: str, words: str) -> None:
    assert words in text(shown(finding(severity)))


def test_what_an_operator_becomes_and_costs(shown: Any) -> None:
    parts = tuple(f"{n} aten.part_{n}" for n in range(6, 0, -1))
    said = text(shown(finding("splits", becomes=parts, partitions=2)))
    assert "It runs as 6 aten.part_6, 5 aten.part_5, 4 aten.part_4, 3 aten.part_3 and 2 more kinds." in said
    assert "It costs 2 partitions." in said
    assert "It costs 1 partition." in text(shown(finding("splits", partitions=1)))
    itself = text(shown(finding("splits", count=2, becomes=("2 aten.sort.default",))))
    assert "It runs as" not in itself


def test_what_merely_runs_outside_has_one_common_sentence(shown: Any) -> None:
    said = text(shown(*(finding("undelegated", op=f"aten.op{n}", remedy=REST_OUTSIDE) for n in range(3))))
    assert said.count("edgekit profile shows what it costs") == 1 and "->" not in said.partition("Found")[2]


@pytest.mark.parametrize(
    ("proved", "words"),
    [(True, "pool_1d, proved on this model"), (False, "pool_1d, NOT within its bound"), (None, "pool_1d, not run")],
)
def test_what_is_mended_comes_apart_and_says_whether_it_was_proved(shown: Any, proved: Any, words: str) -> None:
    said = text(shown(finding("wrong"), finding("fails", rewrite="pool_1d", proved=proved)))
    left, _, mended = said.partition("Mended by edgekit, nothing to do (1)")
    assert "silently wrong: aten.sort" in left and f"-> {words}" in mended and "fails: aten.sort" in mended


def test_the_rewrites_are_listed_once_with_the_largest_difference(shown: Any) -> None:
    reports = (backend("litert", NONE, NONE, rewrites=(proof("pool_1d", 4e-6), proof("fold_affine", None, None))),)
    said = text(shown(model=model(rewrites=(proof("fold_affine"),)), backends=reports))
    assert "Rewrites: fold_affine, pool_1d. Each was run before and after on 2 golden inputs" in said
    assert "moved by at most 4e-06 of its largest value, all within their bounds." in said
    outside = (backend("litert", NONE, NONE, rewrites=(proof("pool_1d", 0.1, False),)),)
    assert "OUTSIDE ITS BOUND: pool_1d." in text(shown(backends=outside))
    assert "Rewrites:" not in text(shown(model=model(rewrites=(proof("fold_affine", None, None),))))


def test_where_the_work_is(shown: Any) -> None:
    macs = (ModuleCost(module="stages.0", macs=953_387_520, traffic_bytes=1),)
    traffic = (
        ModuleCost(module="head", macs=0, traffic_bytes=16_500_000),
        ModuleCost(module="stem", macs=1, traffic_bytes=3_300_000),
    )
    lines = shown(model=model(top_macs=macs, top_traffic=traffic))
    assert cells(lines, "stages.0") == ["stages.0", "953", "M", "75%", "head", "16.5", "MB", "50%"]
    assert [line.split() for line in lines if "stem" in line] == [["stem", "3.3", "MB", "10%"]]
    assert "Where the work is" not in shown()


ERROR = ConvertError("litert can't.", where="w", next_step="n")


def test_the_verdict_on_formats_that_fail(shown: Any) -> None:
    lines = shown(finding("fails"), backends=BACKENDS, errors={"litert": ERROR})
    assert lines[-2] == "Verdict: litert will NOT convert; executorch and coreml will convert."
    assert lines[-1] == "Next: edgekit convert net.py:make --to executorch,coreml"
    only = shown(finding("fails"), backends=BACKENDS[1:2], errors={"litert": ERROR})
    assert only[-2:] == [
        "Verdict: litert will NOT convert.", "Next: change the operators above, then run edgekit doctor again.",
    ]  # fmt: skip


def test_the_verdict_with_findings_that_do_not_stop_a_conversion(shown: Any) -> None:
    lines = shown(finding("splits"), finding("precision", op="aten.exp.default"), finding("fails", rewrite="pool_1d"))
    assert lines[-2] == "Verdict: executorch will convert, with 2 findings above."


def test_an_output_that_proves_nothing_is_the_verdict_and_there_is_no_next_command(shown: Any) -> None:
    error = ParityError("The output is constant.", where="output 0", next_step="n")
    lines = shown(finding("wrong", ""), errors={"": error})
    assert lines[-1] == "Verdict: The output is constant."


def test_the_next_command_keeps_the_precision_and_quotes_the_model(shown: Any) -> None:
    report = backend("coreml", NONE, NONE, precision="fp16")
    lines = shown(model=model(spec="my net.py:make"), backends=(report,))
    assert lines[-1] == "Next: edgekit convert 'my net.py:make' --to coreml --precision fp16"

"""The caller's side: what the doctor's process says becomes a diagnosis, a verdict, or an error in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import doctor_programs
import msgspec
import pytest

from edgekit.convert import events
from edgekit.diagnosis import BackendReport, Finding, ModelReport, Placement, RewriteProof
from edgekit.doctor import diagnose
from edgekit.doctor.request import DoctorRequest
from edgekit.errors import ConvertError, EdgekitError, ModelError, ParityError, RuntimeCrashError, UsageError
from edgekit.model.request import LoadRequest
from edgekit.records import Exported, Golden

NOWHERE = Placement(partitions=None, undelegated_ops=None, failing=())


def asked(*formats: str, **options: Any) -> DoctorRequest:
    return DoctorRequest(load=LoadRequest(spec=f"{doctor_programs.__file__}:plain"), formats=formats, **options)


def proof(name: str, proved: bool | None) -> RewriteProof:
    return RewriteProof(name=name, places=1, reason="r", bound=1e-6, difference=0.0, samples=2, proved=proved)


def model(*proofs: RewriteProof) -> ModelReport:
    return ModelReport(
        name="net", spec="net.pt", weights="random", inputs=(), outputs=(), operators=1, parameters=1, weight_bytes=1,
        macs=1, traffic_bytes=1, peak_activation_bytes=1, rewrites=proofs,
    )  # fmt: skip


def backend(name: str, *proofs: RewriteProof, convertible: bool | None = True) -> BackendReport:
    return BackendReport(
        name=name, precision="fp32", convertible=convertible, before=NOWHERE, after=NOWHERE, rewrites=proofs
    )


def finding(severity: Any, name: str = "litert", **fields: Any) -> Finding:
    given = {"op": "aten.sort.default", "module": "net (Net)", "source": "net.py:3", "cause": "no such operator",
             "remedy": "Sort outside."}  # fmt: skip
    return Finding(severity=severity, backend=name, **{**given, **fields})


def exported() -> Exported:
    golden = Golden(sha256="g", count=2, source="pictures", inputs=(), outputs=())
    return Exported(
        sha256="e", name="net", spec="net.pt", weights="random", inputs=(), outputs=(), parameters=1, program="",
        golden=golden,
    )  # fmt: skip


@pytest.fixture
def saying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real process in the doctor's place, for what the doctor itself says only when it is broken."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(diagnose, "_MODULE", "stand_in")

    def arrange(*said: events.Event, then: str = "") -> None:
        lines = b"".join(events.encode(event) + b"\n" for event in said)
        body = f"import os, signal, sys\nsys.stdin.buffer.read()\nsys.stdout.buffer.write({lines!r})\n"
        (tmp_path / "stand_in.py").write_text(body + f"sys.stdout.flush()\n{then}\n")

    return arrange


def test_reports_and_findings_come_in_the_order_of_the_request_and_of_severity(saying: Any) -> None:
    mended = finding("fails", "onnx", rewrite="pool_1d")
    saying(
        events.ExportedReady(exported=exported()),
        events.Examined(
            report=backend("onnx", proof("pool_1d", True)), findings=(mended, finding("undelegated", "onnx"))
        ),
        events.Examined(report=backend("litert"), findings=(finding("wrong"), finding("fails"))),
        events.Proved(report=model(), findings=()),
    )
    heard: list[events.Event] = []
    found = diagnose.diagnose(asked("litert", "onnx"), heard.append)
    assert [report.name for report in found.backends] == ["litert", "onnx"] and len(heard) == 4
    assert [(f.severity, f.rewrite) for f in found.findings] == [
        ("fails", None), ("wrong", None), ("undelegated", None), ("fails", "pool_1d"),
    ]  # fmt: skip
    assert found.findings[-1].proved is True and found.seconds is not None and found.seconds > 0


@pytest.mark.parametrize("proved", [True, False, None])
def test_a_common_rewrites_proof_comes_from_the_model_and_a_backends_own_goes_before_it(
    saying: Any, proved: bool | None
) -> None:
    two = (finding("fails", rewrite="fold_affine"), finding("wrong", rewrite="pool_1d"))
    saying(
        events.Proved(report=model(proof("fold_affine", proved), proof("pool_1d", None)), findings=()),
        events.Examined(report=backend("litert", proof("pool_1d", True)), findings=two),
    )
    found = diagnose.diagnose(asked("litert"), lambda _: None)
    assert {f.rewrite: f.proved for f in found.findings} == {"fold_affine": proved, "pool_1d": True}


DEATHS = [
    ((), "os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL before the model was exported"),
    ((), "sys.exit(3)", "before the model was exported"),
    ((events.ExportedReady(exported=exported()),), "sys.exit(3)", "while litert was being examined"),
    (
        (events.ExportedReady(exported=exported()), events.Examined(report=backend("litert"), findings=())),
        "os.kill(os.getpid(), signal.SIGKILL)", "while the model was being examined",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "then", "words"), DEATHS)
def test_a_process_that_dies_is_an_error_that_says_where_it_was(saying: Any, said: Any, then: str, words: str) -> None:
    saying(*said, then=then)
    with pytest.raises(ConvertError, match=words) as caught:
        diagnose.diagnose(asked("litert"), lambda _: None)
    assert caught.value.next_step and caught.value.code == 11


def test_what_fails_in_the_process_is_raised_with_its_traceback(saying: Any) -> None:
    failed = ModelError("There is no file x.", where="x", next_step="Check the path.")
    saying(events.Failed(error=failed.to_dict(), traceback="Traceback: there"))
    with pytest.raises(ModelError, match="There is no file x") as caught:
        diagnose.diagnose(asked("litert"), lambda _: None)
    assert caught.value.facts["traceback"] == "Traceback: there"


def test_a_format_that_does_not_exist_is_refused_before_anything_starts(saying: Any) -> None:
    saying(then="raise SystemExit('never started')")
    with pytest.raises(UsageError, match="torch7"):
        diagnose.diagnose(asked("torch7"), lambda _: None)
    with pytest.raises(UsageError, match="precision"):
        diagnose.diagnose(asked("onnx", precision="fp16"), lambda _: None)


def test_the_first_finding_of_each_format_that_will_fail(saying: Any) -> None:
    saying(
        events.Examined(
            report=backend("litert"),
            findings=(finding("fails", op="first"), finding("fails", op="second"), finding("wrong", op="third")),
        ),
        events.Examined(report=backend("onnx"), findings=(finding("fails", "onnx", rewrite="pool_1d"),)),
    )
    found = diagnose.failing(asked("litert", "onnx"), lambda _: None)
    assert {name: f.op for name, f in found.items()} == {"litert": "first"}


def diagnosis(*findings: Finding) -> Any:
    return diagnose.Diagnosis(model=model(), backends=(backend("litert"), backend("onnx")), findings=findings)


def test_nothing_stands_in_the_way_of_what_is_mended_slow_or_merely_doubtful() -> None:
    harmless = (finding("fails", rewrite="pool_1d"), finding("splits"), finding("precision"), finding("wrong"))
    assert diagnose.verdict(diagnosis(*harmless)) == {}


def test_a_verdict_is_one_error_per_format_in_the_order_of_their_codes() -> None:
    unproved = finding("wrong", "onnx", op="fold_affine", proved=False)
    errors = diagnose.verdict(diagnosis(unproved, finding("fails", op="first"), finding("fails", op="second")))
    assert list(errors) == ["litert", "onnx"]
    assert isinstance(errors["litert"], ConvertError) and errors["litert"].facts["op"] == "first"
    assert isinstance(errors["onnx"], ParityError) and errors["onnx"].next_step == "Sort outside."


def test_an_output_that_proves_nothing_is_in_the_way_of_every_format() -> None:
    errors = diagnose.verdict(diagnosis(finding("wrong", "", op="output 0", cause="it is constant")))
    assert list(errors) == [""] and errors[""].code == 12 and "constant" in errors[""].message


@pytest.mark.parametrize(
    ("error", "unexplained"),
    [
        (RuntimeCrashError("m", where="w", next_step="n"), True),
        (ConvertError("m", where="w", next_step="n", cause="c"), True),
        (ConvertError("m", where="w", next_step="n", cause="c", op="aten.sort"), False),
        (ConvertError("m", where="w", next_step="n"), False),
        (ParityError("m", where="w", next_step="n", cause="c"), False),
    ],
)
def test_only_what_names_no_operator_is_worth_asking_the_doctor(error: EdgekitError, unexplained: bool) -> None:
    assert diagnose.is_unexplained(error) is unexplained


def test_an_explained_failure_says_what_where_and_what_next_and_keeps_the_converters_words() -> None:
    error = diagnose.explained(finding("fails"), ConvertError("Lowering failed.", where="w", next_step="n"))
    assert error.message == "litert can't take the operator aten.sort.default: no such operator."
    assert error.where == "aten.sort.default in net (Net) at net.py:3" and error.next_step == "Sort outside."
    assert error.facts["converter_message"] == "Lowering failed."
    bare = diagnose.explained(finding("fails", module="", source=""))
    assert bare.where == "aten.sort.default" and "converter_message" not in bare.facts
    msgspec.json.encode(bare.to_dict())

"""The check stage around its process: which files go together, and what each outcome means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.convert import check
from edgekit.convert.launch import Outcome
from edgekit.convert.request import ConvertRequest
from edgekit.errors import RuntimeCrashError, UsageError
from edgekit.model.request import LoadRequest
from edgekit.records import Artifact, Divergence, Exported, Golden, Parity

REQUEST = ConvertRequest(load=LoadRequest(spec="net.pt"), formats=(), precision="", cache="/c")
GOLDEN = Golden(sha256="g", count=8, source="", inputs=(), outputs=())
EXPORTED = Exported(
    sha256="e", name="net", spec="net.pt", weights="file net.pt", inputs=(), outputs=(), parameters=1, program="",
    golden=GOLDEN,
)  # fmt: skip
FIRST = Divergence(tensor="conv2d", op="aten.conv2d.default", module="stem (Conv2d)", source="net.py:3", max_abs=1.0,
                   cosine=0.5)  # fmt: skip
WRONG = Parity(passed=False, reason="output 0: max_abs 1 > 0.1", first_divergence=FIRST)

Judge = Callable[[str], Parity | RuntimeCrashError]


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Checks files of these names, each judged by a function in place of a process; also answers the requests."""

    def run(names: list[str], verdict: Judge) -> tuple[check.Checked, list[ConvertRequest]]:
        asked = []

        def session(request: ConvertRequest, on_event: object) -> Outcome:
            asked.append(request)
            outcome = Outcome(exported=EXPORTED)
            for name, file in zip(request.formats, request.files, strict=True):
                found = verdict(Path(file).name)
                if isinstance(found, RuntimeCrashError):
                    outcome.errors[name] = found
                else:
                    outcome.artifacts.append(
                        Artifact(sha256="a", bytes=4, format=name, precision="fp32", path=file, model="net",
                                 exported_sha256=None, parity=found)
                    )  # fmt: skip
            return outcome

        monkeypatch.setattr(check, "run_session", session)
        for name in names:
            (tmp_path / name).touch()
        return check.check(REQUEST, [str(tmp_path / name) for name in names], lambda event: None), asked

    return run


def test_files_of_one_format_are_judged_in_turn_and_kept_in_order(judged: Any) -> None:
    names = ["a.onnx", "b.onnx", "c.tflite", "d.onnx"]
    checked, asked = judged(names, lambda name: Parity(passed=True))
    assert [request.formats for request in asked] == [("onnx", "litert"), ("onnx",), ("onnx",)]
    assert all(request.check_parity for request in asked)
    assert [Path(artifact.path).name for artifact in checked.artifacts] == names
    assert checked.errors == {} and checked.exported == EXPORTED


def test_each_file_has_an_error_of_its_own(judged: Any) -> None:
    verdicts = {
        "right.onnx": Parity(passed=True),
        "wrong.onnx": WRONG,
        "unknown.mlpackage": Parity(passed=None, reason="Core ML operator 'topk' is not implemented"),
        "broken.pte": RuntimeCrashError("The runtime could not load the model.", where="broken.pte"),
    }
    checked, _ = judged(list(verdicts), verdicts.__getitem__)
    errors = {Path(file).name: error for file, error in checked.errors.items()}
    assert set(errors) == {"wrong.onnx", "unknown.mlpackage", "broken.pte"}
    assert [error.code for error in errors.values()] == [13, 12, 12]
    assert errors["wrong.onnx"].where == "conv2d (aten.conv2d.default) in stem (Conv2d) at net.py:3"
    assert errors["wrong.onnx"].message.endswith("wrong.onnx failed parity: output 0: max_abs 1 > 0.1.")
    # What nothing here can judge has not passed.
    assert "could not be checked: Core ML operator 'topk'" in errors["unknown.mlpackage"].message
    assert len(checked.artifacts) == 3


def test_a_file_given_twice_is_judged_once(judged: Any) -> None:
    checked, asked = judged(["a.onnx", "a.onnx"], lambda name: WRONG)
    assert len(asked) == 1 and len(checked.errors) == 1


def test_what_is_no_converted_file_is_refused_before_anything_runs(judged: Any, tmp_path: Path) -> None:
    for names in (["model.pt"], ["a.onnx", "notes.txt"]):
        with pytest.raises(UsageError, match="is not a converted file") as caught:
            judged(names, lambda name: pytest.fail("something ran"))
        assert ".pte, .tflite, .mlpackage, .onnx" in caught.value.next_step
    with pytest.raises(UsageError, match="There is no file"):
        check.check(REQUEST, [str(tmp_path / "gone.pte")], lambda event: None)
    asked = ConvertRequest(load=REQUEST.load, formats=(), precision="int3")
    with pytest.raises(UsageError, match="no precision 'int3'"):
        check.check(asked, [], lambda event: None)

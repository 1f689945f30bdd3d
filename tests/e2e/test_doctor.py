"""``edgekit doctor`` as a user runs it: text, JSON, exit codes."""

from __future__ import annotations

import pytest
from command import ZOO, edgekit


def test_a_model_without_findings_says_so_and_what_to_do_next() -> None:
    done = edgekit("doctor", f"{ZOO}:tiny", "--to", "executorch,onnx", "--quiet")
    assert done.code == 0, done.err
    assert "Verdict: executorch and onnx will convert" in done.out
    assert "edgekit convert " in done.out.splitlines()[-1] and "Traceback" not in done.err
    assert max(len(line) for line in done.out.splitlines() if "zoo.py" not in line) <= 80


def test_an_operator_that_no_rewrite_mends_is_a_finding_and_exit_11() -> None:
    done = edgekit("doctor", f"{ZOO}:lacks_operator", "--json")
    assert done.code == 11
    document = done.json()
    assert document["schema"] == 1 and document["error"]["code"] == 11
    failing = [f for f in document["findings"] if f["severity"] == "fails"]
    assert failing
    for finding in failing:
        assert {"severity", "backend", "op", "module", "source", "remedy", "proved"} <= set(finding)
        assert "zoo.py:" in finding["source"] and finding["remedy"] and finding["proved"] is None
    refused = {b["name"] for b in document["backends"] if b["convertible"] is False}
    assert refused == {f["backend"] for f in failing}


def test_what_a_rewrite_mends_is_proved_on_the_model() -> None:
    done = edgekit("doctor", f"{ZOO}:attention", "--to", "executorch", "--json")
    assert done.code == 0, done.err
    (report,) = done.json()["backends"]
    before, after = report["before"], report["after"]
    assert len(after["undelegated_ops"]) < len(before["undelegated_ops"])
    mended = [f for f in done.json()["findings"] if f["rewrite"]]
    assert mended and all(f["proved"] is True for f in mended)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("zoo:mobilevig_tiny",), 10, "nearest names"),
        ((f"{ZOO}:tiny", "--to", "torch7"), 2, "no format"),
        ((f"{ZOO}:tiny", "--to", "onnx", "--precision", "fp16"), 2, "precision"),
        ((f"{ZOO}:data_dependent",), 11, "control flow"),
        ((f"{ZOO}:gives_constant",), 12, "same for all"),
    ],
)
def test_wrong_input_is_told_in_words(arguments: tuple[str, ...], code: int, words: str) -> None:
    done = edgekit("doctor", *arguments, "--json")
    assert done.code == code, done.err
    assert words in str(done.json()["error"]) and "Traceback" not in done.err

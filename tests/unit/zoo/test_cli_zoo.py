from __future__ import annotations

import json

import pytest

from edgekit.cli.main import main
from edgekit.model import zoo


def models(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    assert main(["zoo", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    return document["models"]


def test_json_has_the_contract_fields(capsys: pytest.CaptureFixture[str]) -> None:
    found = models(capsys)
    assert len(found) == len(zoo.available())
    fields = {"name", "family", "source", "input_size", "params", "macs", "licence", "top1", "top1_source"}
    assert all(fields <= model.keys() for model in found)
    (one,) = models(capsys, "mobilevig_ti")
    assert one["params"] == 5_271_074 and one["top1"] == 75.7 and one["input_size"] == [3, 224, 224]


def test_filters(capsys: pytest.CaptureFixture[str]) -> None:
    assert {model["family"] for model in models(capsys, "--family", "mobilenetv4")} == {"mobilenetv4"}
    assert {model["source"] for model in models(capsys, "--source", "edgekit")} == {"edgekit"}
    small = models(capsys, "--max-params", "1M", "--max-macs", "0.1G")
    assert small and all(model["params"] <= 1e6 and model["macs"] <= 1e8 for model in small)
    assert {model["name"] for model in models(capsys, "--search", "portrait")} == {"sinet"}
    assert models(capsys, "--family", "sinet", "--max-params", "1K") == []


def test_unavailable_models_come_with_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    found = models(capsys, "--unavailable")
    assert {"fmvit", "leyolo_n", "fbnet_a"} <= {model["name"] for model in found}
    assert all(model["unavailable"] for model in found)
    assert main(["zoo", "--unavailable"]) == 0
    assert "empty placeholder" in capsys.readouterr().out
    assert main(["zoo", "fmvit"]) == 0
    assert "can't be built" in capsys.readouterr().out


def test_text_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--unavailable"], ["mobileone_s0"], ["ofa_mbv3"], ["zoo:sinet"], ["xlsr_x3"]):
        assert main(["zoo", *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) > 5
        assert max(map(len, lines)) <= 80


def test_describing_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "mobileone_s0"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "2,078,504",
        "5.293 M parameters",
        "71.4 %",
        "StarNet paper",
        "check before passing on",
        "num_classes",
    ):
        assert part in text


def test_wrong_requests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "mobilvig_ti", "--json"]) == 10
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "model" and "mobilevig_ti" in error["next_step"]
    assert main(["zoo", "--family", "mobilenetv5"]) == 2
    assert "mobilenetv4" in capsys.readouterr().err
    assert main(["zoo", "--max-params", "many"]) == 2
    assert main(["zoo", "--source", "hub"]) == 2

"""``edgekit choose``: from measurements in a real store to the answer, in text and in JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command import ZOO, Done, edgekit

from edgekit.cli.main import main
from edgekit.records import Plan
from edgekit.store.store import Store
from tests.unit.choose.made import artifact, evaluation, measurement

pytestmark = pytest.mark.timeout(300)
WIDTH = 80


def put(url: str, *candidates: tuple[str, float, float], **changes: Any) -> None:
    """Files with a latency and an accuracy."""
    with Store.open(url) as store:
        for model, p50, top1 in candidates:
            store.add_artifact(artifact(model))
            store.save_measurement(measurement(model, p50, **changes))
            store.save_evaluation(evaluation(model, top1, 0.002))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'results.sqlite'}"


@pytest.fixture
def env(url: str) -> Mapping[str, str]:
    return {"EDGEKIT_STORE": url}


def as_json(env: Mapping[str, str], *arguments: str, code: int = 0) -> dict[str, Any]:
    done = edgekit("choose", *arguments, "--json", env=env)
    assert done.code == code, done.err
    return done.json()


def refused(env: Mapping[str, str], *arguments: str, kind: str = "usage") -> dict[str, Any]:
    return edgekit("choose", *arguments, "--json", env=env).failed(2, kind)


def fits(done: Done) -> None:
    assert max(len(line.rstrip()) for line in done.out.splitlines()) <= WIDTH, done.out


def test_choosing_from_what_was_really_measured(env: Mapping[str, str], tmp_path: Path) -> None:
    quick = ("--runs", "20", "--min-secs", "0.1", "--warmup", "2", "--repeats", "2", "-q")
    for model in ("tiny", "branches"):
        assert edgekit("deploy", f"{ZOO}:{model}", "--to", "onnx", *quick, env=env).code == 0
    table = tmp_path / "mine.csv"
    table.write_text("model,top1\nzoo_tiny,70%\nzoo_branches,80%\n")
    answer = as_json(env, "--max-latency", "60s", "--maximize", "top1", "--accuracy", str(table))
    assert answer["status"] == "chosen"
    choice = answer["choice"]
    assert choice["candidate"]["model"] == "zoo_branches"
    stored = edgekit("results", "--json", env=env).json()["measurements"]
    (row,) = [one for one in stored if one["id"] == choice["measurements"]["host"]]
    figure = choice["quantities"]["p50_ms"]
    assert (figure["value"], [figure["low"], figure["high"]]) == (row["p50_ms"], row["ci95_ms"])


def test_the_answer_in_words(env: Mapping[str, str], url: str) -> None:
    put(url, ("slow_and_right", 30, 0.9), ("good", 9, 0.8), ("nearly_as_good", 8, 0.7995), ("quick", 2, 0.5))
    put(url, ("hot", 1, 0.95), verdict="throttled", verdict_reasons=("Repeat 2: its thermal status rose.",))
    put(url, ("another_plan", 1, 0.95), plan=Plan(repeats=1))
    done = edgekit("choose", "-d", "host", "--max-latency", "10ms", "--maximize", "top1", env=env)
    assert done.code == 0 and not done.err
    fits(done)
    lines = done.out.splitlines()
    assert lines[0] == "Ship, though others can't be told from it, good litert fp32, 1 thread: top1"
    text = " ".join(done.out.split())
    assert "top1 80.00% (79.80 to 80.20%), median latency 9.00 ms (8.90 to 9.10 ms)." in text
    assert "The data can't tell it from nearly_as_good litert fp32, 1 thread by top1" in text
    assert "4 of 4 candidates that none beats in all" in text
    assert "-> good" in text and "= nearly_as_good" in text and "not p50" in text
    assert "1 measurement on host: its measurement is throttled: Repeat 2: its thermal status rose. hot litert" in text
    assert "1 measurement on host: measured with another plan: repeats 1 instead of 3. another_plan litert" in text
    quiet = edgekit("choose", "--max-latency", "10ms", "--maximize", "top1", "-q", env=env)
    assert "Left out" not in quiet.out and quiet.out.splitlines()[0] == lines[0]


def test_the_answer_for_programs(env: Mapping[str, str], url: str) -> None:
    put(url, ("good", 9, 0.8), ("quick", 2, 0.5))
    put(url, ("hot", 1, 0.95), verdict="throttled", verdict_reasons=("It was hot.",))
    answer = as_json(env, "--max-latency", "10ms", "--maximize", "top1")
    assert answer["choice"]["candidate"]["model"] == "good" and answer["status"] == "chosen"
    assert [one["candidate"]["model"] for one in answer["front"]] == ["good", "quick"]
    (left,) = answer["excluded"]
    assert (
        left["candidate"] == "hot litert fp32, 1 thread"
        and left["reason"] == "its measurement is throttled: It was hot"
    )
    assert answer["reasons"] and all(isinstance(reason, str) for reason in answer["reasons"])
    assert answer["constraints"] == [{"quantity": "p50_ms", "sense": "<=", "limit": 10.0}]
    assert answer["objectives"] == [{"quantity": "top1", "direction": "maximize"}]
    assert answer["conditions"]["host"]["plan"]["repeats"] == 3


def test_nobody_fits_and_the_nearest_are_named(env: Mapping[str, str], url: str) -> None:
    put(url, ("good", 9, 0.8), ("quick", 2, 0.5), ("c", 5, 0.6), ("d", 30, 0.9))
    answer = as_json(env, "--max-latency", "1ms", "--maximize", "top1", code=1)
    assert answer["choice"] is None and answer["status"] == "none"
    assert [(one["candidate"]["model"], one["by"]) for one in answer["nearest"]] == [
        ("quick", pytest.approx(1.0)), ("c", pytest.approx(4.0)), ("good", pytest.approx(8.0)),
    ]  # fmt: skip
    done = edgekit("choose", "--max-latency", "1ms", "--maximize", "top1", env=env)
    assert done.code == 1
    fits(done)
    text = " ".join(done.out.split())
    assert text.startswith("No choice. None of the 4 candidates certainly meets median latency at most 1 ms.")
    assert "Near: quick litert fp32, 1 thread: median latency 2.00 ms, 100.0% over the limit of 1 ms." in text


def test_every_limit_has_its_option(env: Mapping[str, str], url: str) -> None:
    put(url, ("good", 9, 0.8), instructions=4_000_000, sram_bytes=90_000, flash_bytes=200_000)
    given = ("--max-latency", "12ms", "--latency", "p90", "--max-memory", "50MB", "--max-size", "4MB", "--min-top1",
             "75%", "--min-accuracy", "75", "--metric", "top1", "--max-sram", "128KiB", "--max-flash", "1MB",
             "--max-instructions", "5M", "--require", "p99_ms<=0.2s")  # fmt: skip
    answer = as_json(env, *given, "--minimize", "latency")
    assert answer["status"] == "chosen"
    assert [(one["quantity"], one["sense"], one["limit"]) for one in answer["constraints"]] == [
        ("p90_ms", "<=", 12), ("model_rss_bytes", "<=", 50e6), ("size_bytes", "<=", 4e6), ("sram_bytes", "<=", 131072),
        ("flash_bytes", "<=", 1e6), ("instructions", "<=", 5e6), ("top1", ">=", 0.75), ("top1", ">=", 0.75),
        ("p99_ms", "<=", 200),
    ]  # fmt: skip
    assert answer["objectives"] == [{"quantity": "p90_ms", "direction": "minimize"}]


def test_objectives_count_in_the_order_in_which_they_were_given(env: Mapping[str, str], url: str) -> None:
    put(url, ("good", 9, 0.8), ("quick", 2, 0.5))
    ways = ("--minimize=latency", "--maximize", "top1", "--minimize", "size")
    answer = as_json(env, *ways)
    assert [(one["direction"], one["quantity"]) for one in answer["objectives"]] == [
        ("minimize", "p50_ms"), ("maximize", "top1"), ("minimize", "size_bytes"),
    ]  # fmt: skip
    assert answer["choice"]["candidate"]["model"] == "quick"
    assert as_json(env, *ways[1:], ways[0])["choice"]["candidate"]["model"] == "good"


def test_several_devices_and_what_each_choice_costs_on_the_other(env: Mapping[str, str], url: str) -> None:
    put(url, ("a", 5, 0.7), ("b", 8, 0.7))
    put(url, ("a", 12, 0.7), ("b", 9, 0.7), device="adb:1", device_name="Google Pixel 7")
    devices = ("-d", "host", "-d", "pixel7", "--minimize", "latency")
    assert as_json(env, *devices)["choice"]["candidate"]["model"] == "b"
    # A share is one, with a percent sign or without.
    weighted = ("--across", "weighted", "--weight", "host=0.9", "--weight", "pixel7=10%")
    assert as_json(env, *devices, *weighted)["choice"]["candidate"]["model"] == "a"
    there, back = as_json(env, *devices)["penalties"]
    assert (there["chosen_on"], there["used_on"], there["share"]) == ("host", "pixel7", pytest.approx(1 / 3))
    assert back["share"] == pytest.approx(0.6)
    done = edgekit("choose", *devices, env=env)
    fits(done)
    assert "Chosen on host, used on pixel7: a litert fp32, 1 thread, median latency +33.3%" in " ".join(
        done.out.split()
    )


def test_a_long_list_is_cut_and_says_so(env: Mapping[str, str], url: str) -> None:
    put(url, *((f"network_number_{index:02}", 1 + index, 0.5 + index / 100) for index in range(20)))
    put(url, *((f"hot_{index}", 1, 0.5) for index in range(6)), verdict="throttled", verdict_reasons=("Hot.",))
    done = edgekit("choose", "--maximize", "top1", "--max-latency", "30ms", env=env)
    fits(done)
    text = " ".join(done.out.split())
    assert "5 more (--json lists all)" in text and "and 3 more (--json for all)" in text
    answer = as_json(env, "--maximize", "top1", "--max-latency", "30ms")
    assert len(answer["front"]) == 20 and len(answer["excluded"]) == 6


def test_many_limits_leave_room_for_the_models(env: Mapping[str, str], url: str) -> None:
    put(url, ("good", 9, 0.8), ("quick", 2, 0.5))
    limits = ("--max-latency", "1ms", "--max-memory", "5MB", "--max-size", "3MB", "--min-top1", "80%")
    done = edgekit("choose", *limits, "--require", "p99_ms<=2", "--minimize", "latency", env=env)
    assert done.code == 1
    fits(done)
    text = " ".join(done.out.split())
    assert "~ quick litert fp32 1 2.00 ±5.0%" in text and "misses 5" in text and "misses 4, 1?" in text
    assert "no room for top1, p99 latency (--json)" in text


def test_what_was_asked_wrongly_is_refused(
    env: Mapping[str, str],
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "no measurements" in refused(env, "--maximize", "top1")["message"]
    put(url, ("a", 5, 0.7))
    cases: list[tuple[tuple[str, ...], str]] = [
        ((), "which of the candidates that fit is the best"),
        (("--maximize", "top1", "--minimize", "top1"), "given twice"),
        (("--maximize", "top1", "--max-latency", "10MB"), "p50_ms has no unit MB"),
        (("--maximize", "top1", "--min-top1", "1"), "1% or all"),
        (("--maximize", "top1", "--require", "p90_ms<12"), "no condition"),
        (("--maximize", "top1", "--accuracy", "published", "--accuracy", "mine.csv"), "at once"),
        (("--maximize", "top1", "--accuracy", str(tmp_path / "gone.csv")), "can't be read"),
        (("--maximize", "top1", "--weight", "host"), "no weight"),
        (("--maximize", "top1", "--weight", "host=1", "--weight", "host=2"), "two weights"),
        (("--maximize", "accuracy", "--metric", "latency"), "no metric of accuracy"),
        (("--maximize", "top1", "--weight", "host=0.5"), "Weights are for --across weighted"),
        (("--maximize", "top1", "--since", "yesterday"), "not a time"),
        (("--maximize", "top1", "--sweep", "nightly"), "nightly"),
        (("--maximize", "top1", "-d", "pixel7"), "Nothing measured on pixel7"),
        (("--maximize", "top1", "--dataset", "photos"), "data set 'photos'"),
        (("--maximize", "no such"), "names no figure"),
    ]
    monkeypatch.setenv("EDGEKIT_STORE", url)
    for arguments, text in cases:
        code = main(["choose", *arguments, "--json"])
        printed = capsys.readouterr()
        error = Done(code, printed.out, printed.err).failed(2, "usage")
        assert text in error["message"], arguments


def test_a_metric_may_be_called_accuracy(env: Mapping[str, str], url: str, tmp_path: Path) -> None:
    put(url, ("a", 5, 0.7), ("b", 6, 0.8))
    table = tmp_path / "mine.csv"
    table.write_text("Model,Accuracy\na,70%\nb,60%\n")
    given = ("--metric", "accuracy", "--maximize", "accuracy", "--min-accuracy", "50%", "--accuracy", str(table))
    answer = as_json(env, *given)
    assert answer["choice"]["candidate"]["model"] == "a"
    assert [one["quantity"] for one in answer["constraints"]] == ["accuracy"]


def test_only_incomparable_measurements_are_refused_with_what_there_was(env: Mapping[str, str], url: str) -> None:
    put(url, ("a", 5, 0.7))
    put(url, ("b", 5, 0.7), clock_regime="pinned")
    error = refused(env, "--maximize", "top1", kind="incomparable")
    assert "No two of the candidates on host were measured alike" in error["message"]
    assert "another clock regime" in error["message"] and "edgekit sweep" in error["next_step"]


def test_emulated_latency_is_refused(env: Mapping[str, str], url: str) -> None:
    put(url, ("a", 5, 0.7), device="virtual:phone-arm64", emulated=True)
    error = refused(env, "--minimize", "latency", kind="incomparable")
    assert "emulated" in error["message"]
    assert as_json(env, "--minimize", "latency", "--emulated")["choice"]["candidate"]["model"] == "a"


def test_choosing_waits_for_no_library_that_it_does_not_need(env: Mapping[str, str], url: str) -> None:
    put(url, ("a", 5, 0.7), ("b", 6, 0.8))
    code = (
        "import sys; from edgekit.cli.main import main; "
        "code = main(['choose', '--max-latency', '10ms', '--maximize', 'top1', '--json']); "
        "print([name for name in ('numpy', 'torch', 'plotly', 'rich') if name in sys.modules], file=sys.stderr); "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.strip() == "[]", done.stderr
    assert json.loads(done.stdout)["choice"]["candidate"]["model"] == "b"

"""The good paths, through the console command: deploy, results, profile, evaluate, devices, help."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import EDGEKIT, ZOO, Done, edgekit, environment

from edgekit.cli.main import COMMANDS

FORMATS = ["executorch", "litert", "onnx"]
SHORT = ("--runs", "10", "--min-secs", "0.05", "--warmup", "2", "--repeats", "2")
MODEL = f"{ZOO}:tiny"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A store that only this file writes."""
    return {"EDGEKIT_STORE": f"sqlite:///{tmp_path_factory.mktemp('store') / 'results.sqlite'}"}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def deployed(store: dict[str, str], out: Path) -> Done:
    done = edgekit("deploy", "--device", "host", MODEL, *SHORT, "--json", "-o", str(out), env=store)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def deployments(deployed: Done) -> dict[str, dict[str, Any]]:
    return {d["artifact"]["format"]: d for d in deployed.json()["deployments"]}


@pytest.fixture(scope="module")
def again(deployed: Done, store: dict[str, str]) -> dict[str, dict[str, Any]]:
    aliases = ("--num_runs", "20", "--min_secs", "0.05", "--warmup_runs", "3", "--num_threads", "2", "--repeats", "1")
    done = edgekit("deploy", MODEL, "--to", ",".join(FORMATS), *aliases, "--json", env=store)
    assert done.code == 0, done.err
    return {d["artifact"]["format"]: d for d in done.json()["deployments"]}


# -- deploy ------------------------------------------------------------------------------------------------------------


def test_every_format_that_the_host_runs_is_deployed(deployed: Done, deployments: dict[str, Any]) -> None:
    assert list(deployments) == FORMATS
    document = deployed.json()
    assert document["skipped"] == [] and document["warnings"] == [] and "error" not in document
    assert re.search(r"\[ +\d+\.\d s\] zoo_tiny onnx fp32: repeat 2 of 2", deployed.err)


@pytest.mark.parametrize("name", FORMATS)
def test_a_deployment_has_the_fields_that_others_rely_on(deployments: dict[str, Any], name: str) -> None:
    found = deployments[name]
    artifact, measured = found["artifact"], found["measurement"]
    assert re.fullmatch("[0-9a-f]{64}", artifact["sha256"]) and artifact["bytes"] > 1000
    assert (artifact["format"], artifact["precision"], artifact["model"]) == (name, "fp32", "zoo_tiny")
    assert artifact["rewrites"] == ["fold_batch_norm×3", *(["delegated_mean×1"] if name == "executorch" else [])]
    parity = found["parity"]
    assert parity == artifact["parity"] and parity["passed"] is True
    assert 0 <= parity["max_abs"] < 1e-4 and parity["cosine"] > 0.99999 and parity["psnr_db"] > 80
    assert parity["top1_agreement"] == 1.0 and parity["first_divergence"] is None
    assert found["device_parity"]["passed"] is True and found["device_parity"]["bit_equal"] is True
    assert found["push"]["bytes_sent"] == 0 and found["push"]["seconds"] >= 0
    assert measured["artifact_sha256"] == artifact["sha256"]
    assert (measured["device"], measured["emulated"], measured["clock_regime"]) == ("host", False, "free")
    assert measured["engine"] and measured["runtime_version"] and measured["harness_version"]
    assert measured["verdict"] in ("ok", "noisy", "throttled")
    assert (measured["verdict"] == "ok") == (measured["verdict_reasons"] == [])
    assert measured["samples"] >= 20 and measured["threads"] == 1
    low, high = measured["ci95_ms"]
    assert 0 < low <= measured["p50_ms"] <= high
    assert measured["p50_ms"] <= measured["p90_ms"] <= measured["p99_ms"]
    assert measured["trimmed_mean_ms"] > 0 and measured["first_ms"] > 0
    assert measured["load_cold_ms"] is None or measured["load_cold_ms"] > 0
    assert measured["load_warm_ms"] > 0
    assert measured["peak_rss_bytes"] > measured["model_rss_bytes"] >= 0
    assert "repeats" not in measured
    assert measured["plan"]["repeats"] == 2 and measured["plan"]["min_runs"] == 10


def test_the_files_are_where_they_were_asked_for(deployments: dict[str, Any], out: Path) -> None:
    names = ["zoo_tiny_litert_fp32.tflite", "zoo_tiny_onnx_fp32.onnx", "zoo_tiny_xnnpack_fp32.pte"]
    assert sorted(p.name for p in out.iterdir()) == names
    assert {d["artifact"]["path"] for d in deployments.values()} == {str(out / name) for name in names}


@pytest.mark.parametrize("name", FORMATS)
def test_the_second_deploy_converts_nothing(deployments: dict[str, Any], again: dict[str, Any], name: str) -> None:
    assert again[name]["artifact"]["cached"] is True
    assert again[name]["artifact"]["sha256"] == deployments[name]["artifact"]["sha256"]
    assert again[name]["parity"] == deployments[name]["parity"]
    assert again[name]["measurement"]["id"] != deployments[name]["measurement"]["id"]


@pytest.mark.parametrize("name", FORMATS)
def test_names_that_users_of_other_tools_know_are_taken(again: dict[str, Any], name: str) -> None:
    measured = again[name]["measurement"]
    assert (measured["threads"], measured["plan"]["min_runs"], measured["plan"]["warmup_min_runs"]) == (2, 20, 3)


def test_a_converted_file_is_deployed_as_it_is(out: Path, deployed: Done, store: dict[str, str]) -> None:
    done = edgekit("deploy", str(out / "zoo_tiny_litert_fp32.tflite"), *SHORT, "--json", env=store)
    assert done.code == 0, done.err
    (found,) = done.json()["deployments"]
    assert found["parity"] == {**found["parity"], "passed": None, "reason": "the file was made elsewhere"}
    assert found["device_parity"]["passed"] is None and found["device_parity"]["reason"]
    assert found["artifact"]["exported_sha256"] is None and found["measurement"]["p50_ms"] > 0


def test_a_format_without_a_runtime_is_skipped_and_says_so(out: Path, store: dict[str, str]) -> None:
    done = edgekit("deploy", MODEL, "--to", "coreml,onnx", *SHORT, "--json", "-q", env=store)
    assert done.code == 0, done.err
    assert [d["artifact"]["format"] for d in done.json()["deployments"]] == ["onnx"]
    assert done.json()["skipped"] == [{"format": "coreml", "reason": "host has no runtime for coreml files"}]
    assert done.err == ""


def test_strict_refuses_what_can_not_be_trusted(deployed: Done, store: dict[str, str]) -> None:
    hopeless = ("--runs", "1000000", "--min-secs", "0.01", "--max-secs", "0.05", "--repeats", "1", "--warmup", "1")
    done = edgekit("deploy", MODEL, "--to", "onnx", *hopeless, "--strict", "--json", env=store)
    error = done.failed(14, "untrustworthy")
    assert error["message"] == "Not every measurement can be trusted: onnx is timed-out."
    assert "1000000 runs" in error["where"]
    (found,) = done.json()["deployments"]  # it was measured and kept all the same
    assert found["measurement"]["verdict"] == "timed-out"
    assert edgekit("deploy", MODEL, "--to", "onnx", *hopeless, "-q", env=store).code == 0


# -- results -----------------------------------------------------------------------------------------------------------


def test_results_lists_what_was_measured(deployments: dict[str, Any], again: dict[str, Any], store: Any) -> None:
    listed = edgekit("results", "--json", "-n", "1000", env=store).json()["measurements"]
    kept = {m["id"]: m for m in listed}
    for found in (*deployments.values(), *again.values()):
        assert kept[found["measurement"]["id"]] == found["measurement"]
    assert listed == sorted(listed, key=lambda m: m["created"], reverse=True)


def test_results_are_filtered(deployments: dict[str, Any], store: dict[str, str]) -> None:
    only = edgekit("results", "--json", "--engine", "litert", "--since", "1d", env=store).json()["measurements"]
    assert only and {m["format"] for m in only} == {"litert"}
    wanted = deployments["onnx"]["measurement"]["id"]
    (one,) = edgekit("results", "--json", "--id", wanted[:12], "--samples", env=store).json()["measurements"]
    assert one["id"] == wanted
    assert sum(len(repeat["samples_ns"]) for repeat in one["repeats"]) == one["samples"]
    assert edgekit("results", "--json", "--model", "resnet", env=store).json()["measurements"] == []


def test_results_are_exported_in_every_form(deployments: dict[str, Any], store: dict[str, str], tmp_path: Path) -> None:
    for suffix in ("json", "csv", "parquet"):
        done = edgekit("results", "--export", str(tmp_path / f"r.{suffix}"), "--format", "onnx", env=store)
        assert done.code == 0, done.err
        assert f"written to {tmp_path / f'r.{suffix}'}" in done.out
    wanted = deployments["onnx"]["measurement"]
    rows = json.loads((tmp_path / "r.json").read_text())
    listed = rows["measurements"] if isinstance(rows, dict) else rows
    assert wanted["p50_ms"] in [m["p50_ms"] for m in listed]
    with (tmp_path / "r.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["p50_ms"]) for row in table if row["id"] == wanted["id"]] == [wanted["p50_ms"]]
    parquet = pq.read_table(tmp_path / "r.parquet").to_pylist()
    assert [row["p50_ms"] for row in parquet if row["id"] == wanted["id"]] == [wanted["p50_ms"]]
    assert len(listed) == len(table) == len(parquet)


def test_results_speak_the_other_tools_names(deployments: dict[str, Any], store: dict[str, str]) -> None:
    def listed(names: str) -> list[dict[str, Any]]:
        done = edgekit("results", "--json", "--field-names", names, "--format", "onnx", env=store)
        assert done.code == 0, done.err
        found: list[dict[str, Any]] = done.json()["measurements"]
        return found

    wanted = deployments["onnx"]["measurement"]
    aihub = [row["execution_summary"] for row in listed("aihub")]
    assert round(wanted["min_ms"] * 1000) in [row["estimated_inference_time"] for row in aihub]
    assert all(len(row["all_inference_times"]) >= 10 for row in aihub)
    litert = listed("litert")
    assert len(litert) == len(aihub)
    assert wanted["first_ms"] in [row["latency_metrics"]["first_inference_ms"] for row in litert]


def test_the_table_is_for_people_and_fits(deployed: Done, store: dict[str, str]) -> None:
    done = edgekit("results", env=store)
    assert done.code == 0 and "zoo_tiny" in done.out and "p50 ms" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    done = edgekit("results", env={"EDGEKIT_STORE": f"sqlite:///{tmp_path / 'new.sqlite'}"})
    assert done.code == 0 and "edgekit deploy --device host MODEL" in done.out


# -- profile, evaluate, devices ----------------------------------------------------------------------------------------


def test_profile_tells_where_the_time_goes(deployed: Done, store: dict[str, str]) -> None:
    done = edgekit("profile", MODEL, "--runs", "5", "--json", env=store)
    assert done.code == 0, done.err
    profiles = {p["format"]: p for p in done.json()["profiles"]}
    assert list(profiles) == FORMATS
    for profile in profiles.values():
        assert profile["runs"] == 5 and profile["total_ms"] > 0 and profile["ops"]
        assert all(op["p50_ms"] >= 0 and op["name"] and op["unit"] for op in profile["ops"])
        assert 0 < sum(op["share"] for op in profile["ops"]) < 1.01


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(40, 3, 32, 32)).astype(np.float32)
    path = tmp_path_factory.mktemp("data") / "test.npz"
    np.savez(path, inputs=inputs, labels=generator.integers(0, 10, 40))
    return str(path)


def test_evaluate_scores_files_by_their_runtimes(out: Path, deployed: Done, data: str, store: dict[str, str]) -> None:
    files = sorted(str(p) for p in out.iterdir())
    done = edgekit("evaluate", MODEL, *files, "--data", data, "--metric", "top1,top5", "--json", env=store)
    assert done.code == 0, done.err
    found = done.json()["evaluations"]
    assert {e["format"] for e in found} == {"pytorch", *FORMATS} and {e["metric"] for e in found} == {"top1", "top5"}
    assert all(e["samples"] == 40 and len(e["dataset_sha256"]) == 64 for e in found)
    for metric in ("top1", "top5"):
        values = {e["format"]: e["value"] for e in found if e["metric"] == metric}
        assert len(set(values.values())) == 1, values  # converted files are as right as the model
        low, high = next(e["ci95"] for e in found if e["metric"] == metric)
        assert 0 <= low <= values["pytorch"] <= high <= 1


def test_devices_lists_this_machine() -> None:
    host, *boards = edgekit("devices", "--json").json()["devices"]
    assert all(board["spec"].startswith("virtual:cortex-") and board["emulated"] for board in boards)
    assert (host["spec"], host["transport"], host["emulated"], host["lease"]) == ("host", "local", False, None)
    assert host["state"] == "ready" and set(host["engines"]) == {"executorch", "litert", "onnxruntime", "edgekit-mcu"}
    for name in ("name", "profile", "abi", "os_build", "soc"):
        assert name in host
    people = edgekit("devices")
    assert people.code == 0 and people.out.splitlines()[0].split()[:3] == ["DEVICE", "STATE", "ABI"]
    assert people.out.splitlines()[1].startswith("host")


# -- the command line itself -------------------------------------------------------------------------------------------


def imported(*arguments: str) -> set[str]:
    """The top-level packages that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "edgekit.cli.main", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 50
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


HEAVY = {"torch", "numpy", "sqlalchemy", "executorch", "onnxruntime", "ai_edge_litert", "coremltools", "timm", "PIL"}


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("devices",), ("devices", "--json"), ("deploy", "--help"),
                  ("results", "--help")],
    ids=" ".join,
)  # fmt: skip
def test_the_quick_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert found & HEAVY == set()
    assert arguments == ("--version",) or "click" in found  # the check can see imports


def test_results_needs_the_store_but_no_torch(tmp_path: Path) -> None:
    assert imported("results") & HEAVY <= {"sqlalchemy", "numpy"}


def test_a_deploy_never_imports_torch_into_its_own_process(deployed: Done, store: dict[str, str]) -> None:
    found = imported("deploy", MODEL, "--to", "onnx", *SHORT, "-q")
    assert found & HEAVY <= {"sqlalchemy", "numpy", "PIL"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, edgekit; edgekit.EdgekitError, edgekit.Plan; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_has_examples_and_fits_eighty_columns(name: str) -> None:
    done = edgekit(*([name] if name else []), "--help")
    assert done.code == 0 and done.err == ""
    assert "Examples:" in done.out and "Usage: edgekit" in done.out
    assert [line for line in done.out.splitlines() if len(line) > 80] == []


def test_without_a_command_the_help_is_printed() -> None:
    assert "Commands:" in edgekit().out


def test_the_table_of_commands_is_what_help_lists() -> None:
    out = edgekit("--help").out
    for name, (_, text) in COMMANDS.items():
        assert re.search(rf"^  {name} ", out, re.MULTILINE), name
        assert text.split()[0] in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(shell: str) -> None:
    done = edgekit(env={"_EDGEKIT_COMPLETE": f"{shell}_source"})
    assert done.code == 0 and "edgekit" in done.out and "complete" in done.out


def test_completion_completes() -> None:
    done = edgekit(env={"_EDGEKIT_COMPLETE": "bash_complete", "COMP_WORDS": "edgekit de", "COMP_CWORD": "1"})
    assert {line.split(",")[1] for line in done.out.splitlines()} == {"deploy", "devices"}


def test_a_reader_that_goes_away_is_no_error(deployed: Done, store: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    env = environment(store)
    done = subprocess.run([*EDGEKIT, "results", "--json"], env=env, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert "Traceback" not in done.stderr


def test_a_table_of_converted_files_says_what_was_checked(out: Path, deployed: Done) -> None:
    def table(*options: str) -> str:
        done = edgekit("convert", MODEL, "--to", "litert,onnx", "-q", "-o", str(out), *options)
        assert done.code == 0 and done.err == ""
        return done.out

    checked, unchecked = table(), table("--no-parity")
    for name in ("litert", "onnx"):
        assert re.search(rf"^{name} .* passed ", checked, re.MULTILINE)
        assert re.search(rf"^{name} .* not checked ", unchecked, re.MULTILINE)
    assert "turned off with --no-parity" in unchecked and "passed" not in unchecked
    assert str(out / "zoo_tiny_onnx_fp32.onnx") in checked

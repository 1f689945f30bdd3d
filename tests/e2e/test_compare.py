"""``edgekit compare`` on real measurements of small models, through the console command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command import ZOO, edgekit
from onnx import TensorProto, helper

import edgekit as package
from edgekit.compare.comparison import Comparison
from edgekit.device.host import HostDevice
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.measure.plan import Candidate
from edgekit.measure.runner import measure
from edgekit.records import Artifact, Evaluation, Parity, Plan
from edgekit.selection import Sweep, SweepCell
from edgekit.store.store import Store

PLAN = Plan(
    warmup_min_runs=5, warmup_min_seconds=0.02, warmup_max_seconds=2.0, min_runs=60, min_seconds=0.05, repeats=3
)
SIZES = {"one": 64, "two": 96, "three": 128}


def product(folder: Path, model: str, size: int) -> Candidate:
    """A matrix product of its own, so that its time follows from its size."""
    folder.mkdir(exist_ok=True)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (size, size)) for name in "xy"]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], model, ends[:1], ends[1:])
    path = folder / f"{model}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    np.save(folder / f"{model}.npy", np.ones((1, size, size), dtype="float32"))
    artifact = Artifact(sha256=sha256_of(path), bytes=bytes_of(path), format="onnx", precision="fp32", path=str(path),
                        model=model, exported_sha256=None, parity=Parity(passed=None))  # fmt: skip
    return Candidate(artifact, (str(folder / f"{model}.npy"),))


def swept(store: Store, id: str, name: str, candidates: Sequence[Candidate], failed: str | None = None) -> None:
    """Measure on this machine and keep it as a sweep."""
    store.add_sweep(Sweep(id=id, name=name, created="2026-03-01T10:00:00+00:00", grid="{}", grid_sha256="0" * 64))
    for outcome in measure(candidates, HostDevice(), PLAN, threads=1, on_repeat=lambda found: None,
                           progress=lambda text: None):  # fmt: skip
        assert outcome.error is None and outcome.measurement is not None
        artifact = outcome.candidate.artifact
        store.add_artifact(artifact)
        cell = SweepCell(sweep_id=id, key=artifact.model, model=artifact.model, format="onnx", precision="fp32",
                         threads=1, device="host")  # fmt: skip
        store.add_cells([cell])
        done = {"state": "measured", "artifact_sha256": artifact.sha256, "measurement_id": outcome.measurement.id}
        store.save_cell(SweepCell(**{**_fields(cell), **done}), outcome.measurement)
    if failed:
        cell = SweepCell(sweep_id=id, key=failed, model=failed, format="onnx", precision="fp32", threads=1,
                         device="host", state="failed", kind="convert", reason="no kernel for it")  # fmt: skip
        store.add_cells([cell])


def _fields(cell: SweepCell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in cell.__struct_fields__}


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A store with the sweeps ``base`` and ``new``; in ``new`` the model three is a file that takes far longer."""
    folder = tmp_path_factory.mktemp("compare")
    url = f"sqlite:///{folder / 'results.sqlite'}"
    with Store.open(url) as store:
        same = [product(folder / "same", model, size) for model, size in SIZES.items()]
        swept(store, "a1" * 16, "base", same)
        swept(store, "b2" * 16, "new", [*same[1:2], product(folder / "other", "three", 512)], failed="one")
        for candidate, value in ((same[2], 0.9), (product(folder / "other", "three", 512), 0.85)):
            store.save_evaluation(
                Evaluation(artifact_sha256=candidate.artifact.sha256, model="three", format="onnx", precision="fp32",
                           dataset="digits", dataset_sha256="d" * 64, metric="top1", value=value,
                           ci95=(value - 0.02, value + 0.02), samples=1000, created="2026-03-01T10:00:00+00:00")
            )  # fmt: skip
    return {"EDGEKIT_STORE": url}


def test_two_sweeps_side_by_side(env: dict[str, str]) -> None:
    done = edgekit("compare", "base", "new", "--json", env=env)
    assert done.code == 0, done.err
    document = done.json()
    assert [run["name"] for run in document["runs"]] == ["base", "new"]
    pairs = {pair["b"]["candidate"]["model"]: pair for pair in document["pairs"]}
    assert set(pairs) == {"two", "three"}
    assert document["pairs"][0] is not None and pairs["three"]["verdict"] == "slower"
    assert pairs["three"]["ratio"] > 4 and pairs["three"]["ci95"][0] > 2
    assert "another file" in pairs["three"]["notes"] and "another file" not in pairs["two"]["notes"]
    accuracy = [change for change in pairs["three"]["changes"] if change["dataset"]]
    assert [(c["quantity"], c["a"], c["b"]) for c in accuracy] == [("top1", 0.9, 0.85)]
    assert accuracy[0]["interval"][1] < 0
    (alone,) = document["only_in_a"]
    assert alone["side"]["candidate"]["model"] == "one" and alone["reason"] == "failed: no kernel for it"
    assert document["only_in_b"] == [] and document["geometric_mean"]["pairs"] == 2
    assert all(key in pairs["two"] for key in ("p", "p_adjusted", "method", "reasons"))


def test_the_text_fits_a_terminal_and_says_what_was_left_out(env: dict[str, str]) -> None:
    done = edgekit("compare", "base", "new", env=env)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert max(len(line) for line in lines if not line.startswith(("A:", "B:", "Note:"))) <= 80, done.out
    assert re.search(r"^three .* slower\s*$", done.out, re.MULTILINE), done.out
    assert "B is slower in 1" in done.out and "Geometric mean of B/A over 2 times" in done.out
    assert "Note: another file (1 of 2 pairs)." in done.out
    assert "one onnx fp32, 1 thread, on host: in the other run failed: no kernel for it" in done.out
    assert "three onnx fp32, top1 on digits:\n  0.9000 to 0.8500 (-0.0500, 95% " in done.out


def test_two_candidates_of_one_sweep_are_compared_in_rounds(env: dict[str, str]) -> None:
    with Store.open(env["EDGEKIT_STORE"]) as store:
        ids = {cell.model: cell.measurement_id or "" for cell in store.cells("a1" * 16)}
    done = edgekit("compare", ids["one"][:12], ids["three"][:12], "--json", env=env)
    assert done.code == 0, done.err
    (pair,) = done.json()["pairs"]
    assert (pair["method"], pair["rounds"], pair["verdict"]) == ("paired", 3, "slower")
    assert "model one and three" in pair["notes"]
    text = edgekit("compare", ids["one"][:12], ids["three"][:12], env=env).out
    assert "3 interleaved rounds" in text and "the machine's doing" not in text.replace("\n", " ")


def test_a_run_of_another_store_and_the_python_verb(env: dict[str, str], tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    with Store.open(other) as store:
        swept(store, "c3" * 16, "base", [product(tmp_path / "same", "two", SIZES["two"])])
    done = edgekit("compare", "base", "base", "--store-b", other, "--json", env=env)
    assert done.code == 0, done.err
    document = done.json()
    assert document["runs"][1]["store"] != document["runs"][0]["store"]
    assert [pair["b"]["candidate"]["model"] for pair in document["pairs"]] == ["two"]
    found = package.compare("base", "base", store=env["EDGEKIT_STORE"], store_b=other)
    assert isinstance(found, Comparison) and found.pairs[0].ratio == pytest.approx(document["pairs"][0]["ratio"])
    missing = edgekit("compare", "base", "base", "--store-b", f"sqlite:///{tmp_path / 'no.sqlite'}", "--json", env=env)
    missing.failed(16, "store")


def test_a_page_of_the_comparison(env: dict[str, str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = edgekit("compare", "base", "new", "--html", str(page), "--json", env=env)
    assert done.code == 0, done.err
    assert done.json()["pairs"] and str(page) in done.err
    html = page.read_text(encoding="utf-8")
    assert "Content-Security-Policy" in html and "plotly" in html
    for words in ("base and new", "three onnx fp32, 1 thread", "B is slower", "failed: no kernel for it"):
        assert words in html, words
    assert "page" in edgekit("compare", "base", "new", "--html", str(page), env=env).out.splitlines()[-1]
    wrong = edgekit("compare", "base", "new", "--html", str(tmp_path / "no" / "page.html"), "--json", env=env)
    assert wrong.failed(2, "usage")["next_step"]


def test_a_page_without_plotly_says_how_to_install_it(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "plotly.py").write_text("raise ImportError('plotly is not installed')")
    without = {**env, "PYTHONPATH": str(tmp_path)}
    error = edgekit("compare", "base", "new", "--html", str(tmp_path / "page.html"), "--json", env=without)
    assert 'pip install "edgekit[report]"' in error.failed(10, "missing-extra")["next_step"]
    assert not (tmp_path / "page.html").exists()


def test_what_can_not_be_compared(env: dict[str, str], tmp_path: Path) -> None:
    unknown = edgekit("compare", "base", "nothing", "--json", env=env).failed(2, "usage")
    assert "new (b2b2b2b2)" in unknown["next_step"] and "three onnx" in unknown["next_step"]
    same = edgekit("compare", "base", "a1a1", "--json", env=env).failed(2, "usage")
    assert "same sweep" in same["message"]
    with Store.open(env["EDGEKIT_STORE"]) as store:
        one = {cell.model: cell.measurement_id or "" for cell in store.cells("a1" * 16)}["one"]
    edgekit("compare", one, "new", "--json", env=env).failed(2, "incomparable")
    empty = {**env, "EDGEKIT_STORE": f"sqlite:///{tmp_path / 'empty.sqlite'}"}
    assert "empty" in edgekit("compare", "a", "b", "--json", env=empty).failed(2, "usage")["next_step"]
    edgekit("compare", "", "new", "--json", env=env).failed(2, "usage")


def test_deployments_of_other_plans_are_not_compared(env: dict[str, str]) -> None:
    ids = []
    for runs in ("20", "30"):
        done = edgekit("deploy", f"{ZOO}:tiny", "--to", "onnx", "--runs", runs, "--min-secs", "0.01", "--warmup", "2",
                       "--repeats", "2", "--json", env=env)  # fmt: skip
        assert done.code == 0, done.err
        ids.append(done.json()["deployments"][0]["measurement"]["id"])
    error = edgekit("compare", *ids, "--json", env=env).failed(2, "incomparable")
    assert "min_runs 20 and 30" in error["message"]


def test_the_help_names_the_exit_codes() -> None:
    done = edgekit("compare", "--help")
    assert done.code == 0 and "2 if nothing can be compared" in done.out and "edgekit check --budget" in done.out
    assert max(len(line) for line in done.out.splitlines()) <= 80

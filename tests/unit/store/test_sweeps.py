from __future__ import annotations

import os
import signal
import subprocess
import sys

import msgspec
import pytest

from edgekit.errors import StoreError, UsageError
from edgekit.records import Evaluation, OpTime, Profile
from edgekit.selection import Sweep, SweepCell
from edgekit.store.query import Query
from edgekit.store.store import Store

from .counting import recount, series_rows
from .samples import ARTIFACT, make_measurement, make_repeat

SWEEP = Sweep(id="5a3f", name="phones", created="2026-03-01T10:00:00+00:00", grid='{"a":1}', grid_sha256="g" * 64)
CELL = SweepCell(
    sweep_id="5a3f", key="one", model="timm:resnet18", format="onnx", precision="fp32", threads=2, device="host"
)


def cell(key: str, **changes: object) -> SweepCell:
    return msgspec.structs.replace(CELL, key=key, **changes)


def begun(url: str, *keys: str) -> Store:
    store = Store.open(url)
    store.add_artifact(ARTIFACT)
    store.add_sweep(SWEEP)
    store.add_cells([cell(key) for key in keys])
    return store


def test_sweeps_by_id_name_and_grid(store_url: str) -> None:
    again = msgspec.structs.replace(SWEEP, id="77aa", created="2026-03-02T10:00:00+00:00")
    other = msgspec.structs.replace(SWEEP, id="77bb", name="77a", grid_sha256="h" * 64)
    with Store.open(store_url) as store:
        assert store.sweeps() == []
        with pytest.raises(UsageError, match="no sweep 'phones'") as caught:
            store.sweep("phones")
        assert "edgekit sweep" in caught.value.next_step
        for sweep in (SWEEP, again, other, SWEEP):
            store.add_sweep(sweep)
        assert store.sweeps() == [other, again, SWEEP]
        assert store.sweeps(limit=1) == [other]
        assert store.sweep("phones") == again  # the newest of that name
        assert store.sweep("5a3f") == store.sweep("5") == SWEEP
        assert store.sweep("77a") == other  # a name before the beginning of an id
        assert store.sweep("77aa") == again
        assert store.sweep_of_grid("g" * 64) == again
        assert store.sweep_of_grid("x") is None
        with pytest.raises(UsageError, match="More than one sweep begins with '77'"):
            store.sweep("77")
        for unknown in ("", "%", "5_"):
            with pytest.raises(UsageError, match="no sweep") as caught:
                store.sweep(unknown)
            assert "77a (77bb), phones (77aa), phones (5a3f)" in caught.value.next_step
        with pytest.raises(StoreError, match="Another sweep"):
            store.add_sweep(msgspec.structs.replace(SWEEP, name="else"))


def test_cells_keep_their_order_and_their_state(store_url: str) -> None:
    long = "k" * 3000
    with begun(store_url, "b", "a", long) as store:
        assert [one.key for one in store.cells("5a3f")] == ["b", "a", long]
        failed = cell("b", state="failed", kind="device", reason="lost")
        store.save_cell(failed)
        store.add_cells([cell("c"), cell("b"), cell("c", model="twice")])
        assert store.cells("5a3f") == [failed, cell("a"), cell(long), cell("c")]
        assert store.cells("none") == []


def test_a_cell_and_its_measurement_are_one(store_url: str) -> None:
    with begun(store_url, "one") as store:
        half = make_measurement(repeats=(make_repeat(0),), verdict="incomparable")
        store.save_cell(cell("one", measurement_id=half.id), half)
        whole = make_measurement(verdict="ok")
        done = cell("one", state="measured", measurement_id=whole.id, artifact_sha256=ARTIFACT.sha256)
        store.save_cell(done, whole)
        assert store.cells("5a3f") == [done]
        assert store.measurements(Query(ids=("m-0001",), with_samples=True, limit=None)) == [whole]
    assert series_rows(store_url) == recount(store_url)
    assert [row[2:4] for row in series_rows(store_url)] == [("ok", 1)]


@pytest.mark.parametrize(
    ("wrong", "measurement", "message"),
    [
        (cell("unknown", measurement_id="m-0001"), make_measurement(), "no cell unknown"),
        (cell("one", sweep_id="x", measurement_id="m-0001"), make_measurement(), "sweep x has no cell one"),
        (cell("one", measurement_id="m-9"), make_measurement(), "measurement m-9 of the cell one is not"),
        (cell("one", measurement_id="m-0001"), make_measurement(artifact_sha256="c" * 64), "artifact of measurement"),
    ],
)
def test_neither_is_kept_without_the_other(store_url: str, wrong: SweepCell, measurement: object, message: str) -> None:
    with begun(store_url, "one") as store:
        with pytest.raises(StoreError, match=message):
            store.save_cell(wrong, measurement)  # type: ignore[arg-type]
        assert store.measurements() == []
        assert store.cells("5a3f") == [cell("one")]
    assert series_rows(store_url) == []


def test_cells_of_a_sweep_that_is_not_there(store_url: str) -> None:
    with Store.open(store_url) as store, pytest.raises(StoreError, match="sweep 5a3f is not in the store"):
        store.add_cells([CELL])


_SWEEPER = f"""
import sys
from edgekit.store.store import Store
from {__package__}.samples import make_measurement, make_repeat
from {__package__}.test_sweeps import cell

with Store.open(sys.argv[1]) as store:
    for done in range(1, 7):
        for index in range(5):
            name = f"{{sys.argv[2]}}-{{index}}"
            verdict = "ok" if done == 6 else "incomparable"
            made = make_measurement(id=name, verdict=verdict, repeats=tuple(make_repeat(k) for k in range(done)))
            store.save_cell(cell(name, measurement_id=name, reason=str(done)), made)
            print(name, done, flush=True)
"""
_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_killed_sweep_leaves_cells_and_measurements_alike(store_url: str) -> None:
    names = [f"w{kill}-{index}" for kill in range(6) for index in range(5)]
    begun(store_url, *names).close()
    committed: dict[str, int] = {}
    for kill in range(6):
        words = [sys.executable, "-c", _SWEEPER, store_url, f"w{kill}"]
        writer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT)
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(1 + 4 * kill)]
        writer.send_signal(signal.SIGKILL)
        for line in [*lines, *writer.communicate()[0].splitlines()]:
            if len(line.split()) == 2:
                committed[line.split()[0]] = int(line.split()[1])
    with Store.open(store_url) as store:
        cells = store.cells("5a3f")
        found = {one.id: one for one in store.measurements(Query(limit=None, with_samples=True))}
    assert [one.key for one in cells] == names
    assert {one.key for one in cells if one.measurement_id} == set(found)
    for one in cells:
        if one.measurement_id:
            assert len(found[one.key].repeats) == int(one.reason or 0) >= committed.get(one.key, 0)
    assert committed.keys() <= found.keys()
    assert series_rows(store_url) == recount(store_url)


def test_processes_that_add_the_same_cells(store_url: str) -> None:
    begun(store_url).close()
    code = f"""
import sys
from edgekit.store.store import Store
from {__package__}.test_sweeps import cell

with Store.open(sys.argv[1]) as store:
    store.add_cells([cell(f"k{{index}}") for index in range(200)])
"""
    adders = [subprocess.Popen([sys.executable, "-c", code, store_url], env=_ENVIRONMENT) for _ in range(4)]
    assert [adder.wait(timeout=60) for adder in adders] == [0, 0, 0, 0]
    with Store.open(store_url) as store:
        assert [one.key for one in store.cells("5a3f")] == [f"k{index}" for index in range(200)]


def test_profiles(store_url: str) -> None:
    op = OpTime(name="conv", type="Conv", unit="CPU", p50_ms=0.1 + 0.2, share=1.0)
    profile = Profile(
        artifact_sha256=ARTIFACT.sha256, model="m", format="onnx", device="host", engine="onnxruntime",
        runtime_version="1", threads=1, runs=30, total_ms=1 / 3, ops=(op,),
    )  # fmt: skip
    four = msgspec.structs.replace(profile, threads=4)
    phone = msgspec.structs.replace(profile, device="pixel7")
    newer = msgspec.structs.replace(profile, runs=60)
    with begun(store_url) as store:
        for made, created in (
            (newer, "2026-03-05T00:00:00Z"), (profile, "2026-03-01T00:00:00Z"), (four, "2026-03-03T00:00:00Z"),
            (phone, "2026-03-04T00:00:00Z"),
        ):  # fmt: skip
            store.save_profile(made, created)
        assert store.profiles([ARTIFACT.sha256, "b" * 64]) == [newer, phone, four]
        assert store.profiles([ARTIFACT.sha256], device="host") == [newer, four]
        assert store.profiles([]) == store.profiles(["b" * 64]) == []
        store.save_profile(phone)  # now, which is later
        assert store.profiles([ARTIFACT.sha256])[0] == phone
        with pytest.raises(StoreError, match="artifact of profile of m"):
            store.save_profile(msgspec.structs.replace(profile, artifact_sha256="b" * 64))
        with pytest.raises(StoreError, match="not an ISO 8601 time"):
            store.save_profile(profile, "yesterday")


def test_the_newest_evaluations_of_files_and_models(store_url: str) -> None:
    base = Evaluation(
        artifact_sha256=ARTIFACT.sha256, model="net", format="onnx", precision="fp32", dataset="d", dataset_sha256="d1",
        metric="top1", value=0.5, ci95=None, samples=10, created="2026-03-01T00:00:00Z",
    )  # fmt: skip
    replace = msgspec.structs.replace
    newest = replace(base, value=0.6, created="2026-03-09T00:00:00Z")
    older = replace(base, value=0.4, created="2026-02-01T00:00:00Z")
    other_data = replace(base, dataset_sha256="d2", created="2026-03-02T00:00:00Z")
    other_metric = replace(base, metric="top5", created="2026-03-03T00:00:00Z")
    eager = replace(base, artifact_sha256=None, format="pytorch", created="2026-03-04T00:00:00Z")
    another = replace(eager, model="another", created="2026-03-05T00:00:00Z")
    by_path = replace(base, artifact_sha256="b" * 64, model="file", created="2026-03-06T00:00:00Z")
    with begun(store_url) as store:
        store.add_artifact(replace(ARTIFACT, sha256="b" * 64))
        for one in (newest, base, older, other_data, other_metric, eager, another, by_path):
            store.save_evaluation(one)
        of_file = [newest, other_metric, other_data]
        assert store.evaluations_of([ARTIFACT.sha256], []) == of_file
        assert store.evaluations_of([ARTIFACT.sha256], ["net"]) == [newest, eager, other_metric, other_data]
        assert store.evaluations_of([ARTIFACT.sha256, "b" * 64], ["another"]) == [
            newest,
            by_path,
            another,
            *of_file[1:],
        ]
        assert store.evaluations_of([], ["ne"]) == store.evaluations_of([], []) == []

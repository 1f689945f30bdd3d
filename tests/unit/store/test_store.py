from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys

import msgspec
import pytest
import sqlalchemy as sa

from edgekit.errors import StoreError, UsageError
from edgekit.records import Artifact, Evaluation, Footprint, Measurement, Parity
from edgekit.store import codec, tables
from edgekit.store.query import Query
from edgekit.store.store import Store

from .samples import ARTIFACT, make_measurement, make_repeat

EVALUATION = Evaluation(
    artifact_sha256="a" * 64, model="digits", format="litert", precision="fp32", dataset="digits", dataset_sha256="d",
    metric="top1", value=0.1 + 0.2, ci95=(0.25, 1 / 3), samples=360, created="2026-03-01T10:00:00+00:00",
)  # fmt: skip


def fill(url: str, *measurements: Measurement) -> Store:
    store = Store.open(url)
    store.add_artifact(ARTIFACT)
    for measurement in measurements:
        store.save_measurement(measurement)
    return store


def test_measurement_and_artifact_read_back_exactly(store_url: str) -> None:
    saved = make_measurement()
    with fill(store_url, saved):
        pass
    with Store.open(store_url, create=False) as store:
        assert store.measurement(saved.id) == saved
        assert store.measurements(Query(with_samples=True)) == [saved]
        assert store.measurements() == [msgspec.structs.replace(saved, repeats=())]
        assert store.artifact(ARTIFACT.sha256) == ARTIFACT
        assert store.artifact("0" * 64) is None


def test_the_summary_holds_no_samples(store_url: str) -> None:
    with fill(store_url, make_measurement()) as store, store._engine.connect() as connection:
        record = connection.exec_driver_sql("SELECT record FROM measurements").scalar_one()
        blob = connection.exec_driver_sql("SELECT samples FROM repeats WHERE repeat_index = 0").scalar_one()
    assert '"repeats":[]' in record
    assert len(blob) == 60 * 8
    assert blob[:8] == (5_000_000_000).to_bytes(8, "little")


def test_saving_after_every_repeat_appends(store_url: str) -> None:
    first = make_measurement(repeats=(make_repeat(0),), samples=60, p50_ms=1.0)
    second = make_measurement(repeats=(make_repeat(0), make_repeat(1)), samples=120, p50_ms=2.0)
    with fill(store_url, first, second, second) as store:
        assert store.measurements(Query(with_samples=True)) == [second]
        store.save_measurement(msgspec.structs.replace(second, repeats=(), p50_ms=3.0))
        assert store.measurement("m-0001") == msgspec.structs.replace(second, p50_ms=3.0)


def test_other_samples_under_the_same_id_are_refused(store_url: str) -> None:
    with fill(store_url, make_measurement()) as store:
        other = msgspec.structs.replace(make_repeat(0), samples_ns=tuple(range(60)))
        with pytest.raises(StoreError, match="other samples"):
            store.save_measurement(make_measurement(repeats=(other,), p50_ms=7.0))
        assert store.measurement("m-0001") == make_measurement()


def test_a_measurement_without_its_artifact_cannot_be_stored(store_url: str) -> None:
    with Store.open(store_url) as store:
        with pytest.raises(StoreError, match="is not in the store") as caught:
            store.save_measurement(make_measurement())
        assert caught.value.code == 16
        assert store.measurements() == []
        with pytest.raises(sa.exc.IntegrityError), store._engine.begin() as connection:
            # Nor past the store: the database itself refuses it.
            connection.execute(sa.insert(tables.measurements).values(codec.measurement_row(make_measurement())))


def test_artifacts_by_the_beginning_of_their_sha256(store_url: str) -> None:
    names = ["0" * 64, "ab" + "0" * 62, "ab" + "f" * 62, "ac" + "0" * 62, "f" * 64]
    with Store.open(store_url) as store:
        for name in names:
            store.add_artifact(msgspec.structs.replace(ARTIFACT, sha256=name))
        assert store.artifacts_beginning("ab") == names[1:3] and store.artifacts_beginning("ff") == names[4:]
        assert store.artifacts_beginning("", limit=2) == names[:2] and store.artifacts_beginning("9") == []


def test_an_artifact_run_by_path_does_not_forget_its_source(store_url: str) -> None:
    by_path = Artifact(
        sha256=ARTIFACT.sha256, bytes=1234, format="executorch", precision="unknown", path="/elsewhere/net.pte",
        model="net", exported_sha256=None, parity=Parity(passed=None, reason="not checked"),
    )  # fmt: skip
    with fill(store_url) as store:
        store.add_artifact(by_path)
        assert store.artifact(ARTIFACT.sha256) == ARTIFACT
        moved = msgspec.structs.replace(ARTIFACT, path="other.pte")
        store.add_artifact(moved)
        assert store.artifact(ARTIFACT.sha256) == moved


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), ["m-4", "m-3", "m-2", "m-1"]),
        (Query(limit=2), ["m-4", "m-3"]),
        (Query(limit=0), []),
        (Query(limit=None), ["m-4", "m-3", "m-2", "m-1"]),
        (Query(device="pixel7"), ["m-2"]),
        (Query(device="Pixel 7"), ["m-2"]),
        (Query(model="MOBILE"), ["m-4", "m-3", "m-1"]),
        (Query(model="net_v"), ["m-1"]),
        (Query(model="mobile*"), ["m-4", "m-3", "m-1"]),
        (Query(model="*v?"), ["m-3", "m-2", "m-1"]),
        (Query(model="mobile????"), ["m-4"]),
        (Query(model="100%"), ["m-4"]),
        (Query(engine="litert"), ["m-3"]),
        (Query(format="onnx"), ["m-4"]),
        (Query(verdict="ok"), ["m-1"]),
        (Query(since="2026-03-02T23:30:00+00:00"), ["m-4", "m-3"]),
        (Query(since="2026-03-03T01:30:00+02:00"), ["m-4", "m-3"]),
        (Query(since="1h"), []),
        (Query(id_prefix="m-"), ["m-4", "m-3", "m-2", "m-1"]),
        (Query(id_prefix="m_"), []),
        (Query(model="mobile", device="host", verdict="noisy"), ["m-4", "m-3"]),
    ],
)
def test_queries(store_url: str, query: Query, expected: list[str]) -> None:
    day = "2026-03-0{}T{}:00:00+00:00".format
    saved = (
        make_measurement(id="m-1", created=day(1, 10), model="mobilenet_v2", verdict="ok"),
        make_measurement(id="m-2", created=day(2, 10), model="efficient v3", device="pixel7", device_name="Pixel 7"),
        # The same moment as 2026-03-02T23:30Z, written in another zone: sorted by time, not by text.
        make_measurement(id="m-3", created="2026-03-03T01:30:00+02:00", model="MobileNetV3", engine="litert"),
        make_measurement(id="m-4", created="2026-03-03T00:00:00Z", model="mobile100%", format="onnx"),
    )
    with fill(store_url, *saved) as store:
        assert [found.id for found in store.measurements(query)] == expected


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "7x", "", "999999w"])
def test_a_bad_time_is_a_usage_error(store_url: str, since: str) -> None:
    with fill(store_url) as store, pytest.raises(UsageError):
        store.measurements(Query(since=since))


def test_one_measurement_by_the_beginning_of_its_id(store_url: str) -> None:
    with fill(store_url, make_measurement(id="ab1"), make_measurement(id="ab12"), make_measurement(id="cd")) as store:
        assert store.measurement("c").id == "cd"
        assert store.measurement("ab1").id == "ab1"
        with pytest.raises(UsageError, match="More than one"):
            store.measurement("ab")
        for unknown in ("x", "", "%"):
            with pytest.raises(UsageError, match="no measurement"):
                store.measurement(unknown)


def test_more_measurements_than_one_statement_takes_keep_their_samples(store_url: str) -> None:
    with fill(store_url) as store:
        for index in range(501):
            store.save_measurement(make_measurement(id=f"m{index}", repeats=(make_repeat(0, count=1 + index % 3),)))
        found = store.measurements(Query(limit=None, with_samples=True))
    assert len(found) == 501
    assert all(len(one.repeats[0].samples_ns) == 1 + int(one.id[1:]) % 3 for one in found)


def test_evaluations(store_url: str) -> None:
    eager = msgspec.structs.replace(
        EVALUATION, artifact_sha256=None, format="pytorch", ci95=None, created="2026-03-02T10:00:00+00:00"
    )
    coreml = msgspec.structs.replace(EVALUATION, value=None, ci95=None, reason="Core ML", model="Other")
    with fill(store_url) as store:
        for evaluation in (EVALUATION, eager, coreml):
            store.save_evaluation(evaluation)
        assert store.evaluations() == [eager, coreml, EVALUATION]
        assert store.evaluations(model="other") == [coreml]
        assert store.evaluations(dataset_sha256="x") == []
        with pytest.raises(StoreError, match="is not in the store"):
            store.save_evaluation(msgspec.structs.replace(EVALUATION, artifact_sha256="b" * 64))


def test_a_damaged_sample_blob_is_an_error(store_url: str) -> None:
    with fill(store_url, make_measurement()) as store:
        with store._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE repeats SET samples = substr(samples, 1, 80)")
        with pytest.raises(StoreError, match="damaged"):
            store.measurement("m-0001")


_WRITER = f"""
import sys
from edgekit.store.store import Store
from {__package__}.samples import ARTIFACT, make_measurement, make_repeat

url, name, count, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Store.open(url) as store:
    store.add_artifact(ARTIFACT)
    for index in range(count):
        for done in range(1, repeats + 1):
            made = tuple(make_repeat(k) for k in range(done))
            store.save_measurement(make_measurement(id=f"{{name}}-{{index}}", repeats=made))
            print(name, index, done, flush=True)
"""
_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def start_writer(url: str, name: str, count: int, repeats: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, url, name, str(count), str(repeats)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT)


def test_two_processes_that_write_at_once_lose_nothing(store_url: str) -> None:
    writers = [start_writer(store_url, name, 50) for name in ("left", "right")]
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    with Store.open(store_url, create=False) as store:
        found = store.measurements(Query(limit=None, with_samples=True))
    assert {one.id for one in found} == {f"{name}-{index}" for name in ("left", "right") for index in range(50)}
    assert all(len(one.repeats) == 1 for one in found)


def test_a_killed_writer_leaves_every_committed_repeat(store_url: str) -> None:
    committed: dict[str, int] = {}
    for kill in range(4):
        writer = start_writer(store_url, f"w{kill}", 10_000, repeats=3)
        assert writer.stdout is not None
        for _ in range(5 + 7 * kill):
            name, index, done = writer.stdout.readline().split()
            committed[f"{name}-{index}"] = int(done)
        writer.send_signal(signal.SIGKILL)
        for line in writer.communicate()[0].splitlines():
            if len(line.split()) == 3:
                name, index, done = line.split()
                committed[f"{name}-{index}"] = int(done)
        with Store.open(store_url) as store:
            found = {one.id: one.repeats for one in store.measurements(Query(limit=None, with_samples=True))}
            for name, least in committed.items():
                assert len(found[name]) >= least
                assert found[name] == tuple(make_repeat(k) for k in range(len(found[name])))
    if store_url.startswith("sqlite"):
        path = store_url.removeprefix("sqlite:///")
        assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_opening_is_lazy() -> None:
    code = "import sys, edgekit.store, edgekit.store.query, edgekit.store.export; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_ENVIRONMENT, check=True)
    assert done.stdout.strip() == "False"


def test_what_a_microcontroller_counts_is_kept(store_url: str) -> None:
    repeat = msgspec.structs.replace(make_repeat(0), samples_ns=(), counts=(12_000_001, 2**40))
    footprint = Footprint(static_bytes=4000, arena_bytes=38_000, stack_bytes=700, flash_bytes=400_000)
    counted = make_measurement(
        counter="instructions", instructions=12_000_001, sram_bytes=footprint.sram_bytes, flash_bytes=400_000,
        footprint=footprint, p50_ms=None, repeats=(repeat,),
    )  # fmt: skip
    with Store.open(store_url) as store:
        store.add_artifact(ARTIFACT)
        store.save_measurement(counted)
        assert store.measurement("m-0001") == counted
    assert counted.sram_bytes == 42_700

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edgekit.errors import StoreError
from edgekit.records import Evaluation
from edgekit.store import engine as engines
from edgekit.store import migrate, tables
from edgekit.store.query import Query
from edgekit.store.store import Store

from .counting import recount, series_rows
from .old_versions import make_version_1, make_version_3
from .samples import ARTIFACT, make_measurement, make_repeat

EVALUATION = Evaluation(
    artifact_sha256="a" * 64, model="m", format="onnx", precision="fp32", dataset="d", dataset_sha256="s",
    metric="top1", value=0.5, ci95=None, samples=2, created="2026-03-01T10:00:00+00:00",
)  # fmt: skip


def open_engine(url: str) -> sa.Engine:
    return engines.make_engine(engines.parse_url(url), create=True)


def layout(url: str) -> dict[str, object]:
    """Every table's columns, keys and indexes, as the database tells them."""
    sql = open_engine(url)
    inspector = sa.inspect(sql)
    found: dict[str, object] = {}
    for name in inspector.get_table_names():
        columns = [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)]
        indexes = sorted((str(i["name"]), tuple(i["column_names"])) for i in inspector.get_indexes(name))
        keys = [(k["constrained_columns"], k["referred_table"]) for k in inspector.get_foreign_keys(name)]
        found[name] = (columns, inspector.get_pk_constraint(name)["constrained_columns"], indexes, keys)
    return found


def test_an_older_store_is_migrated_without_loss(store_url: str, new_url: str) -> None:
    make_version_1(store_url, ARTIFACT, make_measurement())
    with Store.open(store_url, create=False) as store:
        assert store.measurements(Query(with_samples=True)) == [make_measurement()]
        assert store.artifact(ARTIFACT.sha256) == ARTIFACT
        store.save_evaluation(EVALUATION)
        assert store.evaluations() == [EVALUATION]
    Store.open(new_url).close()
    assert layout(store_url) == layout(new_url)


def test_measurements_of_version_3_get_their_series(store_url: str, new_url: str) -> None:
    saved = []
    for index in range(1203):  # more than two pages of the migration, and not a whole number of them
        saved.append(
            make_measurement(
                id=f"m{index * 7919 % 1203:04d}", created=f"2026-03-01T{index % 24:02d}:00:{index % 60:02d}+00:00",
                model=f"net{index % 5}", verdict=("ok", "noisy", "throttled", "incomparable")[index % 4],
                threads=1 + index % 2, repeats=(make_repeat(0),) if index % 100 == 0 else (),
            )
        )  # fmt: skip
    make_version_3(store_url, [ARTIFACT], saved, [EVALUATION])
    with Store.open(new_url) as new:
        new.add_artifact(ARTIFACT)
        for measurement in saved:
            new.save_measurement(measurement)
        with Store.open(store_url, create=False) as migrated:
            assert migrated.measurements(Query(limit=None, with_samples=True)) == new.measurements(
                Query(limit=None, with_samples=True)
            )
            assert migrated.standings() == new.standings()
            assert migrated.evaluations() == [EVALUATION]
            # It goes on as a new store does: the same series, and new ones.
            for store in (migrated, new):
                store.save_measurement(make_measurement(id="later", model="net0", verdict="ok", threads=1))
                store.save_measurement(make_measurement(id="other", device="pixel7"))
                store.save_measurement(msgspec.structs.replace(saved[0], verdict="timed-out"))
    assert series_rows(store_url) == recount(store_url) == series_rows(new_url)
    assert len(recount(store_url)) > 20
    assert layout(store_url) == layout(new_url)


def test_an_empty_store_of_version_3(store_url: str, new_url: str) -> None:
    make_version_3(store_url)
    with Store.open(store_url) as store:
        assert store.measurements() == store.standings() == store.sweeps() == []
    Store.open(new_url).close()
    assert layout(store_url) == layout(new_url)


def test_a_damaged_record_stops_the_migration(store_url: str) -> None:
    make_version_3(store_url, [ARTIFACT], [make_measurement()])
    before = layout(store_url)
    with open_engine(store_url).begin() as connection:
        connection.exec_driver_sql("UPDATE measurements SET record = substr(record, 1, 40)")
    with pytest.raises(StoreError, match="measurement record.* is damaged"):
        Store.open(store_url)
    assert layout(store_url) == before


def test_processes_that_migrate_at_once(store_url: str) -> None:
    saved = [make_measurement(id=f"m{index}", threads=1 + index % 3) for index in range(600)]
    make_version_3(store_url, [ARTIFACT], saved)
    open_at_once(store_url)
    assert sum(total for *_, total, _, _ in series_rows(store_url)) == 600
    assert series_rows(store_url) == recount(store_url)


def add_note(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE measurements ADD COLUMN note VARCHAR(20)")
    connection.exec_driver_sql("UPDATE measurements SET note = device || '/' || engine")


def test_steps_run_once_and_in_order(store_url: str) -> None:
    make_version_1(store_url, ARTIFACT, make_measurement())
    ran: list[str] = []

    def third(connection: Connection) -> None:
        assert sa.inspect(connection).has_table("evaluations")
        add_note(connection)
        ran.append("third")

    sql = open_engine(store_url)
    for _ in range(2):
        migrate.prepare(sql, (*migrate.STEPS, third))
    assert ran == ["third"]
    with sql.connect() as connection:
        assert connection.exec_driver_sql("SELECT note FROM measurements").scalar_one() == "host/executorch"
        assert migrate.read_version(connection) == migrate.VERSION + 1


def test_a_step_that_fails_leaves_the_old_version(store_url: str) -> None:
    make_version_1(store_url, ARTIFACT, make_measurement())
    before = layout(store_url)

    def broken(connection: Connection) -> None:
        add_note(connection)
        connection.exec_driver_sql("no such statement")

    sql = open_engine(store_url)
    with pytest.raises(sa.exc.DBAPIError):
        migrate.prepare(sql, (*migrate.STEPS, broken))
    with sql.connect() as connection:
        assert migrate.read_version(connection) == 1
    assert layout(store_url) == before
    with Store.open(store_url) as store:
        assert store.measurement("m-0001") == make_measurement()


def test_a_newer_store_is_refused(store_url: str) -> None:
    Store.open(store_url).close()
    with open_engine(store_url).begin() as connection:
        connection.execute(sa.update(tables.schema_version).values(version=migrate.VERSION + 1))
    with pytest.raises(StoreError, match=f"version {migrate.VERSION + 1}") as caught:
        Store.open(store_url)
    assert caught.value.code == 16
    assert "pip install --upgrade edgekit" in caught.value.next_step


def test_a_database_of_another_program_is_refused(store_url: str) -> None:
    with open_engine(store_url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE measurements (weather TEXT)")
    with pytest.raises(StoreError, match="tables of another program: measurements"):
        Store.open(store_url)
    assert list(layout(store_url)) == ["measurements"]


def test_a_store_without_a_version_is_refused(store_url: str) -> None:
    Store.open(store_url).close()
    with open_engine(store_url).begin() as connection:
        connection.execute(sa.delete(tables.schema_version))
    with pytest.raises(StoreError, match="which version"):
        Store.open(store_url)


def open_at_once(url: str) -> None:
    code = f"from edgekit.store.store import Store; Store.open({url!r}).close()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    openers = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [opener.wait(timeout=60) for opener in openers] == [0, 0, 0, 0]


def test_processes_that_make_the_store_at_once(store_url: str) -> None:
    open_at_once(store_url)
    sql = open_engine(store_url)
    with sql.connect() as connection:
        assert connection.exec_driver_sql("SELECT version FROM schema_version").scalars().all() == [migrate.VERSION]
        if sql.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_settings_of_sqlite(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store, store._engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 30_000, "foreign_keys": 1}

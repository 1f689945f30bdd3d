from __future__ import annotations

import os
import subprocess
import sys

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edgekit.errors import StoreError
from edgekit.records import Evaluation
from edgekit.store import engine as engines
from edgekit.store import migrate, tables
from edgekit.store.query import Query
from edgekit.store.store import Store

from .samples import ARTIFACT, make_measurement

EVALUATION = Evaluation(
    artifact_sha256="a" * 64, model="m", format="onnx", precision="fp32", dataset="d", dataset_sha256="s",
    metric="top1", value=0.5, ci95=None, samples=2, created="2026-03-01T10:00:00+00:00",
)  # fmt: skip


def open_engine(url: str) -> sa.Engine:
    return engines.make_engine(engines.parse_url(url), create=True)


def make_version_1(url: str) -> None:
    """A store of version 1, which had no evaluations and no counts, holding one measurement."""
    with Store.open(url) as store:
        store.add_artifact(ARTIFACT)
        store.save_measurement(make_measurement())
    with open_engine(url).begin() as connection:
        connection.exec_driver_sql("DROP TABLE evaluations")
        connection.exec_driver_sql("ALTER TABLE repeats DROP COLUMN counts")
        connection.exec_driver_sql("UPDATE schema_version SET version = 1")


def layout(url: str) -> dict[str, object]:
    """Every table's columns, keys and indexes, as the database tells them."""
    inspector = sa.inspect(open_engine(url))
    found: dict[str, object] = {}
    for name in inspector.get_table_names():
        columns = [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)]
        indexes = sorted((str(i["name"]), tuple(i["column_names"])) for i in inspector.get_indexes(name))
        keys = [(k["constrained_columns"], k["referred_table"]) for k in inspector.get_foreign_keys(name)]
        found[name] = (columns, inspector.get_pk_constraint(name)["constrained_columns"], indexes, keys)
    return found


def test_an_older_store_is_migrated_without_loss(store_url: str, tmp_path: object) -> None:
    make_version_1(store_url)
    with Store.open(store_url, create=False) as store:
        assert store.measurements(Query(with_samples=True)) == [make_measurement()]
        assert store.artifact(ARTIFACT.sha256) == ARTIFACT
        store.save_evaluation(EVALUATION)
        assert store.evaluations() == [EVALUATION]
    new = f"sqlite:///{tmp_path}/new.sqlite"
    Store.open(new).close()
    assert layout(store_url) == layout(new)


def add_note(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE measurements ADD COLUMN note VARCHAR(20)")
    connection.exec_driver_sql("UPDATE measurements SET note = device || '/' || engine")


def test_steps_run_once_and_in_order(store_url: str) -> None:
    make_version_1(store_url)
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
    make_version_1(store_url)
    before = layout(store_url)

    def broken(connection: Connection) -> None:
        add_note(connection)
        connection.exec_driver_sql("no such statement")

    sql = open_engine(store_url)
    with pytest.raises(sa.exc.OperationalError):
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


def test_processes_that_make_the_store_at_once(store_url: str) -> None:
    code = f"from edgekit.store.store import Store; Store.open({store_url!r}).close()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    openers = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [opener.wait(timeout=60) for opener in openers] == [0, 0, 0, 0]
    with open_engine(store_url).connect() as connection:
        assert connection.exec_driver_sql("SELECT version FROM schema_version").scalars().all() == [migrate.VERSION]
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_settings_of_sqlite(store_url: str) -> None:
    with Store.open(store_url) as store, store._engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 30_000, "foreign_keys": 1}

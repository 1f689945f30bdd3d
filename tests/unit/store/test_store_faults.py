"""Stores that can't be used: each says what, where and what to do, with exit code 16, and no password."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from edgekit.errors import StoreError
from edgekit.store import engine
from edgekit.store.store import Store

from .samples import ARTIFACT, make_measurement

SECRET = "s3cr3t-pass"


def refused(url: str, *, create: bool = True) -> StoreError:
    with pytest.raises(StoreError) as caught:
        Store.open(url, create=create).close()
    error = caught.value
    assert error.code == 16
    assert error.where
    assert error.next_step
    assert SECRET not in str(error.to_dict())
    assert SECRET not in str(error.__cause__)
    return error


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    error = refused(f"sqlite:///{tmp_path / 'file' / 'sub' / 'results.sqlite'}")
    assert "Not a directory" in error.message
    assert str(tmp_path) in error.where


def test_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    error = refused(f"sqlite:///{tmp_path}")
    assert "unable to open" in error.message
    assert "EDGEKIT_STORE" in error.next_step


def test_no_store_yet(tmp_path: Path) -> None:
    error = refused(f"sqlite:///{tmp_path / 'none.sqlite'}", create=False)
    assert "no results store yet" in error.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"this is text, not a database\n" * 100, bytes(range(256)) * 64])
def test_not_a_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "results.sqlite"
    path.write_bytes(content)
    error = refused(f"sqlite:///{path}")
    assert "not a database" in error.message
    assert "Move the file away" in error.next_step
    assert path.read_bytes() == content


def test_corrupt_database(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store:
        store.add_artifact(ARTIFACT)
        for index in range(40):
            store.save_measurement(make_measurement(id=f"m{index}"))
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    error = refused(sqlite_url)
    assert "malformed" in error.message


def test_locked_database(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(sqlite_url).close()
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Store.open(sqlite_url) as store:
        with pytest.raises(StoreError, match="locked") as caught:
            store.add_artifact(ARTIFACT)
        assert "Another program holds the store" in caught.value.next_step
        holder.execute("ROLLBACK")
        store.add_artifact(ARTIFACT)
    holder.close()


def test_locked_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(tmp_path / "results.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert "locked" in refused(f"sqlite:///{tmp_path / 'results.sqlite'}").message
    holder.close()


@pytest.mark.parametrize(
    "url", ["results.sqlite", f"user:{SECRET}@host/db", f"postgresql://u:{SECRET}@h:port/db", "://"]
)
def test_not_a_url(url: str) -> None:
    error = refused(url)
    assert "not a database URL" in error.message
    assert error.where == "EDGEKIT_STORE"


def test_unknown_kind_of_database() -> None:
    assert "'frobnicate'" in refused(f"frobnicate://user:{SECRET}@host/db?password={SECRET}").message


def test_bad_option(tmp_path: Path) -> None:
    refused(f"sqlite:///{tmp_path / 'x.sqlite'}?timeout=soon&password={SECRET}")


def test_missing_driver_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MySQLdb", None)  # as if it were not installed
    error = refused(f"mysql://user:{SECRET}@127.0.0.1/db?ssl_key={SECRET}")
    assert "pip install mysqlclient" in error.next_step
    assert error.where == "mysql://user:***@127.0.0.1/db"


def test_missing_postgres_driver_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as if it were not installed
    error = refused(f"postgresql://user:{SECRET}@127.0.0.1:1/db?sslpassword={SECRET}")
    assert error.next_step == 'Run: pip install "psycopg[binary]"'
    assert error.where == "postgresql+psycopg://user:***@127.0.0.1:1/db"


def test_secrets_in_a_drivers_text_are_hidden() -> None:
    url = engine.parse_url(f"postgresql://user:{SECRET}@host/db?sslpassword=other-{SECRET}")
    text = engine._without_secrets(url, f"bad dsn postgres://user:x@host, {SECRET}, other-{SECRET}")
    assert SECRET not in text
    assert "user:x" not in text


def test_memory_store_works() -> None:
    with Store.open("sqlite://") as store:
        store.add_artifact(ARTIFACT)
        store.save_measurement(make_measurement())
        assert store.measurement("m-0001") == make_measurement()


def test_default_store_is_made_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKIT_STORE", raising=False)
    monkeypatch.setenv("EDGEKIT_DATA", str(tmp_path / "a" / "b"))
    with Store.open() as store:
        assert store.where.endswith("/a/b/results.sqlite")
    assert (tmp_path / "a" / "b" / "results.sqlite").is_file()


def test_a_postgres_server_that_is_not_there() -> None:
    error = refused(f"postgresql://user:{SECRET}@127.0.0.1:1/db?sslpassword={SECRET}")
    assert error.where == "postgresql+psycopg://user:***@127.0.0.1:1/db"
    assert "the database is running" in error.next_step


def test_a_postgres_server_that_drops_idle_connections(postgres_url: str) -> None:
    with Store.open(postgres_url) as store:
        store.add_artifact(ARTIFACT)
        with Store.open(postgres_url) as other, other._engine.begin() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            ended = connection.exec_driver_sql(f"{others} AND pid <> pg_backend_pid()").scalars().all()
        assert ended == [True]
        store.save_measurement(make_measurement())
        assert store.measurement("m-0001") == make_measurement()

"""Connecting to the database of the store, and telling what went wrong without telling a password."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine

from edgekit.errors import StoreError

BUSY_SECONDS = 30.0
# SQLite allows 32766 values in one statement, older versions 999.
_AT_ONCE = 500
_USE_URL = (
    "Set EDGEKIT_STORE to a database URL such as sqlite:////full/path/results.sqlite or "
    "postgresql://user@host/database, or unset it to use the default file."
)
_PIP = {
    "psycopg": 'pip install "psycopg[binary]"',
    "psycopg2": "pip install psycopg2-binary",
    "pymysql": "pip install pymysql",
    "MySQLdb": "pip install mysqlclient",
}


def parse_url(text: str) -> URL:
    """The URL of a store. ``postgresql://`` means the psycopg driver, whatever SQLAlchemy's own default is.

    Raises:
        StoreError: it is not a database URL. The text itself is not shown, since it may hold a password.
    """
    try:
        url = sa.make_url(text)
    except (exc.ArgumentError, ValueError):
        # The cause is dropped, because it may quote the URL.
        raise StoreError(
            "The address of the results store is not a database URL.", where="EDGEKIT_STORE", next_step=_USE_URL
        ) from None
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def describe(url: URL) -> str:
    """The URL for people: no user's password and no query, which may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite store; None for a store in memory, a ``file:`` URI or another database."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def make_engine(url: URL, *, create: bool) -> Engine:
    """A SQLAlchemy engine for the store; makes the folder of an SQLite file if ``create``.

    Raises:
        StoreError: the folder or file can't be used, or the driver is not installed.
    """
    path = sqlite_file(url)
    if path is not None:
        _check_file(path, create)
    try:
        # A server may have ended a connection that was idle while a long measurement ran; another is made then.
        engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite")
    except exc.NoSuchModuleError:
        raise StoreError(
            f"'{url.drivername}' is not a kind of database that edgekit can use.", where=describe(url),
            next_step=_USE_URL,
        ) from None  # fmt: skip
    except ModuleNotFoundError as error:
        package = error.name or url.get_driver_name()
        raise StoreError(
            f"The Python package '{package}', which this database needs, is not installed.",
            where=describe(url), next_step=f"Run: {_PIP.get(package, f'pip install {package}')}",
        ) from error  # fmt: skip
    except (exc.ArgumentError, TypeError, ValueError):
        raise StoreError(
            "The address of the results store has options that its database does not know.",
            where=describe(url), next_step=_USE_URL,
        ) from None  # fmt: skip
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    return engine


def _check_file(path: Path, create: bool) -> None:
    if not create and not path.exists():
        raise StoreError(
            "There is no results store yet.", where=str(path),
            next_step="Measure something first (edgekit deploy), or set EDGEKIT_STORE to the store you mean.",
        )  # fmt: skip
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder of the results store can't be made: {error.strerror}.", where=str(path.parent),
            next_step="Choose a folder that you can write to with EDGEKIT_STORE or EDGEKIT_DATA.",
        ) from error  # fmt: skip


def _prepare_sqlite(engine: Engine) -> None:
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # Python's sqlite3 would begin transactions at moments of its own; on_begin below does it instead.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=NORMAL")

    def on_begin(connection: Connection) -> None:
        # A writer takes the write lock at once and waits for it; one that reads first and asks for it later can't.
        write = connection.get_execution_options().get("edgekit_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    sa.event.listen(engine, "connect", on_connect)
    sa.event.listen(engine, "begin", on_begin)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: all of it is kept, or nothing."""
    options: dict[str, Any] = {"edgekit_write": True}
    if engine.dialect.name != "sqlite":
        # Each statement has to see what others committed before it, since it may have waited for them (store.series).
        options["isolation_level"] = "READ COMMITTED"
    with engine.execution_options(**options).begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that reads: all its statements see the store as it was at one moment."""
    if engine.dialect.name != "sqlite":  # whose transactions do so anyway
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        yield connection


def chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """The values without doubles, as many at a time as one statement takes."""
    unique = list(dict.fromkeys(values))
    for start in range(0, len(unique), _AT_ONCE):
        yield unique[start : start + _AT_ONCE]


@contextmanager
def reported(url: URL) -> Iterator[None]:
    """Turns the database's errors into StoreError, without passwords."""
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error) as error:
        raise _store_error(url, error) from None


def _store_error(url: URL, error: Exception) -> StoreError:
    original: Any = getattr(error, "orig", None) or error
    lines = str(original).strip().splitlines()
    text = _without_secrets(url, lines[0] if lines else type(original).__name__)
    return StoreError(
        f"The results store can't be used: {text}.", where=describe(url), next_step=_next_step(text.lower())
    )


def _without_secrets(url: URL, text: str) -> str:
    values: list[str] = [url.password] if url.password else []
    for value in url.query.values():
        values.extend([value] if isinstance(value, str) else value)
    for secret in values:
        text = text.replace(secret, "***")
    # Drivers may quote a whole address of their own making.
    return re.sub(r"//[^/@\s]*@", "//***@", text).rstrip(".")


def _next_step(text: str) -> str:
    if "locked" in text or "busy" in text:
        return "Another program holds the store: end it, or try again when it is done."
    if "not a database" in text or "malformed" in text:
        return "Move the file away (edgekit then starts a new store), or restore it from a backup."
    if "unable to open" in text or "readonly" in text or "read-only" in text:
        return "Check that the file and its folder can be written, or choose another with EDGEKIT_STORE."
    if "full" in text or "no space" in text:
        return "Free space on the disk and run it again; what was saved before is kept."
    return "Check EDGEKIT_STORE and that the database is running and can be reached."

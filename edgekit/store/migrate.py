"""The version of the store's tables, and the steps from each version to the next.

A new store is made at the newest version; an older one is brought there by the steps it lacks, all in one transaction
where the database allows it (SQLite and PostgreSQL do). A step states its own table definitions, since those in
:mod:`edgekit.store.tables` move on.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from edgekit.errors import StoreError
from edgekit.store import engine as engines
from edgekit.store import tables
from edgekit.store.version4 import add_series

Step = Callable[[Connection], None]
# Any number will do, as long as every edgekit takes the same one.
_POSTGRES_LOCK = 0x65646765


def _add_evaluations(connection: Connection) -> None:
    """1 to 2: accuracy on data sets beside the measurements."""
    metadata = sa.MetaData()
    sa.Table("artifacts", metadata, sa.Column("sha256", sa.String(64), primary_key=True))
    table = sa.Table(
        "evaluations",
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("artifact_sha256", sa.String(64), sa.ForeignKey("artifacts.sha256"), index=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("format", sa.String(255), nullable=False),
        sa.Column("precision", sa.String(255), nullable=False),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("dataset_sha256", sa.String(64), nullable=False, index=True),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("ci95_low", sa.Float(53)),
        sa.Column("ci95_high", sa.Float(53)),
        sa.Column("samples", sa.BigInteger, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Index("ix_evaluations_newest", "created_us", "id"),
    )
    table.create(connection)


def _add_counts(connection: Connection) -> None:
    """2 to 3: what microcontrollers count in every run."""
    kind = sa.LargeBinary().compile(dialect=connection.dialect)
    connection.execute(sa.text(f"ALTER TABLE repeats ADD COLUMN counts {kind}"))


# The step at index k leads from version k + 1 to version k + 2. Append only.
STEPS: tuple[Step, ...] = (_add_evaluations, _add_counts, add_series)
VERSION = len(STEPS) + 1


def prepare(engine: Engine, steps: Sequence[Step] = STEPS) -> None:
    """Makes the tables of a new store, or migrates an older one. Safe for several processes at once.

    Raises:
        StoreError: a newer edgekit made the store, or the database belongs to another program.
    """
    newest = len(steps) + 1
    with engine.connect() as connection:
        version = read_version(connection)
    if version is not None and version >= newest:
        _refuse_newer(version, newest, engine)
        return
    if version is None and engine.dialect.name == "sqlite":
        _switch_to_wal(engine)
    with engines.writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
        version = read_version(connection)  # another process may have been faster
        if version is None:
            _create(connection, engine)
        else:
            _refuse_newer(version, newest, engine)
            _migrate(connection, version, steps)


def read_version(connection: Connection) -> int | None:
    """The version of the store's tables; None where there are none."""
    if not sa.inspect(connection).has_table("schema_version"):
        return None
    version = connection.execute(sa.select(tables.schema_version.c.version)).scalar_one_or_none()
    if version is None:
        raise StoreError(
            "The results store does not say which version it is.", where=engines.describe(connection.engine.url),
            next_step="Move it away (edgekit then starts a new store), or restore it from a backup.",
        )  # fmt: skip
    return int(version)


def _create(connection: Connection, engine: Engine) -> None:
    taken = sorted(set(tables.metadata.tables) & set(sa.inspect(connection).get_table_names()))
    if taken:
        raise StoreError(
            f"The database holds tables of another program: {', '.join(taken)}.",
            where=engines.describe(engine.url), next_step="Give edgekit a database of its own with EDGEKIT_STORE.",
        )  # fmt: skip
    tables.metadata.create_all(connection)
    connection.execute(sa.insert(tables.schema_version).values(version=VERSION))


def _migrate(connection: Connection, version: int, steps: Sequence[Step]) -> None:
    for step in steps[version - 1 :]:
        step(connection)
    connection.execute(sa.update(tables.schema_version).values(version=len(steps) + 1))


def _refuse_newer(version: int, newest: int, engine: Engine) -> None:
    if version > newest:
        raise StoreError(
            f"The results store has version {version}; this edgekit knows versions up to {newest}.",
            where=engines.describe(engine.url),
            next_step="Upgrade edgekit (pip install --upgrade edgekit), or set EDGEKIT_STORE to another store.",
        )


def _switch_to_wal(engine: Engine) -> None:
    """Readers and a writer don't block each other in WAL mode, and a killed writer leaves a readable file.

    The mode is kept in the file. The change needs the file for itself and, unlike other statements, does not wait
    for it, so it is tried again here.
    """
    deadline = time.monotonic() + engines.BUSY_SECONDS
    while True:
        try:
            # On the driver's own connection, because SQLAlchemy would begin a transaction, in which SQLite refuses.
            with contextlib.closing(engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)

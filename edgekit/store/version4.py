"""The step from version 3 to 4 of the store: series, sweeps and profiles."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edgekit.store import codec, series

_ROWS_AT_ONCE = 500
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def add_series(connection: Connection) -> None:
    """Makes the new tables and puts every measurement into its series."""
    metadata = _tables()
    old = ("artifacts", "measurements")
    metadata.create_all(connection, [table for table in metadata.sorted_tables if table.name not in old])
    kind = _NUMBER.compile(dialect=connection.dialect)
    connection.execute(sa.text(f"ALTER TABLE measurements ADD COLUMN series_id {kind} REFERENCES series (id)"))
    _fill(connection, metadata.tables["series"], metadata.tables["measurements"])
    for column in ("device", "device_name", "engine", "format", "verdict"):
        connection.execute(sa.text(f"DROP INDEX ix_measurements_{column}"))
    table = metadata.tables["measurements"]
    sa.Index("ix_measurements_series", table.c.series_id, table.c.created_us, table.c.id).create(connection)
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("CREATE INDEX ix_measurements_id_prefix ON measurements (id varchar_pattern_ops)"))


def _fill(connection: Connection, series_table: sa.Table, table: sa.Table) -> None:
    counts: dict[int, list[Any]] = {}
    last = ""
    page = sa.select(table.c.id, table.c.created_us, table.c.record).order_by(table.c.id).limit(_ROWS_AT_ONCE)
    place = sa.update(table).where(table.c.id == sa.bindparam("row"))
    while rows := connection.execute(page.where(table.c.id > last)).all():
        last = rows[-1].id
        places = {row.id: series.identity(codec.to_measurement(row.record)) for row in rows}
        numbers = _numbers(connection, series_table, {place["key_sha256"]: place for place in places.values()})
        moved = []
        for row in rows:
            number = numbers[places[row.id]["key_sha256"]]
            moved.append({"row": row.id, "series_id": number})
            count = counts.setdefault(number, [0, (row.created_us, row.id)])
            count[:] = [count[0] + 1, max(count[1], (row.created_us, row.id))]
        connection.execute(place, moved)
    totals = [
        {"number": number, "total": total, "newest_us": newest[0], "newest_id": newest[1]}
        for number, (total, newest) in counts.items()
    ]
    if totals:
        connection.execute(sa.update(series_table).where(series_table.c.id == sa.bindparam("number")), totals)


def _numbers(connection: Connection, table: sa.Table, wanted: dict[str, dict[str, Any]]) -> dict[str, int]:
    """The numbers of the series, by their keys; those that are not there yet are made."""
    select = sa.select(table.c.key_sha256, table.c.id).where(table.c.key_sha256.in_(list(wanted)))
    known = {row.key_sha256: row.id for row in connection.execute(select)}
    new = [{**row, "total": 0} for key, row in wanted.items() if key not in known]
    if not new:
        return known
    connection.execute(sa.insert(table), new)
    return {row.key_sha256: row.id for row in connection.execute(select)}


def _tables() -> sa.MetaData:
    metadata = sa.MetaData()
    text = sa.String(255)
    digest = sa.String(64)
    sa.Table("artifacts", metadata, sa.Column("sha256", digest, primary_key=True))
    sa.Table(
        "series",
        metadata,
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("key_sha256", digest, nullable=False, unique=True),
        sa.Column("setup_sha256", digest, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        *(sa.Column(name, text, nullable=False) for name in ("format", "device", "device_name", "engine", "verdict")),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("newest_us", sa.BigInteger),
        sa.Column("newest_id", text),
    )
    sa.Table(
        "measurements",
        metadata,
        sa.Column("id", text, primary_key=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("series_id", _NUMBER, sa.ForeignKey("series.id")),
    )
    sa.Table(
        "profiles",
        metadata,
        sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("artifact_sha256", digest, sa.ForeignKey("artifacts.sha256"), nullable=False, index=True),
        sa.Column("device", text, nullable=False),
        sa.Column("threads", sa.Integer, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    _sweep_tables(metadata)
    return metadata


def _sweep_tables(metadata: sa.MetaData) -> None:
    text = sa.String(255)
    digest = sa.String(64)
    sa.Table(
        "sweeps",
        metadata,
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("grid_sha256", digest, nullable=False, index=True),
        sa.Column("record", sa.Text, nullable=False),
    )
    sa.Table(
        "sweep_cells",
        metadata,
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("sweep_id", text, sa.ForeignKey("sweeps.id"), nullable=False),
        sa.Column("key_sha256", digest, nullable=False),
        sa.Column("state", text, nullable=False),
        sa.Column("measurement_id", text, sa.ForeignKey("measurements.id")),
        sa.Column("record", sa.Text, nullable=False),
        sa.Index("ix_sweep_cells_key", "sweep_id", "key_sha256", unique=True),
    )

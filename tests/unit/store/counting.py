"""What the store counted in its series, and what there is to count."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa

from edgekit.store import codec, engine, series, tables

Row = tuple[str, str, str, int, int, str]


def series_rows(url: str) -> list[Row]:
    """Key, setup, verdict, number, time and id of the newest, of every series that has any."""
    table = tables.series
    sql = engine.make_engine(engine.parse_url(url), create=False)
    select = sa.select(
        table.c.key_sha256, table.c.setup_sha256, table.c.verdict, table.c.total, table.c.newest_us, table.c.newest_id
    )
    with sql.connect() as connection:
        empty = connection.execute(sa.select(table).where(table.c.total == 0)).all()
        assert all(row.newest_id is None for row in empty)
        rows = connection.execute(select.where(table.c.total > 0)).all()
    sql.dispose()
    return sorted(tuple(row) for row in rows)


def recount(url: str) -> list[Row]:
    """The same from the measurements themselves, each of which has to be in the series where it belongs."""
    sql = engine.make_engine(engine.parse_url(url), create=False)
    found: dict[tuple[str, str, str], list[tuple[int, str]]] = defaultdict(list)
    with sql.connect() as connection:
        keys = dict(connection.execute(sa.select(tables.series.c.id, tables.series.c.key_sha256)).all())
        for row in connection.execute(sa.select(tables.measurements)):
            measurement = codec.to_measurement(row.record)
            identity = series.identity(measurement)
            assert keys[row.series_id] == identity["key_sha256"], row.id
            where = (identity["key_sha256"], identity["setup_sha256"], measurement.verdict)
            found[where].append((row.created_us, row.id))
    sql.dispose()
    return sorted((*where, len(rows), *max(rows)) for where, rows in found.items())

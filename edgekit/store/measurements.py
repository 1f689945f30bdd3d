"""Measurements in the store: saving them repeat by repeat, and finding them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edgekit.errors import StoreError, UsageError
from edgekit.records import Measurement, Repeat
from edgekit.store import artifacts, codec, series, tables
from edgekit.store.engine import chunks, describe
from edgekit.store.query import Query, not_negative, since_microseconds

_TABLE = tables.measurements
_Where = Sequence[sa.ColumnElement[bool]]
_Key: TypeAlias = "sa.Row[int, str]"
_NEWEST_FIRST = (_TABLE.c.created_us.desc(), _TABLE.c.id.desc())
# Up to so many ids that begin alike are read by their ids; more are found sooner among the newest measurements.
_FEW_IDS = 1000
# Up to so many series are asked for their newest measurements one by one.
_FEW_SERIES = 200


def save(connection: Connection, measurement: Measurement) -> None:
    """Saves the summary and those repeats that are not in the store yet, and counts it in its series.

    Raises:
        StoreError: the artifact was not added before, or other repeats are stored under this id.
    """
    artifacts.require(connection, measurement.artifact_sha256, f"measurement {measurement.id}")
    row = codec.measurement_row(measurement)
    place = series.lock(connection, measurement)
    row["series_id"] = place.after
    if place.known:
        connection.execute(sa.update(_TABLE).where(_TABLE.c.id == measurement.id).values(row))
    else:
        connection.execute(sa.insert(_TABLE).values(row))
    series.count(connection, place)
    _append_repeats(connection, measurement)


def _append_repeats(connection: Connection, measurement: Measurement) -> None:
    table = tables.repeats
    query = (
        sa.select(table.c.started, table.c.samples)
        .where(table.c.measurement_id == measurement.id)
        .order_by(table.c.repeat_index)
    )
    stored = connection.execute(query).all()
    for index, (old, new) in enumerate(zip(stored, measurement.repeats, strict=False)):
        if (old.started, old.samples) != (new.started, codec.pack(new.samples_ns)):
            raise StoreError(
                f"Repeat {index} of measurement {measurement.id} is stored with other samples.",
                where=describe(connection.engine.url), next_step="Give the new measurement an id of its own.",
            )  # fmt: skip
    new_ones = enumerate(measurement.repeats[len(stored) :], start=len(stored))
    rows = [codec.repeat_row(measurement.id, index, repeat) for index, repeat in new_ones]
    if rows:
        connection.execute(sa.insert(table), rows)


def find(connection: Connection, query: Query) -> list[Measurement]:
    """The measurements that fit, newest first.

    Raises:
        UsageError: ``since`` is not a time, or ``limit`` is negative.
    """
    ids = _ids(connection, query)
    records = read(connection, ids)
    repeats = _repeats(connection, ids) if query.with_samples else {}
    return [codec.to_measurement(records[one], repeats.get(one, ())) for one in ids]


def read(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The JSON records of the measurements that are there, by their ids."""
    select = sa.select(_TABLE.c.id, _TABLE.c.record)
    found = (connection.execute(select.where(_TABLE.c.id.in_(some))).all() for some in chunks(ids))
    return {row.id: row.record for rows in found for row in rows}


def one(connection: Connection, id_prefix: str) -> Measurement:
    """The one measurement whose id is, or begins with, ``id_prefix``; with every sample.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = list(read(connection, [id_prefix]))
    if not found and id_prefix:
        begins = sa.select(_TABLE.c.id).where(_begins(connection, id_prefix)).order_by(_TABLE.c.id).limit(4)
        found = list(connection.execute(begins).scalars())
    if len(found) != 1:
        raise _not_one(connection, id_prefix, found)
    (measurement,) = find(connection, Query(ids=tuple(found), with_samples=True))
    return measurement


def _not_one(connection: Connection, id_prefix: str, found: Sequence[str]) -> UsageError:
    where = describe(connection.engine.url)
    if found:
        return UsageError(
            f"More than one measurement begins with '{id_prefix}': {', '.join(found[:3])}, …",
            where=where, next_step="Give more of the id.",
        )  # fmt: skip
    return UsageError(
        f"There is no measurement '{id_prefix}'.", where=where, next_step="List them with edgekit results."
    )


def _ids(connection: Connection, query: Query) -> list[str]:
    """The ids of the measurements that fit, newest first.

    What a series tells is looked for among the series, which are few; the rest is looked up in an index.
    """
    limit = not_negative(query.limit)
    own = [] if query.since is None else [_TABLE.c.created_us >= since_microseconds(query.since)]
    wanted = list(
        series.conditions(query.device, query.model, engine=query.engine, format=query.format, verdict=query.verdict)
    )
    given = query.ids
    if query.id_prefix is not None:
        begins = sa.select(_TABLE.c.id).where(_begins(connection, query.id_prefix)).limit(_FEW_IDS + 1)
        few = connection.execute(begins).scalars().all()
        if given is None and len(few) <= _FEW_IDS:
            given = tuple(few)
        else:
            # Not in the words of _begins, for which SQLite would sort all that begin so instead of reading the newest.
            own.append(sa.func.substr(_TABLE.c.id, 1, len(query.id_prefix)) == query.id_prefix)
    if given is not None:
        rows = _given(connection, given, own, wanted)
    elif wanted and limit is not None and query.id_prefix is None:
        rows = _newest_of_series(connection, own, wanted, limit)
    else:
        rows = _scan(connection, own, wanted, limit)
    return [row.id for row in sorted(rows, reverse=True)[:limit]]


def _given(connection: Connection, ids: Sequence[str], own: _Where, wanted: _Where) -> list[_Key]:
    select = _keys(own, wanted)
    return [row for some in chunks(ids) for row in connection.execute(select.where(_TABLE.c.id.in_(some))).all()]


def _scan(connection: Connection, own: _Where, wanted: _Where, limit: int | None) -> list[_Key]:
    return list(connection.execute(_keys(own, wanted).order_by(*_NEWEST_FIRST).limit(limit)))


def _newest_of_series(connection: Connection, own: _Where, wanted: _Where, limit: int) -> list[_Key]:
    """The newest of all are the newest of their series, and those series are the ones with the newest of all."""
    table = tables.series
    some = sa.select(table.c.id).where(table.c.total > 0, *wanted)
    numbers = connection.execute(some.order_by(table.c.newest_us.desc(), table.c.newest_id.desc()).limit(limit))
    found = list(numbers.scalars())
    if len(found) > _FEW_SERIES:
        return _scan(connection, own, wanted, limit)
    select = _keys(own).where(_TABLE.c.series_id == sa.bindparam("series")).order_by(*_NEWEST_FIRST).limit(limit)
    return [row for number in found for row in connection.execute(select, {"series": number})]


def _keys(own: _Where, wanted: _Where = ()) -> sa.Select[int, str]:
    select = sa.select(_TABLE.c.created_us, _TABLE.c.id).where(*own)
    return select.where(_TABLE.c.series_id.in_(sa.select(tables.series.c.id).where(*wanted))) if wanted else select


def _begins(connection: Connection, prefix: str) -> sa.ColumnElement[bool]:
    """Whether an id begins so, in a way that the database can look up in an index."""
    if connection.dialect.name != "sqlite":
        return _TABLE.c.id.startswith(prefix, autoescape=True)
    # SQLite compares texts by their code points, of which this is the last one.
    return (_TABLE.c.id >= prefix) & (_TABLE.c.id < prefix + chr(0x10FFFF))


def _repeats(connection: Connection, ids: Sequence[str]) -> dict[str, list[Repeat]]:
    table = tables.repeats
    found: dict[str, list[Repeat]] = {}
    for some in chunks(ids):
        these = sa.select(table).where(table.c.measurement_id.in_(some))
        rows = connection.execute(these.order_by(table.c.measurement_id, table.c.repeat_index))
        for row in rows.mappings():
            found.setdefault(row["measurement_id"], []).append(codec.to_repeat(row))
    return found

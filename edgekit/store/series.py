"""Series: the measurements that are alike in everything people filter by or compare, their verdict included.

The table has one row per series, with how many measurements there are and which is the newest. It is kept up to date
in the transaction that saves a measurement, so that questions over a million measurements are answered from a few
hundred rows.

Series of one *setup* differ only in their verdict or in what the model was called: the same file, run in the same way
on the same device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from edgekit.records import Measurement
from edgekit.store import tables
from edgekit.store.query import like_pattern

_SERIES = tables.series
_MEASUREMENTS = tables.measurements

# Another choice of fields here needs a migration that makes the series anew (edgekit.store.migrate).
_SETUP = (
    "device", "device_name", "os_build", "soc", "artifact_sha256", "engine", "threads", "clock_regime", "harness",
    "harness_version", "plan",
)  # fmt: skip
_SHOWN = ("model", "format", "device", "device_name", "engine", "verdict")


def identity(measurement: Measurement) -> dict[str, Any]:
    """The columns of ``series`` that say which one the measurement belongs to."""
    setup = _digest({name: getattr(measurement, name) for name in _SETUP})
    shown = {name: getattr(measurement, name) for name in _SHOWN}
    return {"key_sha256": _digest({"setup": setup, **shown}), "setup_sha256": setup, **shown}


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


class Place(NamedTuple):
    """Where a measurement is stored: whether it is at all, the series it is counted in now, and where it belongs."""

    known: bool
    before: int | None
    after: int

    @property
    def series(self) -> list[int]:
        """The series concerned, in the order in which they are locked."""
        return sorted({self.after} if self.before is None else {self.before, self.after})


def lock(connection: Connection, measurement: Measurement) -> Place:
    """Finds the place of a measurement that is to be saved.

    Its series, and the measurement's own row, stay locked until the end of the transaction, so that two processes never
    count at once. Call it before anything is written to the measurement: the order of the locks is always the same
    (measurement, then series by number), and so no two processes wait for each other.
    """
    row = sa.select(_MEASUREMENTS.c.series_id).where(_MEASUREMENTS.c.id == measurement.id).with_for_update()
    found = connection.execute(row).first()
    before = found.series_id if found is not None else None
    place = Place(found is not None, before, _find_or_make(connection, identity(measurement)))
    some = sa.select(_SERIES.c.id).where(_SERIES.c.id.in_(place.series)).order_by(_SERIES.c.id)
    connection.execute(some.with_for_update()).all()
    return place


def _find_or_make(connection: Connection, row: dict[str, Any]) -> int:
    select = sa.select(_SERIES.c.id).where(_SERIES.c.key_sha256 == row["key_sha256"])
    found = connection.execute(select).scalar_one_or_none()
    if found is not None:
        return int(found)
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(_SERIES).values(**row, total=0))
    except IntegrityError:
        pass  # Another process has made it meanwhile.
    return int(connection.execute(select).scalar_one())


def count(connection: Connection, place: Place) -> None:
    """Counts the measurement in its series, and no longer where it was before, once it is written."""
    for number in place.series:
        change = int(number == place.after) - int(number == place.before)
        newest = (
            sa.select(_MEASUREMENTS.c.created_us, _MEASUREMENTS.c.id)
            .where(_MEASUREMENTS.c.series_id == number)
            .order_by(_MEASUREMENTS.c.created_us.desc(), _MEASUREMENTS.c.id.desc())
            .limit(1)
        )
        row = connection.execute(newest).first()
        connection.execute(
            sa.update(_SERIES)
            .where(_SERIES.c.id == number)
            .values(
                total=_SERIES.c.total + change,
                newest_us=row.created_us if row is not None else None,
                newest_id=row.id if row is not None else None,
            )
        )


def conditions(device: str | None, model: str | None, **equal: str | None) -> Iterator[sa.ColumnElement[bool]]:
    """What a series has to meet; ``equal`` may name ``engine``, ``format`` and ``verdict``. Null does not filter."""
    for name, value in equal.items():
        if value is not None:
            yield _SERIES.c[name] == value
    if device is not None:
        yield (_SERIES.c.device == device) | (_SERIES.c.device_name == device)
    if model is not None:
        yield _SERIES.c.model.ilike(like_pattern(model), escape="\\")

"""How every candidate stands: its newest measurement that can be compared, and a newer one that can't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edgekit.records import Verdict
from edgekit.selection import Measured
from edgekit.store import artifacts, codec, measurements, series, tables
from edgekit.store.engine import chunks
from edgekit.store.query import CandidateQuery, since_microseconds

_SERIES = tables.series
_MEASUREMENTS = tables.measurements
USABLE: tuple[Verdict, ...] = ("ok", "noisy")


class _Newest(NamedTuple):
    """The newest of ``total`` measurements."""

    created_us: int
    id: str
    total: int


def find(connection: Connection, query: CandidateQuery) -> list[Measured]:
    """Of every setup the newest usable measurement, and the newest unusable one where it is newer than that.

    Every measurement of the setup is one of these or is counted as superseded by one of them. Newest first.

    Raises:
        UsageError: ``since`` is not a time.
    """
    since = None if query.since is None else since_microseconds(query.since)
    setups: dict[str, dict[bool, _Newest]] = {}
    files = query.artifact_sha256s
    for some in [None] if files is None else chunks(files):
        for setup, verdict, created_us, one, total in connection.execute(_select(query, some)).all():
            _add(setups.setdefault(setup, {}), verdict in USABLE, _Newest(created_us, one, total))
    standing = [
        one for found in setups.values() for one in _standing(found) if since is None or one.created_us >= since
    ]
    standing.sort(reverse=True)
    records = measurements.read(connection, [one.id for one in standing])
    made = [(codec.to_measurement(records[one.id]), one.total - 1) for one in standing]
    known = artifacts.read(connection, [measurement.artifact_sha256 for measurement, _ in made])
    return [
        Measured(measurement=measurement, artifact=known[measurement.artifact_sha256], superseded=superseded)
        for measurement, superseded in made
    ]


def _select(query: CandidateQuery, files: Sequence[str] | None) -> sa.Select[str, str, int, str, int]:
    """Setup, verdict, time and id of the newest, and how many there are: of every series, or of a sweep's rows.

    With ``files`` it is only their series; a series is of one file.
    """
    wanted = list(series.conditions(query.device, query.model))
    if files is not None:
        theirs = sa.select(_MEASUREMENTS.c.series_id).where(_MEASUREMENTS.c.artifact_sha256.in_(files))
        wanted.append(_SERIES.c.id.in_(theirs))
    which = (_SERIES.c.setup_sha256, _SERIES.c.verdict)
    if query.sweep_id is None:
        newest = (_SERIES.c.newest_us, _SERIES.c.newest_id, _SERIES.c.total)
        return sa.select(*which, *newest).where(_SERIES.c.total > 0, *wanted)
    cells = tables.sweep_cells
    mine = _MEASUREMENTS.c.id.in_(sa.select(cells.c.measurement_id).where(cells.c.sweep_id == query.sweep_id))
    rows = sa.select(*which, _MEASUREMENTS.c.created_us, _MEASUREMENTS.c.id, sa.literal(1))
    return rows.join_from(_MEASUREMENTS, _SERIES).where(mine, *wanted)


def _add(found: dict[bool, _Newest], usable: bool, new: _Newest) -> None:
    known = found.get(usable)
    if known is not None:
        new = max(new, known)._replace(total=new.total + known.total)
    found[usable] = new


def _standing(found: dict[bool, _Newest]) -> Iterator[_Newest]:
    """What stands of one setup; what doesn't is counted with what does."""
    usable, unusable = found.get(True), found.get(False)
    if usable is None or unusable is None:
        yield from found.values()
    elif unusable > usable:
        yield usable
        yield unusable
    else:
        yield usable._replace(total=usable.total + unusable.total)

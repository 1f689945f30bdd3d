"""The results store. Each call is one transaction: what it returned from is kept, even if the process is then killed.

Importing this module imports SQLAlchemy; import it only where a store is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import IntegrityError

from edgekit import paths
from edgekit.errors import StoreError, UsageError
from edgekit.records import Artifact, Evaluation, Measurement, Repeat
from edgekit.store import codec, engine, migrate, tables
from edgekit.store.query import Query, like_pattern, since_microseconds

# SQLite allows 32766 values in one statement, older versions 999.
_IDS_AT_ONCE = 500
_NEWEST = Query()


@final
class Store:
    """An open results store; use it in a ``with`` statement, or call :meth:`close`.

    Every method raises StoreError (exit code 16) if the database can't be read or written.
    """

    def __init__(self, url: URL, sql: Engine) -> None:
        self._url = url
        self._engine = sql

    @classmethod
    def open(cls, url: str | None = None, *, create: bool = True) -> Store:
        """Opens the store at a SQLAlchemy URL; by default at :func:`edgekit.paths.store_url`.

        An older store is migrated. ``create=False`` refuses an SQLite file that is not there.

        Raises:
            StoreError: the URL, the driver, the file or the version of the store is wrong.
        """
        target = engine.parse_url(url or paths.store_url())
        sql = engine.make_engine(target, create=create)
        try:
            with engine.reported(target):
                migrate.prepare(sql)
        except BaseException:
            sql.dispose()
            raise
        return cls(target, sql)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    @property
    def where(self) -> str:
        """The address of the store, without passwords."""
        return engine.describe(self._url)

    def add_artifact(self, artifact: Artifact) -> None:
        """Saves an artifact, so that measurements of it can be saved.

        An artifact already there is replaced, unless it names the program it was converted from and this one doesn't:
        running a converted file by its path must not forget where the file came from.
        """
        row = codec.artifact_row(artifact)
        table = tables.artifacts
        with engine.reported(self._url), engine.writing(self._engine) as connection:
            try:
                with connection.begin_nested():
                    connection.execute(sa.insert(table).values(row))
            except IntegrityError:
                known = table.c.sha256 == artifact.sha256
                knows_less = table.c.exported_sha256.is_(None) if artifact.exported_sha256 is None else sa.true()
                connection.execute(sa.update(table).where(known, knows_less).values(row))

    def artifact(self, sha256: str) -> Artifact | None:
        """The artifact with this sha256, or None."""
        query = sa.select(tables.artifacts.c.record).where(tables.artifacts.c.sha256 == sha256)
        with engine.reported(self._url), self._engine.connect() as connection:
            record = connection.execute(query).scalar_one_or_none()
        return None if record is None else codec.to_artifact(record)

    def save_measurement(self, measurement: Measurement) -> None:
        """Saves the summary and those repeats that are not in the store yet.

        Call it after every repeat: a kill then loses at most the run in flight.

        Raises:
            StoreError: the artifact was not added before, or other repeats are stored under this id.
        """
        with engine.reported(self._url), engine.writing(self._engine) as connection:
            self._require_artifact(connection, measurement.artifact_sha256, f"measurement {measurement.id}")
            row = codec.measurement_row(measurement)
            table = tables.measurements
            known = connection.execute(sa.select(table.c.id).where(table.c.id == measurement.id)).first()
            if known is None:
                connection.execute(sa.insert(table).values(row))
            else:
                connection.execute(sa.update(table).where(table.c.id == measurement.id).values(row))
            self._append_repeats(connection, measurement)

    def _append_repeats(self, connection: Connection, measurement: Measurement) -> None:
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
                    f"Repeat {index} of measurement {measurement.id} is stored with other samples.", where=self.where,
                    next_step="Give the new measurement an id of its own.",
                )  # fmt: skip
        new_ones = enumerate(measurement.repeats[len(stored) :], start=len(stored))
        rows = [codec.repeat_row(measurement.id, index, repeat) for index, repeat in new_ones]
        if rows:
            connection.execute(sa.insert(table), rows)

    def _require_artifact(self, connection: Connection, sha256: str, what: str) -> None:
        column = tables.artifacts.c.sha256
        if connection.execute(sa.select(column).where(column == sha256)).first() is None:
            raise StoreError(
                f"The artifact of {what} ({sha256[:12]}…) is not in the store.", where=self.where,
                next_step="Add the artifact first.",
            )  # fmt: skip

    def measurements(self, query: Query = _NEWEST) -> list[Measurement]:
        """The measurements that fit, newest first.

        Raises:
            UsageError: ``since`` is not a time, or ``limit`` is negative.
        """
        with engine.reported(self._url), self._engine.connect() as connection:
            found = {row.id: row for select in _selects(query) for row in connection.execute(select)}
            rows = sorted(found.values(), key=lambda row: (row.created_us, row.id), reverse=True)[: query.limit]
            repeats = _repeats(connection, [row.id for row in rows]) if query.with_samples else {}
        return [codec.to_measurement(row.record, repeats.get(row.id, ())) for row in rows]

    def measurement(self, id_prefix: str) -> Measurement:
        """The one measurement whose id is, or begins with, ``id_prefix``; with every sample.

        Raises:
            UsageError: there is none, or more than one.
        """
        table = tables.measurements
        select = sa.select(table.c.id, table.c.record)
        with engine.reported(self._url), self._engine.connect() as connection:
            rows = connection.execute(select.where(table.c.id == id_prefix)).all()
            if not rows and id_prefix:
                begins = table.c.id.startswith(id_prefix, autoescape=True)
                rows = connection.execute(select.where(begins).order_by(table.c.id).limit(4)).all()
            if len(rows) != 1:
                raise self._not_one(id_prefix, [row.id for row in rows])
            repeats = _repeats(connection, [rows[0].id])
        return codec.to_measurement(rows[0].record, repeats.get(rows[0].id, ()))

    def _not_one(self, id_prefix: str, found: Sequence[str]) -> UsageError:
        if found:
            return UsageError(
                f"More than one measurement begins with '{id_prefix}': {', '.join(found[:3])}, …",
                where=self.where, next_step="Give more of the id.",
            )  # fmt: skip
        return UsageError(
            f"There is no measurement '{id_prefix}'.", where=self.where, next_step="List them with edgekit results."
        )

    def save_evaluation(self, evaluation: Evaluation) -> None:
        """Adds an evaluation; its artifact, if it has one, must have been added before."""
        with engine.reported(self._url), engine.writing(self._engine) as connection:
            if evaluation.artifact_sha256 is not None:
                self._require_artifact(connection, evaluation.artifact_sha256, f"evaluation of {evaluation.model}")
            connection.execute(sa.insert(tables.evaluations).values(codec.evaluation_row(evaluation)))

    def evaluations(
        self, *, model: str | None = None, dataset_sha256: str | None = None, limit: int | None = 50
    ) -> list[Evaluation]:
        """The evaluations that fit, newest first; ``model`` as in :class:`edgekit.store.query.Query`."""
        table = tables.evaluations
        select = sa.select(table.c.record)
        if model is not None:
            select = select.where(table.c.model.ilike(like_pattern(model), escape="\\"))
        if dataset_sha256 is not None:
            select = select.where(table.c.dataset_sha256 == dataset_sha256)
        select = select.order_by(table.c.created_us.desc(), table.c.id.desc()).limit(_limit(limit))
        with engine.reported(self._url), self._engine.connect() as connection:
            return [codec.to_evaluation(record) for record in connection.execute(select).scalars()]


def _selects(query: Query) -> list[sa.Select[tuple[str, int, str]]]:
    """The statements whose rows together are the answer.

    A device is looked up by its spec and by its name in a statement each, because an OR of the two makes databases
    sort every measurement of the device instead of reading the newest from an index.
    """
    table = tables.measurements
    select = sa.select(table.c.id, table.c.created_us, table.c.record).where(*_conditions(query))
    select = select.order_by(table.c.created_us.desc(), table.c.id.desc()).limit(_limit(query.limit))
    if query.device is None:
        return [select]
    return [select.where(column == query.device) for column in (table.c.device, table.c.device_name)]


def _conditions(query: Query) -> list[sa.ColumnElement[bool]]:
    table = tables.measurements
    found: list[sa.ColumnElement[bool]] = []
    for name in ("engine", "format", "verdict"):
        if getattr(query, name) is not None:
            found.append(table.c[name] == getattr(query, name))
    if query.model is not None:
        found.append(table.c.model.ilike(like_pattern(query.model), escape="\\"))
    if query.since is not None:
        found.append(table.c.created_us >= since_microseconds(query.since))
    if query.id_prefix is not None:
        found.append(table.c.id.startswith(query.id_prefix, autoescape=True))
    return found


def _limit(limit: int | None) -> int | None:
    if limit is not None and limit < 0:
        raise UsageError(f"The limit is negative: {limit}.", where="--limit", next_step="Give 0 or more.")
    return limit


def _repeats(connection: Connection, ids: Sequence[str]) -> dict[str, list[Repeat]]:
    table = tables.repeats
    found: dict[str, list[Repeat]] = {}
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = table.c.measurement_id.in_(ids[start : start + _IDS_AT_ONCE])
        rows = connection.execute(sa.select(table).where(some).order_by(table.c.measurement_id, table.c.repeat_index))
        for row in rows.mappings():
            found.setdefault(row["measurement_id"], []).append(codec.to_repeat(row))
    return found

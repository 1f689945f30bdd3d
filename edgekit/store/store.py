"""The results store. Each call is one transaction: what it returned from is kept, even if the process is then killed.

Importing this module imports SQLAlchemy; import it only where a store is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from types import TracebackType
from typing import final

from sqlalchemy.engine import URL, Connection, Engine

from edgekit import paths
from edgekit.records import Artifact, Evaluation, Measurement, Profile
from edgekit.selection import Measured, Sweep, SweepCell
from edgekit.store import artifacts, engine, evaluations, measurements, migrate, standings, sweeps
from edgekit.store.query import CandidateQuery, Query

_NEWEST = Query()
_EVERY = CandidateQuery()


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

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with engine.reported(self._url), engine.reading(self._engine) as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with engine.reported(self._url), engine.writing(self._engine) as connection:
            yield connection

    def add_artifact(self, artifact: Artifact) -> None:
        """Saves an artifact, so that measurements of it can be saved.

        An artifact already there is replaced, unless it names the program it was converted from and this one doesn't:
        running a converted file by its path must not forget where the file came from.
        """
        with self._writing() as connection:
            artifacts.add(connection, artifact)

    def artifact(self, sha256: str) -> Artifact | None:
        """The artifact with this sha256, or None."""
        with self._reading() as connection:
            return artifacts.read(connection, [sha256]).get(sha256)

    def artifacts_beginning(self, prefix: str, limit: int = 4) -> list[str]:
        """The sha256 of the artifacts that begin so, in order; ``prefix`` is of the digits 0 to 9 and a to f."""
        with self._reading() as connection:
            return artifacts.beginning(connection, prefix, limit)

    def save_measurement(self, measurement: Measurement) -> None:
        """Saves the summary and those repeats that are not in the store yet.

        Call it after every repeat: a kill then loses at most the run in flight.

        Raises:
            StoreError: the artifact was not added before, or other repeats are stored under this id.
        """
        with self._writing() as connection:
            measurements.save(connection, measurement)

    def measurements(self, query: Query = _NEWEST) -> list[Measurement]:
        """The measurements that fit, newest first.

        Raises:
            UsageError: ``since`` is not a time, or ``limit`` is negative.
        """
        with self._reading() as connection:
            return measurements.find(connection, query)

    def measurement(self, id_prefix: str) -> Measurement:
        """The one measurement whose id is, or begins with, ``id_prefix``; with every sample.

        Raises:
            UsageError: there is none, or more than one.
        """
        with self._reading() as connection:
            return measurements.one(connection, id_prefix)

    def standings(self, query: CandidateQuery = _EVERY) -> list[Measured]:
        """The newest usable measurement of every candidate under each setup, and a newer one that is not usable.

        A setup is the file, its engine and threads, the device and its system, clock regime, harness and plan. Usable
        are the verdicts ``ok`` and ``noisy``. ``superseded`` counts the setup's other measurements; each is counted
        once. Newest first, without samples.

        Raises:
            UsageError: ``since`` is not a time.
        """
        with self._reading() as connection:
            return standings.find(connection, query)

    def add_sweep(self, sweep: Sweep) -> None:
        """Adds a sweep; adding the same one again changes nothing.

        Raises:
            StoreError: another sweep has this id.
        """
        with self._writing() as connection:
            sweeps.add(connection, sweep)

    def sweeps(self, limit: int | None = 50) -> list[Sweep]:
        """The sweeps, newest first."""
        with self._reading() as connection:
            return sweeps.newest(connection, limit)

    def sweep(self, text: str) -> Sweep:
        """The sweep with this id, or else the newest with this name, or else the one whose id begins so.

        Raises:
            UsageError: there is none, or several ids begin so.
        """
        with self._reading() as connection:
            return sweeps.find(connection, text)

    def sweep_of_grid(self, grid_sha256: str) -> Sweep | None:
        """The newest sweep over this grid, or None."""
        with self._reading() as connection:
            return sweeps.of_grid(connection, grid_sha256)

    def add_cells(self, cells: Sequence[SweepCell]) -> None:
        """Adds those cells that their sweep does not have yet; a cell that is there stays as it is.

        Raises:
            StoreError: the sweep was not added before.
        """
        with self._writing() as connection:
            sweeps.add_cells(connection, cells)

    def cells(self, sweep_id: str) -> list[SweepCell]:
        """The cells of a sweep, in the order in which they were added."""
        with self._reading() as connection:
            return sweeps.cells(connection, sweep_id)

    def save_cell(self, cell: SweepCell, measurement: Measurement | None = None) -> None:
        """Saves the new state of a cell, and its measurement as :meth:`save_measurement` does: both or neither.

        Raises:
            StoreError: the cell, its measurement or the measurement's artifact is not in the store, or other repeats
                are stored under the measurement's id.
        """
        with self._writing() as connection:
            if measurement is not None:
                measurements.save(connection, measurement)
            sweeps.update_cell(connection, cell)

    def save_evaluation(self, evaluation: Evaluation) -> None:
        """Adds an evaluation; its artifact, if it has one, must have been added before."""
        with self._writing() as connection:
            evaluations.save(connection, evaluation)

    def evaluations(
        self, *, model: str | None = None, dataset_sha256: str | None = None, limit: int | None = 50
    ) -> list[Evaluation]:
        """The evaluations that fit, newest first; ``model`` as in :class:`edgekit.store.query.Query`."""
        with self._reading() as connection:
            return evaluations.find(connection, model, dataset_sha256, limit)

    def evaluations_of(self, artifact_sha256s: Sequence[str], models: Sequence[str]) -> list[Evaluation]:
        """The evaluations of these files and those of these models (whole names), newest first.

        Of each file, data set, metric and format it is the newest one; evaluations without a file (the PyTorch
        model's) are told apart by the model's name.
        """
        with self._reading() as connection:
            return evaluations.of(connection, artifact_sha256s, models)

    def save_profile(self, profile: Profile, created: str | None = None) -> None:
        """Adds a profile, made at an ISO 8601 time, or now.

        Raises:
            StoreError: its artifact was not added before.
        """
        moment = created or datetime.now(timezone.utc).isoformat()
        with self._writing() as connection:
            evaluations.save_profile(connection, profile, moment)

    def profiles(self, artifact_sha256s: Sequence[str], device: str | None = None) -> list[Profile]:
        """The newest profile of each of the files on each device (a spec) with each number of threads, newest first."""
        with self._reading() as connection:
            return evaluations.profiles(connection, artifact_sha256s, device)

"""From the store to the two runs of a comparison."""

from __future__ import annotations

from edgekit.compare.compare import Run, compare
from edgekit.compare.comparison import Comparison, RunInfo
from edgekit.errors import StoreError, UsageError
from edgekit.records import Artifact
from edgekit.selection import Measured, Sweep
from edgekit.store.query import Query
from edgekit.store.store import Store

_LISTED = 3


def compare_stored(store: Store, a: str, b: str, *, store_b: Store | None = None, emulated: bool = False) -> Comparison:
    """Compare the runs named ``a`` and ``b`` (of ``store_b``, if given).

    A run is named by a sweep's id or name, or by the beginning of the id of a sweep or of a measurement.

    Raises:
        UsageError: there is no such run, more than one, or both are the same.
        IncomparableError: no pair can be compared.
        StoreError: a store can't be read.
    """
    first, second = read(store, a), read(store_b or store, b)
    if first.info.id == second.info.id:
        raise _same(store, first.info)
    return compare(first, second, emulated=emulated)


def read(store: Store, text: str) -> Run:
    """The run that ``text`` names; that of one measurement has its repeats.

    Raises:
        UsageError: there is none, or more than one.
        StoreError: the store can't be read.
    """
    sweep: Sweep | None = None
    no_sweep: UsageError | None = None
    try:
        sweep = store.sweep(text)
    except UsageError as error:
        no_sweep = error
    if sweep is not None and text in (sweep.id, sweep.name):
        return _of_sweep(store, sweep)
    found = store.measurements(Query(id_prefix=text, limit=2)) if text else []
    if sweep is not None and found:
        raise UsageError(
            f"Both a sweep ({sweep.id}) and a measurement ({found[0].id}) begin with '{text}'.",
            where=store.where,
            next_step="Give more of the id.",
        )
    if found:
        return _of_measurement(store, text)
    if sweep is not None:
        return _of_sweep(store, sweep)
    raise _unknown(store, text, no_sweep)


def _of_sweep(store: Store, sweep: Sweep) -> Run:
    cells = store.cells(sweep.id)
    ids = tuple(dict.fromkeys(cell.measurement_id for cell in cells if cell.measurement_id))
    found = store.measurements(Query(ids=ids, limit=None)) if ids else []
    artifacts = {sha: _artifact(store, sha) for sha in {run.artifact_sha256 for run in found}}
    rows = [Measured(measurement=run, artifact=artifacts[run.artifact_sha256]) for run in found]
    info = RunInfo(
        kind="sweep", id=sweep.id, name=sweep.name, created=sweep.created, store=store.where, candidates=len(rows)
    )
    missing = tuple(cell for cell in cells if cell.measurement_id is None)
    models = sorted({row.artifact.model for row in rows})
    return Run(info, tuple(rows), missing, tuple(store.evaluations_of(sorted(artifacts), models)))


def _of_measurement(store: Store, text: str) -> Run:
    run = store.measurement(text)
    rows = (Measured(measurement=run, artifact=_artifact(store, run.artifact_sha256)),)
    name = f"{run.model} {run.format} {run.precision}"
    info = RunInfo(
        kind="measurement", id=run.id, name=name, created=run.created, store=store.where, candidates=len(rows)
    )
    return Run(info, rows, (), tuple(store.evaluations_of([run.artifact_sha256], [run.model])))


def _artifact(store: Store, sha256: str) -> Artifact:
    found = store.artifact(sha256)
    if found is None:
        raise StoreError(
            f"The store has a measurement of the file {sha256[:12]}…, but not the file's record.",
            where=store.where,
            next_step="The store was changed by another program; take its last copy.",
        )
    return found


def _unknown(store: Store, text: str, no_sweep: UsageError | None) -> UsageError:
    if no_sweep is not None and text and any(sweep.id.startswith(text) for sweep in store.sweeps(limit=None)):
        return no_sweep  # more than one begins so
    sweeps = ", ".join(f"{sweep.name} ({sweep.id[:8]})" for sweep in store.sweeps(_LISTED))
    runs = ", ".join(f"{run.id[:8]} ({run.model} {run.format})" for run in store.measurements(Query(limit=_LISTED)))
    known = [f"The newest {what} are {listed}." for what, listed in (("sweeps", sweeps), ("measurements", runs))
             if listed]  # fmt: skip
    return UsageError(
        f"There is no sweep and no measurement '{text}'.",
        where=store.where,
        next_step=" ".join(known) or "The store is empty; edgekit sweep or edgekit deploy measures.",
    )


def _same(store: Store, run: RunInfo) -> UsageError:
    """Both names mean one run; of a name that several sweeps have, the newest is taken."""
    others = [sweep for sweep in store.sweeps(limit=50) if sweep.name == run.name and sweep.id != run.id][:_LISTED]
    listed = ", ".join(f"{sweep.id[:8]} of {sweep.created[:16].replace('T', ' ')}" for sweep in others)
    return UsageError(
        f"A and B are the same {run.kind}, {run.id[:8]}.",
        where=store.where,
        next_step=f"Earlier ones of that name: {listed}." if listed else "Name two runs; edgekit results lists them.",
    )

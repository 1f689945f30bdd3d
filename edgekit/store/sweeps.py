"""Sweeps and their cells in the store: what was planned, how far it is, and how each cell ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edgekit.errors import StoreError, UsageError
from edgekit.selection import Sweep, SweepCell
from edgekit.store import codec, tables
from edgekit.store.engine import describe
from edgekit.store.query import not_negative

_SWEEPS = tables.sweeps
_CELLS = tables.sweep_cells
_LISTED = 3


def add(connection: Connection, sweep: Sweep) -> None:
    """Adds a sweep. Adding the same one again changes nothing.

    Raises:
        StoreError: another sweep has this id.
    """
    known = connection.execute(sa.select(_SWEEPS.c.record).where(_SWEEPS.c.id == sweep.id)).scalar_one_or_none()
    if known is None:
        connection.execute(sa.insert(_SWEEPS).values(codec.sweep_row(sweep)))
    elif codec.to_sweep(known) != sweep:
        raise StoreError(
            f"Another sweep is stored under the id {sweep.id}.", where=describe(connection.engine.url),
            next_step="Give the new sweep an id of its own.",
        )  # fmt: skip


def newest(connection: Connection, limit: int | None) -> list[Sweep]:
    """The sweeps, newest first."""
    select = sa.select(_SWEEPS.c.record).order_by(_SWEEPS.c.number.desc()).limit(not_negative(limit))
    return [codec.to_sweep(record) for record in connection.execute(select).scalars()]


def find(connection: Connection, text: str) -> Sweep:
    """The sweep with this id, or else the newest with this name, or else the one whose id begins so.

    Raises:
        UsageError: there is none, or several ids begin so.
    """
    select = sa.select(_SWEEPS.c.record).order_by(_SWEEPS.c.number.desc())
    for exact in (_SWEEPS.c.id == text, _SWEEPS.c.name == text):
        record = connection.execute(select.where(exact).limit(1)).scalar_one_or_none()
        if record is not None:
            return codec.to_sweep(record)
    begins = sa.func.substr(_SWEEPS.c.id, 1, len(text)) == text
    found = list(connection.execute(select.where(begins).limit(_LISTED + 1)).scalars()) if text else []
    if len(found) == 1:
        return codec.to_sweep(found[0])
    raise _not_one(connection, text, [codec.to_sweep(record) for record in found])


def _not_one(connection: Connection, text: str, found: Sequence[Sweep]) -> UsageError:
    where = describe(connection.engine.url)
    if found:
        ids = ", ".join(sweep.id for sweep in found[:_LISTED])
        return UsageError(
            f"More than one sweep begins with '{text}': {ids}, …", where=where, next_step="Give more of the id."
        )
    names = ", ".join(f"{sweep.name} ({sweep.id[:8]})" for sweep in newest(connection, _LISTED))
    return UsageError(
        f"There is no sweep '{text}'.", where=where,
        next_step=f"The newest are: {names}." if names else "Run edgekit sweep first.",
    )  # fmt: skip


def of_grid(connection: Connection, grid_sha256: str) -> Sweep | None:
    """The newest sweep over this grid, or None."""
    select = sa.select(_SWEEPS.c.record).where(_SWEEPS.c.grid_sha256 == grid_sha256)
    record = connection.execute(select.order_by(_SWEEPS.c.number.desc()).limit(1)).scalar_one_or_none()
    return None if record is None else codec.to_sweep(record)


def add_cells(connection: Connection, cells: Sequence[SweepCell]) -> None:
    """Adds those cells that the sweep does not have yet; a cell that is there stays as it is.

    Raises:
        StoreError: a cell's sweep was not added before.
    """
    for sweep_id in dict.fromkeys(cell.sweep_id for cell in cells):
        # Held until the end of the transaction: of two processes that add the same cells, one waits here.
        lock = sa.select(_SWEEPS.c.id).where(_SWEEPS.c.id == sweep_id).with_for_update()
        if connection.execute(lock).first() is None:
            raise StoreError(
                f"The sweep {sweep_id} is not in the store.", where=describe(connection.engine.url),
                next_step="Add the sweep before its cells.",
            )  # fmt: skip
        stored = set(connection.execute(sa.select(_CELLS.c.key_sha256).where(_CELLS.c.sweep_id == sweep_id)).scalars())
        new: dict[str, dict[str, Any]] = {}
        for row in (codec.cell_row(cell) for cell in cells if cell.sweep_id == sweep_id):
            if row["key_sha256"] not in stored:
                new.setdefault(row["key_sha256"], row)
        if new:
            connection.execute(sa.insert(_CELLS), list(new.values()))


def cells(connection: Connection, sweep_id: str) -> list[SweepCell]:
    """The cells of a sweep, in the order in which they were added."""
    select = sa.select(_CELLS.c.record).where(_CELLS.c.sweep_id == sweep_id).order_by(_CELLS.c.number)
    return [codec.to_cell(record) for record in connection.execute(select).scalars()]


def update_cell(connection: Connection, cell: SweepCell) -> None:
    """Replaces a cell by its new state.

    Raises:
        StoreError: the cell was not added before, or its measurement is not in the store.
    """
    where = describe(connection.engine.url)
    measured = tables.measurements.c.id
    if cell.measurement_id is not None:
        known = connection.execute(sa.select(measured).where(measured == cell.measurement_id)).first()
        if known is None:
            raise StoreError(
                f"The measurement {cell.measurement_id} of the cell {cell.key} is not in the store.", where=where,
                next_step="Save the measurement together with the cell.",
            )  # fmt: skip
    row = codec.cell_row(cell)
    this = (_CELLS.c.sweep_id == cell.sweep_id) & (_CELLS.c.key_sha256 == row["key_sha256"])
    if connection.execute(sa.update(_CELLS).where(this).values(row)).rowcount == 0:
        raise StoreError(
            f"The sweep {cell.sweep_id} has no cell {cell.key}.", where=where, next_step="Add the cell first."
        )

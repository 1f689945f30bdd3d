"""Beginning a sweep, or continuing the newest one of the same grid."""

from __future__ import annotations

import uuid
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timezone

import msgspec

from edgekit.errors import DeviceError, UsageError
from edgekit.selection import Sweep, SweepCell
from edgekit.store.store import Store
from edgekit.sweep import grid as grids
from edgekit.sweep.cells import FormatsOf, expand
from edgekit.sweep.grid import Grid


@dataclass(frozen=True)
class Begun:
    """A sweep with its cells as they are stored; ``known`` says that it was there before."""

    sweep: Sweep
    grid: Grid
    cells: tuple[SweepCell, ...]
    known: bool

    @property
    def finished(self) -> bool:
        """Whether every cell is settled."""
        return all(cell.state != "pending" for cell in self.cells)


def begin(
    grid: Grid,
    store: Store,
    formats_of: FormatsOf,
    *,
    chosen: Sweep | None = None,
    new: bool = False,
    retry_failed: bool = False,
) -> Begun:
    """The sweep ``chosen``, or the newest one of this grid; a new one if there is none, or ``new`` is asked for.

    Args:
        formats_of: the formats that a device runs; asked where the grid names none.
        retry_failed: cells that failed, or were skipped, are to be done again.

    Raises:
        UsageError: the grid has no cells that can be measured; see :func:`edgekit.sweep.cells.expand`.
        DeviceError: the grid names no formats and a device that would have to say them can't be reached.
    """
    known = chosen or (None if new else store.sweep_of_grid(grid.sha256))
    sweep = known or _new(grid)
    try:
        cells = expand(grid, sweep.id, formats_of).cells
    except DeviceError:
        if known is None:
            raise
        cells = ()  # what a device that is away runs is known from when it was there
    if known is None:
        store.add_sweep(sweep)
    store.add_cells(cells)
    if retry_failed:
        _retry(store, store.cells(sweep.id), {cell.key for cell in cells if cell.state == "pending"})
    return Begun(sweep, grid, tuple(store.cells(sweep.id)), known is not None)


def resume(text: str, store: Store) -> tuple[Sweep, Grid]:
    """A stored sweep and its grid, by its id, the beginning of it, or its name.

    Raises:
        UsageError: there is no such sweep, or a file that it was made from has changed.
    """
    sweep = store.sweep(text)
    grid = grids.read(sweep.grid)
    changed = grids.changed_files(grid)
    if changed:
        raise UsageError(
            f"The sweep {sweep.name} can't be continued: {', '.join(changed[:3])} changed since it began.",
            where=sweep.id, next_step="Begin a new sweep, with the grid or the command that it was begun with.",
        )  # fmt: skip
    return sweep, grid


def _new(grid: Grid) -> Sweep:
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Sweep(id=uuid.uuid4().hex, name=grid.name, created=created, grid=grid.text, grid_sha256=grid.sha256)


def _retry(store: Store, cells: Sequence[SweepCell], possible: Set[str]) -> None:
    """What failed was possible; of what was skipped only what can be."""
    for cell in cells:
        if cell.state == "failed" or (cell.state == "skipped" and cell.key in possible):
            store.save_cell(msgspec.structs.replace(cell, state="pending", reason=None, kind=None))

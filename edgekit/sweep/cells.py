"""From a grid to its cells, and the order in which they are measured."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgekit.convert import backend as backends
from edgekit.errors import UsageError
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.model.request import parse_spec
from edgekit.records import DeviceInfo
from edgekit.selection import SweepCell
from edgekit.sweep.grid import MAX_CELLS, Exclude, Grid, ModelEntry

_T = TypeVar("_T")
FormatsOf = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Expansion:
    """The cells of a grid in the order of its axes, and how many it excludes."""

    cells: tuple[SweepCell, ...]
    excluded: int


def expand(grid: Grid, sweep_id: str, formats_of: FormatsOf) -> Expansion:
    """Every combination that the grid names. One that can't exist (no such precision) is skipped, with the reason.

    Args:
        formats_of: the formats that a device runs, asked only where the grid names none.

    Raises:
        UsageError: an unknown format, an [[exclude]] that fits nothing, nothing left, or more than 10,000 cells.
    """
    for name in grid.formats:
        backends.lookup(name)
    used: set[int] = set()
    cells: list[SweepCell] = []
    excluded = 0
    for model, device, name, precision, reason, threads in _combinations(grid, formats_of):
        if _excluded(grid.exclude, used, model, name, precision, threads, device):
            excluded += 1
        elif len(cells) < MAX_CELLS:
            cells.append(_cell(sweep_id, model, name, precision, threads, device, reason))
        else:  # here, and not when all are made: a small file can name billions
            raise UsageError(f"The grid has too many cells; at most {MAX_CELLS} are possible.", where=grid.name,
                             next_step="Make several sweeps of it.")  # fmt: skip
    _check(grid, used, cells)
    return Expansion(tuple(cells), excluded)


def key_of(model: str, format_name: str, precision: str, threads: int, device: str) -> str:
    """A cell's key, unique in its sweep."""
    return f"{model}/{format_name}/{precision}/{threads}/{device}"


def hindrance(cell: SweepCell, info: DeviceInfo) -> str | None:
    """Why the device has no runtime for the cell; None where it has."""
    if ENGINE_OF_FORMAT.get(cell.format) in info.engines:
        return None
    return f"{cell.device} has no runtime for {cell.format} files"


def rounds(seed: str, number: int, entries: Sequence[_T], threads_of: Callable[[_T], int]) -> Iterator[list[_T]]:
    """The order of round ``number``: groups of one thread count, whose device is set up once, each in a random order.

    Every round has an order of its own, the same whenever the sweep is continued, so that no candidate always comes
    after the same other one.
    """
    # Not for secrets; str seeds give the same order on every machine.
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - an order, no secret
    counts = sorted({threads_of(entry) for entry in entries})
    chance.shuffle(counts)
    for count in counts:
        group = [entry for entry in entries if threads_of(entry) == count]
        chance.shuffle(group)
        yield group


def _combinations(grid: Grid, formats_of: FormatsOf) -> Iterator[tuple[str, str, str, str, str | None, int]]:
    """Model, device, format, precision, why that can't be, and threads."""
    for model, entry in grid.models.items():
        for device in grid.devices:
            for variant in _variants(grid, entry, grid.formats or tuple(formats_of(device))):
                for threads in grid.threads:
                    yield (model, device, *variant, threads)


def _variants(grid: Grid, entry: ModelEntry, formats: tuple[str, ...]) -> Iterator[tuple[str, str, str | None]]:
    """Format, precision and, where that can't be, why."""
    spec = parse_spec(entry.spec)
    if spec.kind == "artifact":
        yield _of_file(spec.format or "", formats)
        return
    for name in formats:
        info = backends.lookup(name)
        for asked in grid.precisions or ("",):
            precision = info.precision(asked)
            known = precision in info.precisions
            yield name, precision, None if known else f"{name} has no precision {precision}"


def _of_file(own: str, formats: tuple[str, ...]) -> tuple[str, str, str | None]:
    """A converted file has the format that it has; an int8 .tflite is compiled for a microcontroller."""
    if own == "litert" and "mcu" in formats and own not in formats:
        return "mcu", "int8", None
    precision = "int8" if own == "mcu" else "unknown"
    return own, precision, None if own in formats else f"the file is {own}, which is not asked for"


def _excluded(
    rules: Sequence[Exclude], used: set[int], model: str, name: str, precision: str, threads: int, device: str
) -> bool:
    fitting = {number for number, rule in enumerate(rules) if rule.matches(model, name, precision, threads, device)}
    used |= fitting
    return bool(fitting)


def _cell(
    sweep_id: str, model: str, name: str, precision: str, threads: int, device: str, reason: str | None
) -> SweepCell:
    return SweepCell(
        sweep_id=sweep_id,
        key=key_of(model, name, precision, threads, device),
        model=model,
        format=name,
        precision=precision,
        threads=threads,
        device=device,
        state="skipped" if reason else "pending",
        reason=reason,
    )


def _check(grid: Grid, used: set[int], cells: Sequence[SweepCell]) -> None:
    unused = [rule for number, rule in enumerate(grid.exclude) if number not in used]
    if unused:
        raise UsageError("An [[exclude]] of the grid fits no cell.", where=str(unused[0]),
                         next_step="Correct or remove it; edgekit sweep --dry-run lists the cells.")  # fmt: skip
    if all(cell.state == "skipped" for cell in cells):
        reasons = "; ".join(dict.fromkeys(cell.reason or "" for cell in cells)) or "everything is excluded"
        raise UsageError(f"The grid has nothing to measure: {reasons}.", where=grid.name,
                         next_step="Change its formats, precisions or exclusions.")  # fmt: skip

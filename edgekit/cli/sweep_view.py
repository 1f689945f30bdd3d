"""What ``edgekit sweep`` shows: one line that changes while it runs, a table of its cells, and the sweeps there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.cli import output
from edgekit.cli.progress import ProgressView
from edgekit.convert import events
from edgekit.errors import ERRORS, EdgekitError, UsageError
from edgekit.records import Measurement
from edgekit.selection import Sweep, SweepCell

_STATES = ("measured", "failed", "skipped", "pending")
# Reasons named below a table; --show and --json have all.
_LISTED = 12


class SweepView(ProgressView):
    """On a terminal, one line for what is measured and one for what is converted; elsewhere a line per step."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet)
        self._lines: dict[str, Any] = {}

    def on_event(self, event: events.Event) -> None:
        """Show a conversion event."""
        if self._live is None:
            super().on_event(event)
        elif isinstance(event, events.Progress) and event.state != "waiting":
            text = f"{event.format or 'model'}: {event.stage}"
            self._show("convert", text, visible=event.state == "started")

    def say(self, text: str) -> None:
        """Show what begins."""
        if self._live is None:
            super().say(text)
        else:
            self._show("sweep", text)

    def _show(self, line: str, text: str, visible: bool = True) -> None:
        from rich.markup import escape

        if line not in self._lines:
            self._lines[line] = self._live.add_task(escape(text), total=None)
        self._live.update(self._lines[line], description=escape(text), visible=visible)


def counts(cells: Sequence[SweepCell]) -> dict[str, int]:
    """How many cells are in each state."""
    found = Counter[str](cell.state for cell in cells)
    return {state: found[state] for state in _STATES}


def in_words(cells: Sequence[SweepCell]) -> str:
    """``12 measured, 1 failed``."""
    return ", ".join(f"{count} {state}" for state, count in counts(cells).items() if count) or "no cells"


def errors_of(sweep: Sweep, cells: Sequence[SweepCell], lost: Mapping[str, EdgekitError]) -> dict[str, EdgekitError]:
    """What went wrong, the devices that were lost first: their cells are still to be measured."""
    found = dict(lost)
    again = f"edgekit sweep --resume {sweep.id[:8]} --retry-failed"
    for cell in cells:
        if cell.state == "failed":
            kind = ERRORS.get(cell.kind or "", EdgekitError)
            found[cell.key] = kind(cell.reason or "", where=cell.key, next_step=f"To try it again: {again}")
    if cells and not found and all(cell.state == "skipped" for cell in cells):
        reasons = "; ".join(dict.fromkeys(cell.reason or "" for cell in cells))
        found[sweep.name] = UsageError(f"Nothing could be measured: {reasons}.", where=sweep.name,
                                       next_step="Change the grid, or attach another device.")  # fmt: skip
    return found


def grouped(errors: Mapping[str, EdgekitError]) -> list[EdgekitError]:
    """Each failure once, however many cells it befell."""
    same: dict[str, list[EdgekitError]] = {}
    for error in errors.values():
        same.setdefault(error.message, []).append(error)
    made = []
    for message, (first, *more) in same.items():
        where = f"{first.where} and {len(more)} more" if more else first.where
        made.append(type(first)(message, where=where, next_step=first.next_step))
    return made


def document(
    sweep: Sweep,
    cells: Sequence[SweepCell],
    measured: Mapping[str, Measurement],
    errors: Mapping[str, EdgekitError],
) -> dict[str, Any]:
    """The fields of the JSON document; measurements are without their repeats (edgekit results --samples has them)."""
    listed = []
    for cell in cells:
        found = measured.get(cell.measurement_id or "")
        plain = None if found is None else output.plain(found, drop=("repeats",))
        listed.append({**output.plain(cell), "measurement": plain})
    fields: dict[str, Any] = {"sweep": head(sweep, cells), "cells": listed}
    if errors:
        fields["error"] = output.public(next(iter(errors.values())))
        fields["failures"] = [{"cell": key, **output.public(error)} for key, error in errors.items()]
    return fields


def head(sweep: Sweep, cells: Sequence[SweepCell]) -> dict[str, Any]:
    """A sweep for JSON: its grid as an object, and how far it is."""
    import msgspec

    grid = msgspec.json.decode(sweep.grid)
    finished = all(cell.state != "pending" for cell in cells)
    return {**output.plain(sweep), "grid": grid, "counts": counts(cells), "finished": finished}


def show(sweep: Sweep, cells: Sequence[SweepCell], measured: Mapping[str, Measurement]) -> None:
    """The table for people, and why cells are not in it."""
    precisions = len({cell.precision for cell in cells}) > 1
    shown = [cell for cell in cells if cell.state != "skipped"]
    rows = [_row(cell, measured.get(cell.measurement_id or ""), precisions) for cell in shown]
    heads = [("Model", "left"), ("Format", "left"), ("Thr", "right"), ("On", "left"), ("p50 ms", "right"),
             ("±95%", "right"), ("Verdict", "left"), ("State", "left")]  # fmt: skip
    # A column that says the same everywhere is said once, so that the names of the models have room.
    threads, devices = {cell.threads for cell in shown}, {cell.device for cell in shown}
    same = {"Thr": len(threads) == 1, "On": len(devices) == 1, "State": {cell.state for cell in shown} == {"measured"}}
    kept = [index for index, (head, _) in enumerate(heads) if not same.get(head)]
    title = [f"{sweep.name} ({sweep.id[:8]}): {in_words(cells)}", *(f"on {one}" for one in devices if same["On"]),
             *(f"{one} thread{'s' if one != 1 else ''}" for one in threads if same["Thr"])]  # fmt: skip
    console = output.print_table(
        ", ".join(title), [heads[index] for index in kept], [[row[index] for index in kept] for row in rows]
    )
    if any(m.emulated for m in measured.values()):
        console.print("* emulated: not a device's latency; M: millions of executed instructions.")
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        if cell.state in ("failed", "skipped"):
            reasons.setdefault(f"{cell.state}: {cell.reason}", []).append(cell.key)
    for number, (reason, keys) in enumerate(reasons.items()):
        if number == _LISTED:
            console.print(f"{len(reasons) - _LISTED} more reasons: edgekit sweep --show {sweep.id[:8]} --json")
            break
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        console.print(f"{keys[0]}{more} {reason}", soft_wrap=True, markup=False)


def _row(cell: SweepCell, made: Measurement | None, precisions: bool) -> list[str]:
    name = f"{cell.format} {cell.precision}" if precisions else cell.format
    row = [cell.model, name, str(cell.threads), cell.device]
    if made is None:
        return [*row, "-", "-", "-", cell.state]
    verdict = f"{made.verdict}*" if made.emulated else made.verdict
    count = made.instructions or made.cycles
    p50 = f"{count / 1e6:.2f} M" if made.p50_ms is None and count else output.milliseconds(made.p50_ms)
    return [*row, p50, output.half_width(made.ci95_ms, made.p50_ms), verdict, cell.state]


def show_list(listed: Sequence[tuple[Sweep, Sequence[SweepCell]]]) -> None:
    """The sweeps there are, newest first."""
    rows = []
    for sweep, cells in listed:
        found = counts(cells)
        rows.append([sweep.id[:8], sweep.created[5:16].replace("T", " "), sweep.name,
                     *(str(found[state]) for state in _STATES)])  # fmt: skip
    heads = [("Id", "left"), ("UTC", "left"), ("Name", "left"), *((state, "right") for state in _STATES)]
    output.print_table(f"{len(rows)} sweep{'s' if len(rows) != 1 else ''}", heads, rows)

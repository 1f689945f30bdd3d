"""What ``edgekit choose`` tells people: the choice, the reasons, the front, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from edgekit.choose.comparable import OLDER, identity, labels
from edgekit.choose.doubt import meets
from edgekit.choose.quantities import FIGURES, half_width, is_share, word, written, written_with_doubt
from edgekit.cli import output
from edgekit.selection import Choice, Excluded, Penalty, Quantity, Standing

_WIDTH = 80
_FRONT_ROWS = 15
_LEFT_GROUPS = 8
_NAMES = 3
_STATUS = {
    "chosen": "Ship", "tie": "Ship, though others can't be told from it,",
    "undecided": "Ship, as far as the data can say,", "none": "No choice",
}  # fmt: skip


def show(choice: Choice, quiet: bool) -> None:
    """Print everything; with ``quiet`` without what was left out."""
    standings = [*choice.front, *choice.dominated]
    label = labels(one.candidate for one in standings)
    told = list(choice.reasons)
    if choice.choice is None:
        _say(f"No choice. {told.pop(0)}")
    else:
        figures = ", ".join(
            f"{word(name)} {written_with_doubt(name, choice.choice.quantities[name])}" for name in _axes(choice)
        )
        _say(f"{_STATUS[choice.status]} {label(choice.choice.candidate)}: {figures}.")
    click.echo()
    for reason in told:
        _say(reason, "- ", "  ")
    click.echo()
    _front(choice)
    for penalty in choice.penalties:
        _say(_penalty_text(penalty), "- ", "  ")
    if choice.excluded and not quiet:
        click.echo()
        _left_out(choice.excluded)


def _axes(choice: Choice) -> list[str]:
    names = [*(one.quantity for one in choice.objectives), *(one.quantity for one in choice.constraints)]
    return list(dict.fromkeys(names))


def _front(choice: Choice) -> None:
    """The candidates that no other one dominates, the choice and what is equal to it first."""
    names = _axes(choice)
    near = {identity(one.candidate) for one in choice.nearest}
    groups = (
        ("->", [] if choice.choice is None else [choice.choice]), ("=", choice.ties), ("?", choice.undecided),
        ("~", [one for one in (*choice.front, *choice.dominated) if identity(one.candidate) in near]),
        ("", choice.front),
    )  # fmt: skip
    seen: dict[tuple[str, int, str], tuple[str, Standing]] = {}
    for mark, some in groups:
        for one in some:
            seen.setdefault(identity(one.candidate), (mark, one))
    ordered = list(seen.values())
    marked = [row for row in ordered if row[0]]
    others = sorted((row for row in ordered if not row[0]), key=lambda row: _order(choice, row[1]))
    rows = [_row(choice, names, mark, one) for mark, one in (*marked, *others)[:_FRONT_ROWS]]
    heads = [("", "left"), ("Model", "left"), ("Format", "left"), ("Thr", "right")]
    heads += [(_heading(name), "right") for name in names]
    heads += [("Limits", "left")] if choice.constraints else []
    shown = _fitting(heads, rows, len(names))
    hidden = [word(name) for name in names[shown:]]
    last = slice(_FIRST + shown, _FIRST + len(names))
    del heads[last]
    for row in rows:
        del row[last]
    title = f"{len(choice.front)} of {len(choice.front) + len(choice.dominated)} candidates that none beats in all"
    output.print_table(title, heads, rows)
    signs = [text for mark, text in _SIGNS.items() if any(row[0] == mark for row in rows)]
    more = [f"{len(ordered) - len(rows)} more (--json lists all)"] if len(ordered) > len(rows) else []
    more += [f"no room for {', '.join(hidden)} (--json)"] if hidden else []
    _say("; ".join([*signs, "± is half the 95% interval", *more]) + ".")


# Columns before the figures: mark, model, format, threads.
_FIRST = 4
_MODEL_WIDTH = 20
_LIMITS_WIDTH = 18


def _fitting(heads: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], figures: int) -> int:
    """How many of the figures' columns the terminal has room for, the first objective's in any case."""
    columns = zip(*([head for head, _ in heads], *rows), strict=True)
    widths = [max(map(len, column)) + 1 for column in columns]
    widths[1] = min(widths[1], _MODEL_WIDTH + 1)
    room = output.console().width - sum(widths[:_FIRST]) - sum(widths[_FIRST + figures :])
    shown = 0
    while shown < figures and sum(widths[_FIRST : _FIRST + shown + 1]) <= room:
        shown += 1
    return max(shown, 1)


_SIGNS = {
    "->": "-> the choice", "=": "= can't be told from it",
    "?": "? would be better, if it meets the limits", "~": "~ nearest to the limits",
}  # fmt: skip


def _order(choice: Choice, one: Standing) -> tuple[bool, float]:
    """Those that meet the limits first, by the first objective."""
    first = choice.objectives[0]
    value = one.quantities[first.quantity].value
    return bool(one.unmet), value if first.direction == "minimize" else -value


def _row(choice: Choice, names: Sequence[str], mark: str, one: Standing) -> list[str]:
    key = one.candidate
    cells = [mark, key.model, f"{key.format} {key.precision}", str(key.threads)]
    cells += [_cell(name, one.quantities[name]) for name in names]
    return [*cells, _limits(choice, one)] if choice.constraints else cells


def _heading(name: str) -> str:
    if name.endswith("_ms"):
        return f"{name.removesuffix('_ms').replace('_', ' ')} ms"
    return FIGURES[name].word if name in FIGURES else f"{name} %" if is_share(name) else name


def _cell(name: str, quantity: Quantity) -> str:
    value = written(name, quantity.value).removesuffix(" ms").removesuffix("%")
    return f"{value} {half_width(name, quantity)}".rstrip()


def _limits(choice: Choice, one: Standing) -> str:
    """Whether the limits are kept: met, or the figures that miss one, with a question mark where it is open.

    More of them than there is room for are counted.
    """
    if not one.unmet:
        return "met"
    told: list[str] = []
    for constraint in choice.constraints:
        own = [device[constraint.quantity] for device in one.devices.values()]
        answers = [meets(quantity, constraint.sense, constraint.limit) for quantity in own]
        if False in answers:
            told.append(f"not {_short(constraint.quantity)}")
        elif None in answers:
            told.append(f"{_short(constraint.quantity)}?")
    listed = ", ".join(dict.fromkeys(told))
    if len(listed) <= _LIMITS_WIDTH:
        return listed
    missed = sum(text.startswith("not ") for text in told)
    counted = [f"misses {missed}" if missed else "", f"{len(told) - missed}?" if missed < len(told) else ""]
    return ", ".join(filter(None, counted))


def _short(name: str) -> str:
    return name.rpartition("_")[0] or name


def _penalty_text(penalty: Penalty) -> str:
    """One line of what choosing on one device costs on another."""
    head = f"Chosen on {penalty.chosen_on}, used on {penalty.used_on}: "
    if penalty.candidate is None:
        return f"{head}{penalty.reason}."
    misses = f"; there it misses {', '.join(penalty.broken)}" if penalty.broken else ""
    if penalty.share is None or penalty.interval is None:
        return f"{head}{penalty.candidate}: {penalty.reason}{misses}."
    if penalty.share == 0 and penalty.interval == (0.0, 0.0):
        return f"{head}{penalty.candidate} is as good as its own best{misses}."
    low, high = penalty.interval
    return (f"{head}{penalty.candidate}, {word(penalty.quantity)} {penalty.share:+.1%} ({low:+.1%} to {high:+.1%}) "
            f"worse than its own best{misses}.")  # fmt: skip


def _left_out(excluded: Iterable[Excluded]) -> None:
    """What was left out, by reason."""
    groups: dict[tuple[str, str | None], list[Excluded]] = {}
    for one in excluded:
        # What is behind the colon may be of this one measurement only, as a temperature.
        groups.setdefault((one.reason.partition(": ")[0], one.device), []).append(one)
    ordered = sorted(groups.items(), key=lambda item: (-sum(one.count for one in item[1]), item[0][0]))
    click.echo("Left out")
    for (head, device), some in ordered[:_LEFT_GROUPS]:
        count = sum(one.count for one in some)
        place = f" on {device}" if device else ""
        what = f"{count} measurement{'s' if count != 1 else ''}"
        _say(f"{what}{place}: {head}{_details(head, some)}.{_listed(some)}", "- ", "  ")
    if len(ordered) > _LEFT_GROUPS:
        _say(f"{len(ordered) - _LEFT_GROUPS} other reasons; --json lists all.", "- ", "  ")


def _details(head: str, some: Sequence[Excluded]) -> str:
    details = list(dict.fromkeys(one.reason.removeprefix(head) for one in some))
    return details[0] if len(details) == 1 else f"{details[0]} (and {len(details) - 1} other ways)"


def _listed(some: Sequence[Excluded]) -> str:
    names = [one.candidate for one in some if one.candidate != OLDER]
    more = f" and {len(names) - _NAMES} more (--json for all)" if len(names) > _NAMES else ""
    return f" {'; '.join(names[:_NAMES])}{more}." if names else ""


def _say(text: str, first: str = "", later: str = "") -> None:
    click.echo(click.wrap_text(text, _WIDTH, first, later))

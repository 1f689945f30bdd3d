"""What ``edgekit compare`` prints for people, in 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from edgekit.cli import output
from edgekit.compare.comparison import Comparison, Pair, Side, Single

_WORDS = {"faster": "faster", "slower": "slower", "no-difference": "not shown"}
_LISTED = 10
_Detail = Callable[[Side], str]
# What tells the candidates apart besides the model; what is the same for all goes into the title.
_DETAILS: tuple[_Detail, ...] = (
    lambda side: side.candidate.format,
    lambda side: side.candidate.precision,
    lambda side: f"{side.candidate.threads} thr.",
    lambda side: f"on {side.device}",
)
_CHANGES = (
    ("File", "size_bytes"), ("Memory", "peak_rss_bytes"), ("SRAM", "sram_bytes"), ("Flash", "flash_bytes"),
    ("Cold load", "load_cold_ms"), ("Warm load", "load_warm_ms"), ("p90", "p90_ms"),
)  # fmt: skip


def show(comparison: Comparison) -> None:
    """The tables, then what was left out."""
    pairs = comparison.comparable
    for letter, run in zip("AB", comparison.runs, strict=True):
        click.echo(f"{letter}: {run.kind} {run.name} ({run.id[:8]}) of {_minute(run.created)}")
    for note in comparison.notes:
        part = "" if note.pairs == len(pairs) else f" ({note.pairs} of {len(pairs)} pairs)"
        click.echo(f"Note: {note.text}{part}.")
    click.echo()
    details = [detail for detail in _DETAILS if len({detail(pair.b) for pair in pairs}) > 1]
    _times(pairs, details)
    _conclude(comparison)
    _changes(pairs, details)
    _accuracies(comparison.pairs)
    _left_out(comparison)


def _times(pairs: Sequence[Pair], details: Sequence[_Detail]) -> None:
    unit = " ms" if all(pair.quantity == "p50_ms" for pair in pairs) else ""
    heads = [("Model", "left"), (f"A{unit}", "right"),
             (f"B{unit}", "right"), ("B/A", "right"), ("95% interval", "left"), ("Difference", "left")]  # fmt: skip
    rows = []
    for pair in pairs:
        low, high = pair.ci95 or (0.0, 0.0)
        rows.append([
            _row_name(pair, details), _value(pair.a, pair), _value(pair.b, pair),
            _factor(pair.ratio), f"{_factor(low)}-{_factor(high)}", _word(pair),
        ])  # fmt: skip
    output.print_table(_title(pairs), heads, rows)


def _title(pairs: Sequence[Pair]) -> str:
    first = pairs[0].b
    devices = {(pair.b.device, pair.b.device_name) for pair in pairs}
    parts = [f"{len(pairs)} pair{'s' if len(pairs) != 1 else ''}"]
    parts += [f"on {first.device} ({first.device_name})"] if len(devices) == 1 else []
    for name, words in (("format", "{}"), ("precision", "{}"), ("threads", "threads: {}")):
        values = {getattr(side.candidate, name) for pair in pairs for side in (pair.a, pair.b)}
        parts += [words.format(*values)] if len(values) == 1 else []
    parts += [f"{pairs[0].rounds} interleaved rounds"] if {pair.method for pair in pairs} == {"paired"} else []
    return ", ".join(parts)


def _row_name(pair: Pair, details: Sequence[_Detail]) -> str:
    return " ".join([pair.b.candidate.model, *(detail(pair.b) for detail in details)])


def _value(side: Side, pair: Pair) -> str:
    """Milliseconds, or the millions that a microcontroller counted."""
    return output.milliseconds(side.p50_ms) if pair.quantity == "p50_ms" else f"{(side.counted or 0) / 1e6:.3f} M"


def _word(pair: Pair) -> str:
    """What B is; with a question mark where only the pair's own interval says so."""
    if not pair.reasons:
        return _WORDS[pair.verdict]
    return "slower?" if (pair.ratio or 0.0) > 1 else "faster?"


def _factor(ratio: float | None) -> str:
    """A ratio with four digits or so, whatever its size."""
    return "-" if ratio is None else f"{ratio:.3f}" if ratio < 10 else f"{ratio:.1f}"


def _conclude(comparison: Comparison) -> None:
    pairs = comparison.comparable
    counts = {word: sum(pair.verdict == verdict for pair in pairs) for verdict, word in _WORDS.items()}
    click.echo("B is slower in {slower}, faster in {faster}; no difference shown in {not shown}.".format(**counts))
    perhaps = sum(bool(pair.reasons) for pair in pairs)
    if perhaps:
        click.echo(f"? ({perhaps} of these): the pair's own interval says so, but of {len(pairs)} pairs some do by\n"
                   "  chance; more repeats decide.")  # fmt: skip
    mean = comparison.geometric_mean
    if mean is not None and mean.pairs > 1:
        what = {"p50_ms": "times"}.get(mean.quantity, mean.quantity)
        click.echo(f"Geometric mean of B/A over {mean.pairs} {what}: {_factor(mean.ratio)} "
                   f"({_factor(mean.ci95[0])}-{_factor(mean.ci95[1])}).")  # fmt: skip
    if any(pair.method == "intervals" for pair in pairs):
        click.echo("The runs were made one after the other: what all pairs share may be the\nmachine's doing.")


def _changes(pairs: Sequence[Pair], details: Sequence[_Detail]) -> None:
    """Sizes, memory and loading, as changes from A to B in shares of A."""
    known = [{change.quantity: change for change in pair.changes} for pair in pairs]
    columns = [(head, name) for head, name in _CHANGES if any(name in changes for changes in known)]
    heads = [("Model", "left"), *((head, "right") for head, _ in columns)]
    rows = [
        [_row_name(pair, details), *(_share(changes[name].ratio) if name in changes else "-" for _, name in columns)]
        for pair, changes in zip(pairs, known, strict=True)
    ]  # fmt: skip
    click.echo()
    output.print_table("Change from A to B; these figures have no interval", heads, rows)


def _share(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    if ratio == 1:
        return "="
    return f"x{ratio:.1f}" if ratio >= 2 else f"{ratio - 1:+.1%}".replace("-0.0%", "+0.0%")


def _accuracies(pairs: Sequence[Pair]) -> None:
    for pair in pairs:
        for change in pair.changes:
            if change.dataset is not None:
                doubt = f", 95% {change.interval[0]:+.4f} to {change.interval[1]:+.4f}" if change.interval else ""
                candidate = pair.b.candidate
                click.echo(f"{candidate.model} {candidate.format} {candidate.precision}, {change.quantity} on "
                           f"{change.dataset}:\n  {change.a:.4f} to {change.b:.4f} "
                           f"({change.b - change.a:+.4f}{doubt})")  # fmt: skip


def _left_out(comparison: Comparison) -> None:
    grouped: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        if pair.verdict == "not-comparable":
            grouped.setdefault("; ".join(pair.reasons), []).append(_name(pair.b))
    for reason, names in grouped.items():
        _list(f"Not compared: {reason}", names)
    for letter, singles in (("A", comparison.only_in_a), ("B", comparison.only_in_b)):
        if singles:
            _list(f"Only in {letter}", [_alone(single) for single in singles])


def _list(head: str, names: Sequence[str]) -> None:
    click.echo(f"{head} ({len(names)}):")
    for name in names[:_LISTED]:
        click.echo(f"  {name}")
    if len(names) > _LISTED:
        click.echo(f"  and {len(names) - _LISTED} more (--json has them all)")


def _alone(single: Single) -> str:
    return _name(single.side) + (f": in the other run {single.reason}" if single.reason else "")


def _name(side: Side) -> str:
    return f"{side.candidate.label}, on {side.device}"


def _minute(created: str) -> str:
    return f"{created[:16].replace('T', ' ')} UTC"


def document(comparison: Comparison) -> dict[str, Any]:
    """The JSON document's fields."""
    return output.plain(comparison, drop=("schema",))

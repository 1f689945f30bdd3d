"""``edgekit zoo``. Prints without rich, like ``devices``: a list has to answer at once."""

from __future__ import annotations

import difflib
import re
from typing import Any

import click
import msgspec

from edgekit.cli import options, output
from edgekit.errors import UsageError
from edgekit.model import zoo
from edgekit.model.zoo.entry import Entry
from edgekit.model.zoo.families import FAMILIES

_EPILOG = """\b
Examples:
  edgekit zoo
  edgekit zoo mobilevig_ti
  edgekit zoo --family mobilenetv4 --max-macs 1G
  edgekit zoo --search vit --max-params 6M --json
  edgekit zoo --unavailable"""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_REDISTRIBUTION = {True: "may be passed on", False: "may not be passed on", None: "check before passing on"}


@click.command(epilog=_EPILOG)
@click.argument("name", required=False)
@click.option("--family", metavar="FAMILY", help="Only this family.")
@click.option("--source", type=click.Choice(["timm", "torchvision", "edgekit"]), help="Only from this library.")
@click.option("--search", metavar="TEXT", help="Only models with TEXT in their name, family or task.")
@click.option("--max-params", metavar="COUNT", help="At most this many parameters, e.g. 5M.")
@click.option("--max-macs", metavar="COUNT", help="At most this many multiply-accumulates, e.g. 300M or 1.2G.")
@click.option("--unavailable", is_flag=True, help="The models that can't be built, with the reasons.")
@options.output_options
def command(
    name: str | None,
    family: str | None,
    source: str | None,
    search: str | None,
    max_params: str | None,
    max_macs: str | None,
    unavailable: bool,
    as_json: bool,
    quiet: bool,
    traceback: bool,
) -> int:
    """List the models that come with edgekit, or describe the one called NAME."""
    if name is not None:
        found = [zoo.find(name.removeprefix("zoo:").partition("?")[0])]
    else:
        bounds = (_count(max_params, "--max-params"), _count(max_macs, "--max-macs"))
        chosen = [entry for entry in zoo.entries() if (entry.unavailable is not None) == unavailable]
        found = [entry for entry in chosen if _matches(entry, _family(family), source, search, bounds)]
    if as_json:
        output.document({"models": [_fields(entry) for entry in found]})
    elif name is not None:
        _describe(found[0])
    elif unavailable:
        _reasons(found)
    else:
        _table(found, quiet)
    return 0


def _count(text: str | None, flag: str) -> int | None:
    """``5M``, ``1.2G`` or a plain number."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMG]?)", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise UsageError(f"{text!r} is not a count.", where=flag, next_step="For example 5M, 300M or 1.2G.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _family(key: str | None) -> str | None:
    if key is None or key in FAMILIES:
        return key
    near = difflib.get_close_matches(key.lower(), FAMILIES, n=5)
    step = f"The nearest are {', '.join(near)}." if near else "edgekit zoo shows them in its second column."
    raise UsageError(f"There is no family {key!r}.", where="--family", next_step=step, nearest=near)


def _matches(
    entry: Entry, family: str | None, source: str | None, search: str | None, bounds: tuple[int | None, int | None]
) -> bool:
    words = f"{entry.name} {entry.family} {FAMILIES[entry.family].title} {entry.task}".lower()
    return (
        (family is None or entry.family == family)
        and (source is None or entry.source == source)
        and (search is None or search.lower() in words)
        and all(
            bound is None or (count is not None and count <= bound)
            for bound, count in zip(bounds, (entry.params, entry.macs), strict=True)
        )
    )


def _fields(entry: Entry) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(entry)
    return {**fields, "redistributable": entry.redistributable, "described_in": FAMILIES[entry.family].described_in}


def _table(found: list[Entry], quiet: bool) -> None:
    rows = [("NAME", "FAMILY", "INPUT", "PARAMS", "MACS", "TOP-1")]
    rows += [(e.name, e.family, _side(e), _short(e.params), _short(e.macs), output.number(e.top1, 1)) for e in found]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        click.echo(" ".join(left + right))
    if not quiet:
        families = len({entry.family for entry in found})
        out = sum(entry.unavailable is not None for entry in zoo.entries())
        click.echo(f"{len(found)} models in {families} families. {out} more can't be built: --unavailable.", err=True)


def _side(entry: Entry) -> str:
    assert entry.input_size is not None
    _, height, width = entry.input_size
    return str(height) if height == width else f"{height}x{width}"


def _short(count: int | None) -> str:
    """A count with three significant digits and its unit; a dash where it is not known."""
    if count is None:
        return "-"
    value, unit = next((count / size, unit) for unit, size in reversed(_UNITS.items()) if count >= size or size == 1)
    digits = 0 if value >= 100 or not unit else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{unit}"


def _reasons(found: list[Entry]) -> None:
    for entry in found:
        click.echo(f"{entry.name} ({FAMILIES[entry.family].title}, {entry.licence})")
        click.echo(click.wrap_text(entry.unavailable or "", 80, "  ", "  "))


def _describe(entry: Entry) -> None:
    family = FAMILIES[entry.family]
    lines = [
        ("family", f"{family.title} ({entry.family}), described in {family.described_in}"),
        ("licence", f"{entry.licence}: {_REDISTRIBUTION[entry.redistributable]}"),
    ]
    if entry.unavailable is not None:
        lines.append(("can't be built", entry.unavailable))
    else:
        lines += _facts(entry)
    click.echo(entry.name)
    for key, text in lines:
        click.echo(click.wrap_text(text, 80, f"  {key + ':':<15}", " " * 17))


def _facts(entry: Entry) -> list[tuple[str, str]]:
    assert entry.input_size is not None
    made_by = entry.builder if entry.source == "edgekit" else f"{entry.source}'s {entry.builder}"
    facts = [
        ("task", entry.task),
        ("made by", made_by),
        ("input", "1 x " + " x ".join(str(size) for size in entry.input_size) + " float32"),
    ]
    p = entry.preprocess
    if p is not None:
        numbers = f"mean {list(p.mean)}, std {list(p.std)}"
        facts.append(("preprocessing", f"{p.interpolation}, centre crop {p.crop_fraction:g}, {numbers} ({p.source})"))
    facts += [("parameters", f"{entry.params:,}"), ("MACs", f"{entry.macs:,}")]
    if entry.counts_note:
        facts.append(("counts", entry.counts_note))
    accuracy = f"{entry.top1:g} % ImageNet top-1, published in {entry.top1_source}" if entry.top1 else "not known"
    facts.append(("accuracy", accuracy))
    if entry.options:
        facts.append(("options", ", ".join(entry.options)))
    facts.append(("use", f"edgekit deploy --device host zoo:{entry.name}"))
    return facts

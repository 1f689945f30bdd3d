"""What every command prints with: one JSON document on stdout, tables for people, everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from rich.console import Console

JSON_SCHEMA = 1
# Columns of free text, which may be folded, with the least width in which they can still be read.
FOLDING = {"Model": 8, "On": 10, "Verdict": 8, "Operator": 10, "File": 10, "Type of operator": 10}


def document(fields: Mapping[str, Any]) -> None:
    """Print the command's JSON document. What UTF-8 can't hold, as in names of files, is escaped."""
    content = {"schema": JSON_SCHEMA, **fields}
    try:
        body = msgspec.json.encode(content)
    except UnicodeEncodeError:
        body = msgspec.json.encode(_escaped(msgspec.to_builtins(content)))
    sys.stdout.write(msgspec.json.format(body, indent=2).decode() + "\n")
    sys.stdout.flush()


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(inner) for key, inner in value.items()}
    return [_escaped(inner) for inner in value] if isinstance(value, list | tuple) else value


def plain(record: msgspec.Struct, drop: Sequence[str] = ()) -> dict[str, Any]:
    """A record as a JSON-ready dict, without some fields."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return {key: value for key, value in fields.items() if key not in drop}


def console(stderr: bool = False) -> Console:
    """A rich console on stdout or stderr."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_table(title: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> Console:
    """Print a title and a compact table; each column is (heading, "left" or "right"). Answers the console used."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for heading, side in columns:
        # Only free text may be folded; a figure or an id that is cut in two can't be read.
        justify: Literal["left", "right"] = "right" if side == "right" else "left"
        made.add_column(heading, justify=justify, overflow="fold", no_wrap=heading not in FOLDING,
                        min_width=FOLDING.get(heading))  # fmt: skip
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    target = console()
    target.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    target.print(made)
    return target


def error_text(error: EdgekitError) -> str:
    """The failure in words: what, where, what next."""
    lines = [f"edgekit: {error.message}"]
    if error.where:
        lines.append(f"  where: {error.where}")
    if error.next_step:
        lines.append(f"  next:  {error.next_step}")
    return "\n".join(lines)


def report(error: EdgekitError, traceback: bool = False) -> None:
    """Print a failure on stderr."""
    text = error.facts.get("traceback") if traceback else None
    if text:
        sys.stderr.write(str(text).rstrip() + "\n")
    sys.stderr.write(error_text(error) + "\n")


def fail(error: EdgekitError, *, as_json: bool, code: int | None = None, traceback: bool = False) -> int:
    """Print a failure (and, with --json, the failure document) and answer the exit code."""
    if as_json:
        document({"error": public(error, code)})
    report(error, traceback)
    return error.code if code is None else code


def public(error: EdgekitError, code: int | None = None) -> dict[str, Any]:
    """The ``error`` object of the JSON document, without tracebacks."""
    fields = {key: value for key, value in error.to_dict().items() if key not in ("traceback", "log_tail")}
    return fields if code is None else {**fields, "code": code, "kind": "interrupted"}


def size(count: int | None) -> str:
    """Bytes for people."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def milliseconds(value: float | None) -> str:
    """Milliseconds with three significant digits; a dash where they were not measured."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def interval(bounds: Sequence[float] | None) -> str:
    """The two ends of an interval in milliseconds."""
    return "-" if bounds is None else f"{milliseconds(bounds[0])}-{milliseconds(bounds[1])}"


def half_width(bounds: Sequence[float] | None, middle: float | None) -> str:
    """Half the width of an interval, as a share of its middle value."""
    if bounds is None or not middle:
        return "-"
    return f"{(bounds[1] - bounds[0]) / 2 / middle:.1%}"


def number(value: float | None, digits: int = 2) -> str:
    """A figure for people; a dash where it was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"

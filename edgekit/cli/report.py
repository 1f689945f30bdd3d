"""``edgekit report``."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from edgekit.cli import options, output
from edgekit.cli.choose import ORDER, Ordered, choose_request, question_options, row_options
from edgekit.errors import UsageError

_EPILOG = """\b
Examples:
  edgekit report
  edgekit report --sweep nightly -o nightly.html
  edgekit report -d host --since 7d --max-latency 10ms --maximize top1

\b
With a limit or something to maximize or minimize, the page also has the
choice that edgekit choose makes by the same options, with its reasons. The
page is one file that loads nothing from anywhere."""

# What only a choice needs: option -> what it is when it is not given.
_ONLY_FOR_CHOICE: dict[str, tuple[str, Any]] = {
    "latency": ("--latency", "p50"), "metric": ("--metric", "top1"), "accuracy": ("--accuracy", ()),
    "dataset": ("--dataset", None), "model_stands_in": ("--model-stands-in", False), "across": ("--across", "worst"),
    "weights": ("--weight", ()), "strict": ("--strict", False), "emulated": ("--emulated", False),
}  # fmt: skip


@click.command(cls=Ordered, epilog=_EPILOG)
@click.option("--output", "-o", "target", default="report.html", show_default=True, metavar="FILE",
              type=click.Path(path_type=Path), help="The HTML file; one that is there is replaced.")  # fmt: skip
@click.option("--limit", "-n", default=200, show_default=True, type=click.IntRange(1, 1000),
              help="At most this many candidates, the newest.")  # fmt: skip
@question_options
@row_options
@options.output_options
def command(target: Path, limit: int, as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Write one HTML page of the newest measurement of each candidate: latency, parity, accuracy, and the choice.

    By default it is about every stored candidate; --sweep, --device, --model and --since take some of them.
    """
    from edgekit.choose.ask import answer
    from edgekit.report.collect import Asked, collect
    from edgekit.report.page import need, report_page
    from edgekit.report.write import check_target, write
    from edgekit.store.store import Store

    check_target(target)
    for package in ("plotly", "jinja2"):
        need(package)
    request = choose_request(given, click.get_current_context().meta[ORDER])
    asks = bool(request.constraints or request.objectives)
    if not asks:
        _refuse_choice_options(given)
    asked = Asked(sweep=request.sweep, devices=request.devices, model=request.model, since=request.since, limit=limit)
    with Store.open() as store:
        choice = answer(request, store) if asks else None
        data = collect(store, asked, datetime.now(timezone.utc).isoformat(timespec="seconds"), choice)
    size = write(target, report_page(data))
    if as_json:
        output.document({"report": {
            "path": str(target), "bytes": size, "candidates": len(data.candidates), "omitted": data.omitted,
            "cells": len(data.cells), "choice": choice.status if choice else None,
        }})  # fmt: skip
    elif not quiet:
        count = len(data.candidates)
        more = f", {data.omitted} more left out (--limit)" if data.omitted else ""
        said = f"; the choice: {choice.status}" if choice else ""
        click.echo(f"{target}: {count} candidate{'s' if count != 1 else ''}{more}{said}; {output.size(size)}.")
    return 0


def _refuse_choice_options(given: dict[str, Any]) -> None:
    """An option without an effect would look as if it had one."""
    named = [flag for name, (flag, unset) in _ONLY_FOR_CHOICE.items() if given[name] != unset]
    if named:
        raise UsageError(
            f"There is nothing to choose by, which is what {' and '.join(named)} would be for.", where="edgekit report",
            next_step="Add a limit such as --max-latency 10ms, or --maximize top1, or leave them out.",
        )  # fmt: skip

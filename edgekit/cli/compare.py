"""``edgekit compare``."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import options, output

if TYPE_CHECKING:
    from edgekit.compare.comparison import Comparison
    from edgekit.store.store import Store

_EPILOG = """\b
Examples:
  edgekit compare nightly-monday nightly-tuesday
  edgekit compare 3f9a 81c2 --json
  edgekit compare base new --store-b sqlite:///other.sqlite --html page.html

\b
A name means the newest sweep of that name; earlier ones go by their ids.
Exit code: 0 whatever the result is; 2 if nothing can be compared. To fail
a build on a slowdown use edgekit check --budget."""


@click.command(epilog=_EPILOG)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--store-b", metavar="URL", help="Read B from another store, for example sqlite:///other.sqlite.")
@click.option("--emulated", is_flag=True, help="Compare an emulator's times too, which are not a device's.")
@click.option("--html", "html", metavar="FILE", type=click.Path(dir_okay=False), help="Also write one HTML page.")
@options.output_options
def command(a: str, b: str, as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Compare run B with run A, the baseline: what became faster or slower, as far as the measurements can say.

    A run is a sweep (name or id) or one measurement (the beginning of its id).
    """
    from edgekit.cli.compare_text import document, show
    from edgekit.compare.runs import compare_stored
    from edgekit.store.store import Store

    page = Path(given["html"]) if given["html"] else None
    if page is not None:
        _check_page(page)
    with ExitStack() as stack:
        store = stack.enter_context(Store.open())
        other = stack.enter_context(Store.open(given["store_b"], create=False)) if given["store_b"] else store
        comparison = compare_stored(store, a, b, store_b=other, emulated=given["emulated"])
        if page is not None:
            _write_page(page, comparison, store, other)
    if as_json:
        output.document(document(comparison))
    else:
        show(comparison)
    if page is not None and not quiet:
        click.echo(f"The page is {page}.", err=as_json)
    return 0


def _check_page(path: Path) -> None:
    """Before the work: whether the page can be made and written."""
    from edgekit.report.page import need
    from edgekit.report.write import check_target

    check_target(path, "--html")
    for package in ("plotly", "jinja2"):
        need(package)


def _write_page(path: Path, comparison: Comparison, store_a: Store, store_b: Store) -> None:
    from edgekit.report.compare import collect_comparison, compare_page
    from edgekit.report.write import write

    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    write(path, compare_page(collect_comparison(comparison, store_a, store_b, now)))

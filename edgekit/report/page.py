"""From :class:`edgekit.report.data.ReportData` to one HTML page that needs nothing else.

The page allows itself no request at all (Content-Security-Policy), and only those scripts whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec

from edgekit.errors import MissingExtraError
from edgekit.report import sections, text
from edgekit.report.data import ReportData
from edgekit.report.figures import Plot
from edgekit.report.layout import Page
from edgekit.report.tables import Table


def report_page(data: ReportData) -> str:
    """The page of a report.

    Raises:
        MissingExtraError: plotly or Jinja2 is not installed.
    """
    return render(sections.page(data))


def render(page: Page) -> str:
    """The page as HTML; the same page gives the same bytes."""
    jinja2 = need("jinja2")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = breakable
    plots = {plot.id: _plot_data(plot) for section in page.sections for plot in section.plots}
    scripts = [plotly_source(), asset("report.js")]
    template = environment.from_string(asset("page.html.j2"))
    made: str = template.render(
        page=page, policy=policy(scripts), style=asset("report.css"), scripts=scripts, data=script_json(plots),
        dash=text.DASH,
    )  # fmt: skip
    return made.lstrip()


def breakable(words: str) -> Any:
    """A name that may be broken after its underscores, as HTML."""
    markup = need("markupsafe")
    return markup.Markup("_<wbr>").join(markup.escape(part) for part in words.split("_"))


def need(package: str) -> Any:
    """A package of the extra ``report``.

    Raises:
        MissingExtraError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"A report needs the Python package {package}, which is not installed.",
            where="report", next_step='Run: pip install "edgekit[report]"', package=package, extra="report",
        ) from error  # fmt: skip


def plotly_source() -> str:
    """plotly.js, as the Python package brings it."""
    need("plotly")
    return _script((resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"))


def _script(source: str) -> str:
    """As a browser reads it, so that its hash is right; a script that ends its own element is refused."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    if "</script" in source.lower() or "<!--" in source:
        raise ValueError("this script can't stand in a page")
    return source


def asset(name: str) -> str:
    """A file of this package."""
    return (resources.files("edgekit.report") / "assets" / name).read_text(encoding="utf-8")


def policy(scripts: Sequence[str]) -> str:
    """What the page may do: run these scripts and show images that it makes itself (a saved plot); no request."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def script_json(value: object) -> str:
    """JSON that stands in a script element, whatever its texts are: no ``<``, no line ends that scripts know."""
    made = msgspec.json.encode(value, order="deterministic").decode()
    for character in "<>&\u2028\u2029":
        made = made.replace(character, f"\\u{ord(character):04x}")
    return made


def _plot_data(plot: Plot) -> dict[str, Any]:
    return {"title": plot.title, "variants": [
        {"name": variant.name, "figure": variant.figure,
         "steps": [[step.curve, step.point, step.text] for step in variant.steps],
         "table": _table_data(variant.table) if variant.table and len(plot.variants) > 1 else None}
        for variant in plot.variants]}  # fmt: skip


def _table_data(table: Table) -> dict[str, Any]:
    return {"columns": [list(column) for column in table.columns],
            "rows": [[cell.text for cell in row] for row in table.rows]}  # fmt: skip

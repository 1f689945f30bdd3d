"""What a page consists of, before it is HTML."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.report.figures import Plot
from edgekit.report.tables import Table


@dataclass(frozen=True)
class Section:
    """One part of the page: paragraphs, facts as (name, value), then plots, then tables.

    ``short`` is its name in the list at the top. ``folded`` tables are closed until they are opened; ``unknown`` says
    what is not known, and how to find out.
    """

    id: str
    short: str
    title: str
    words: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[tuple[str, Table], ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """The whole page. ``tiles`` are (figure, word), ``lead`` what has to be read first."""

    title: str
    subtitle: str
    version: str
    lead: str = ""
    lead_mark: str = ""
    tiles: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = field(default=())

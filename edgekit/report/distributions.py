"""Plots of single runs: boxes per repeat, and the runs of one candidate as a distribution and in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.report import text
from edgekit.report.data import Candidate, ReportData, RunShape
from edgekit.report.figures import (
    MOST_ROWS,
    Json,
    Step,
    Variant,
    axis,
    colour,
    cost_title,
    escaped,
    frame,
    lines,
    rows_layout,
    scaled_axis,
    shortened,
)
from edgekit.report.tables import Side, Table, figure, table

# Repeats differ by colour and by dash.
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
# Of the 101 quantiles that are drawn, the arrow keys and the table take every tenth.
EVERY = 10


def shown_in_boxes(data: ReportData, group: int) -> list[Candidate]:
    """The candidates of a group that have runs."""
    return [c for c in data.candidates if c.group == group and c.runs]


def boxes(data: ReportData, group: int) -> Variant | None:
    """One row per candidate, one box per repeat: quartiles, whiskers from 5% to 95% of the runs."""
    shown = shown_in_boxes(data, group)[:MOST_ROWS]
    if not shown:
        return None
    traces: list[Json] = []
    steps: list[Step] = []
    for row, c in enumerate(shown):
        places = _places(row, len(c.runs))
        traces.append(_box(c, places))
        steps += [Step(len(traces), place, f"{c.label}, repeat {place + 1}: {'; '.join(_said(r, c))}")
                  for place, r in enumerate(c.runs)]  # fmt: skip
        traces.append(_medians(c, places))
    names = [shortened(c.label + _mark(c)) for c in shown]
    ends = [value for c in shown for r in c.runs for value in (r.p5, r.p95)]
    title = cost_title(shown, "Latency of single runs")
    layout = rows_layout(names, scaled_axis(title, ends, rangemode="tozero"))
    return Variant(text.device(data.groups[group]), {"data": traces, "layout": layout}, tuple(steps))


def _places(row: int, count: int) -> list[float]:
    """Where the boxes of a row lie: below its name."""
    step = min(0.17, 0.5 / max(1, count))
    return [-row + 0.12 - step * place for place in range(count)]


def _mark(c: Candidate) -> str:
    said: list[str] = [] if c.measurement.verdict == "ok" else [c.measurement.verdict]
    said += ["emulated"] if c.measurement.emulated else []
    return f" ({', '.join(said)})" if said else ""


def _said(r: RunShape, c: Candidate) -> list[str]:
    unit = c.unit
    return [
        f"median {text.amount(r.p50, unit)}",
        f"half of the runs {text.span(r.p25, r.p75, unit)}",
        f"5% to 95% {text.span(r.p5, r.p95, unit)}",
        f"p99 {text.amount(r.p99, unit)}, longest {text.amount(r.high, unit)}",
        f"{r.runs:,} runs; verdict {text.verdict(c.measurement)}",
    ]


def _box(c: Candidate, places: Sequence[float]) -> Json:
    token = colour(c.measurement.format)
    return {
        "type": "box", "orientation": "h", "y": list(places), "q1": [r.p25 for r in c.runs],
        "median": [r.p50 for r in c.runs], "q3": [r.p75 for r in c.runs], "lowerfence": [r.p5 for r in c.runs],
        "upperfence": [r.p95 for r in c.runs], "width": 0.12, "hoverinfo": "skip", "name": escaped(c.label),
        "line": {"color": token, "width": 1.5}, "fillcolor": f"{token}-soft", "whiskerwidth": 0.6,
    }  # fmt: skip


def _medians(c: Candidate, places: Sequence[float]) -> Json:
    texts = [lines([shortened(c.label), f"repeat {place}", *_said(r, c)]) for place, r in enumerate(c.runs, 1)]
    return {
        "type": "scatter", "mode": "markers", "x": [r.p50 for r in c.runs], "y": list(places), "hovertext": texts,
        "hoverinfo": "text", "name": escaped(c.label),
        "marker": {"symbol": "diamond", "size": 7, "color": colour(c.measurement.format)},
    }  # fmt: skip


def ecdf(c: Candidate) -> Variant:
    """The share of runs that took at most so long, one line per repeat."""
    traces, steps = [], []
    for number, r in enumerate(c.runs, 1):
        steps += ecdf_steps(number - 1, f"repeat {number}", r, c.unit)
        traces.append(ecdf_line(f"repeat {number}", r, c.unit, color=repeat_colour(number), dash=repeat_dash(number)))
    layout = frame(
        340,
        xaxis=scaled_axis(cost_title([c], "Latency"), [value for r in c.runs for value in (r.low, r.high)]),
        yaxis=axis("Runs that took at most so long, %", range=[0, 101]),
    )
    return Variant(c.label + _mark(c), {"data": traces, "layout": layout}, tuple(steps), _ecdf_table(c))


def ecdf_line(name: str, r: RunShape, unit: str, **look: Any) -> Json:
    """The distribution of one repeat; its hover text is ``name`` with the values, which must not be anyone's text."""
    said = f"{name}: %{{y:.0f}}% of runs took at most %{{x:,.4r}} {unit}"
    return {
        "type": "scatter", "mode": "lines", "x": list(r.ecdf), "y0": 0, "dy": 100 / (len(r.ecdf) - 1),
        "hovertemplate": f"{said}<extra></extra>", "line": {"shape": "hv", "width": 2, **look},
    }  # fmt: skip


def ecdf_steps(curve: int, name: str, r: RunShape, unit: str) -> list[Step]:
    """Every tenth of the runs."""
    last = len(r.ecdf) - 1
    return [Step(curve, place, f"{name}: {100 * place / last:.0f}% of runs took at most "
                 f"{text.amount(r.ecdf[place], unit)}") for place in range(0, last + 1, EVERY)]  # fmt: skip


def in_order(c: Candidate) -> Variant:
    """Every run in its order, one line per repeat: what drifts, slows down or jumps is seen here."""
    traces: list[Json] = []
    steps: list[Step] = []
    for number, r in enumerate(c.runs, 1):
        every = max(1, len(r.series) // EVERY)
        for place in range(0, len(r.series), every):
            run, value = r.series[place]
            steps.append(Step(number - 1, place, f"repeat {number}, run {run:,}: {text.amount(value, c.unit)}"))
        traces.append({
            "type": "scatter", "mode": "lines", "x": [run for run, _ in r.series], "y": [v for _, v in r.series],
            "hovertemplate": f"repeat {number}, run %{{x:,}}: %{{y:,.4r}} {c.unit}<extra></extra>",
            "line": {"width": 1.2, "color": repeat_colour(number), "dash": repeat_dash(number)},
        })  # fmt: skip
    layout = frame(
        340,
        xaxis=axis("Number of the timed run", type="linear"),
        yaxis=scaled_axis(cost_title([c], "Latency"), [value for r in c.runs for value in (r.low, r.high)]),
    )
    return Variant(c.label + _mark(c), {"data": traces, "layout": layout}, tuple(steps), _order_table(c))


def repeat_colour(number: int) -> str:
    """The colour of a repeat's line."""
    return f"$c{(number - 1) % 3}"


def repeat_dash(number: int) -> str:
    """The dash of a repeat's line."""
    return _DASHES[(number - 1) % len(_DASHES)]


def _ecdf_table(c: Candidate) -> Table:
    count = len(c.runs[0].ecdf)
    rows = [
        [figure(place, f"{100 * place / (count - 1):.0f}%"),
         *(figure(r.ecdf[place], text.amount(r.ecdf[place], c.unit)) for r in c.runs)]
        for place in range(0, count, EVERY)
    ]  # fmt: skip
    heads: list[tuple[str, Side]] = [
        ("Share of runs", "right"),
        *((f"Repeat {n}", "right") for n in range(1, len(c.runs) + 1)),
    ]
    return table("ecdf", c.label, heads, rows)


def _order_table(c: Candidate) -> Table:
    rows = []
    for number, r in enumerate(c.runs, 1):
        for run, value in r.series[:: max(1, len(r.series) // EVERY)]:
            rows.append([figure(number, str(number)), figure(run, f"{run:,}"),
                         figure(value, text.amount(value, c.unit))])  # fmt: skip
    return table("order", c.label, [("Repeat", "right"), ("Run", "right"), ("Took", "right")], rows)

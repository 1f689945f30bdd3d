"""The plots of a page as plain data for plotly.js; pure functions.

A colour is the name of a token (``$ink``, ``$c0``, …) that the page replaces by the colour of the light or the dark
scheme. Every text is escaped here, because plotly.js reads a few HTML tags in texts.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.report import text
from edgekit.report.data import Candidate, Rank, ReportData
from edgekit.report.front import worth
from edgekit.report.tables import Table

Json = dict[str, Any]

FORMATS = ("executorch", "litert", "onnx", "coreml", "mcu")
COLOURS = 6
SYMBOLS: dict[Rank, str] = {
    "chosen": "star", "tie": "triangle-up", "undecided": "square", "front": "diamond", "dominated": "circle",
    "unplaced": "cross", "unusable": "x",
}  # fmt: skip
# On a time axis that spans more than this, equal ratios get equal lengths.
LOG_SPAN = 12.0
MOST_ROWS = 40
LABEL_LENGTH = 46
# A row of a plot with names: the name's line above, what it shows below.
ROW_PX = 52
# In a lower plot plotly.js leaves out the hover label, because it does not fit.
LEAST_ROWS = 3
# Points of the plot that get their name written beside them, if there is room.
MOST_NAMES = 14


@dataclass(frozen=True)
class Step:
    """One stop of the arrow keys: the point of a trace, and what is said there."""

    curve: int
    point: int
    text: str


@dataclass(frozen=True)
class Variant:
    """One figure of a plot that can show several, by the name in its list."""

    name: str
    figure: Json
    steps: tuple[Step, ...]
    table: Table | None = None


@dataclass(frozen=True)
class Plot:
    """A plot with its words. ``key`` explains the marks: (symbol, colour token, hollow, words).

    ``picks`` says what its variants are; ``warning`` is what must not be overlooked.
    """

    id: str
    title: str
    caption: str
    variants: tuple[Variant, ...]
    picks: str = ""
    key: tuple[tuple[str, str, bool, str], ...] = ()
    table: Table | None = None
    notes: tuple[str, ...] = ()
    warning: str = ""


def colour(format_name: str) -> str:
    """The token of a file format; formats of other people's backends share the last one."""
    return f"$c{FORMATS.index(format_name) if format_name in FORMATS else COLOURS - 1}"


def escaped(words: str) -> str:
    """A text that plotly.js shows as it is."""
    return html.escape(words, quote=False)


def lines(words: Sequence[str]) -> str:
    """Several lines of text for plotly.js, each escaped."""
    return "<br>".join(escaped(line) for line in words)


def shortened(words: str, length: int = LABEL_LENGTH) -> str:
    """Cut in the middle, where names differ least."""
    if len(words) <= length:
        return words
    tail = length * 2 // 5
    return f"{words[: length - tail - 1]}…{words[-tail:]}"


def spans(values: Sequence[float]) -> bool:
    """Whether the values need a logarithmic axis."""
    known = [value for value in values if value > 0]
    return bool(known) and len(known) == len(values) and max(known) / min(known) > LOG_SPAN


def log_axis(title: str, values: Sequence[float], **more: Any) -> Json:
    """A logarithmic axis with plain numbers as its ticks; plotly.js would write the 20 between 10 and 100 as 2."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    decades = last - first
    steps = (1, 2, 5) if decades <= 3 else (1,)
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    return axis(title, type="log", tickvals=ticks, ticktext=[f"{tick:,.10g}" for tick in ticks], **more)


def scaled_axis(title: str, values: Sequence[float], **more: Any) -> Json:
    """Logarithmic if the values span much, else linear; ``more`` is for the linear one."""
    return log_axis(title, values) if spans(values) else axis(title, type="linear", **more)


def axis(title: str, **more: Any) -> Json:
    """An axis in the page's colours."""
    return {
        "title": {"text": escaped(title), "font": {"size": 13}, "standoff": 8},
        "gridcolor": "$grid", "linecolor": "$axis", "zerolinecolor": "$grid", "tickcolor": "$axis",
        "automargin": True, "fixedrange": False, **more,
    }  # fmt: skip


def frame(height: int, **more: Any) -> Json:
    """A layout without decoration; its texts are in the page around it."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "paper_bgcolor": "$surface", "plot_bgcolor": "$surface", "showlegend": False, "hovermode": "closest",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "$ink"},
        "hoverlabel": {"bgcolor": "$raised", "bordercolor": "$axis", "font": {"color": "$ink", "size": 13},
                       "align": "left", "namelength": 0},
        **more,
    }  # fmt: skip


def facts(c: Candidate, metric: str | None) -> list[str]:
    """All figures of a candidate, in lines short enough for a phone."""
    m = c.measurement
    said = [f"{text.amount(c.cost.value if c.cost else None, c.unit)}" + (" median" if c.unit == "ms" else "")]
    if c.cost is not None and c.cost.low != c.cost.high:
        said[0] += f", 95% {text.interval(c.cost, c.unit)}"
    if m.p99_ms is not None:
        said.append(f"p90 {text.amount(m.p90_ms, 'ms')}, p99 {text.amount(m.p99_ms, 'ms')}")
    if c.accuracy is not None:
        q = c.accuracy
        ends = text.between(text.accuracy(q.low, metric), text.accuracy(q.high, metric)) if q.low != q.high else ""
        said.append(f"{metric} {text.accuracy(q.value, metric)}" + (f", 95% {ends}" if ends else ""))
        said.append(f"accuracy is {q.source}")
    memory = m.peak_rss_bytes if m.peak_rss_bytes is not None else m.sram_bytes
    said.append(f"file {text.size(c.artifact.bytes)}, memory {text.size(memory)}")
    said.append(f"{m.samples:,} runs; verdict {m.verdict}")
    said += [text.EMULATED] if m.emulated else []
    return [*said, text.RANKS[c.rank].partition(":")[0]]


def drawn(data: ReportData, group: int) -> list[Candidate]:
    """The candidates of a group that have a place in the plot."""
    return [c for c in data.candidates if c.group == group and c.rank != "unusable"
            and c.cost is not None and worth(c, data.metric) is not None]  # fmt: skip


def cost_title(shown: Sequence[Candidate], time: str = "Median latency") -> str:
    """What the axis of time, or of counted events, shows; short enough for a phone."""
    unit = shown[0].unit if shown else "ms"
    title = f"{time}, ms" if unit == "ms" else f"{unit.capitalize()} per inference"
    return f"{title}, emulated" if any(c.measurement.emulated for c in shown) else title


def pareto(data: ReportData, group: int) -> Variant | None:
    """Cost against accuracy (or size), with 95% intervals and the front; None without a candidate to draw."""
    shown = drawn(data, group)
    if not shown:
        return None
    traces = [_front_line(shown, data.metric)]
    steps: list[Step] = []
    for name in in_order(c.measurement.format for c in shown):
        mine = sorted((c for c in shown if c.measurement.format == name), key=_cost)
        steps += [Step(len(traces), place, "; ".join([c.label, *facts(c, data.metric)])) for place, c in
                  enumerate(mine)]  # fmt: skip
        traces.append(_points(mine, data.metric, colour(name)))
    layout = frame(440, xaxis=_cost_axis(shown), yaxis=_worth_axis(shown, data.metric),
                   meta={"names": _names(shown, data.metric)})  # fmt: skip
    order = {id(c): place for place, c in enumerate(sorted(shown, key=_cost))}
    by_cost = sorted(steps, key=lambda s: order[id(_of(s, shown))])
    return Variant(text.device(data.groups[group]), {"data": traces, "layout": layout}, tuple(by_cost))


def _of(step: Step, shown: Sequence[Candidate]) -> Candidate:
    formats = in_order(c.measurement.format for c in shown)
    name = formats[step.curve - 1]
    return sorted((c for c in shown if c.measurement.format == name), key=_cost)[step.point]


def _cost(c: Candidate) -> tuple[float, str]:
    return (c.cost.value if c.cost else 0.0, c.label)


def _y(c: Candidate, metric: str | None) -> float:
    quantity = worth(c, metric)
    assert quantity is not None
    return quantity.value * 100 if text.is_share(metric) else quantity.value / 1e6 if metric is None else quantity.value


def _cost_axis(shown: Sequence[Candidate]) -> Json:
    return scaled_axis(cost_title(shown), [c.cost.value for c in shown if c.cost], exponentformat="SI")


def _worth_axis(shown: Sequence[Candidate], metric: str | None) -> Json:
    if metric is None:
        return scaled_axis("File size, MB", [_y(c, None) for c in shown])
    return axis(f"{metric}, %" if text.is_share(metric) else metric, type="linear")


def _front_line(shown: Sequence[Candidate], metric: str | None) -> Json:
    """Steps through the best of the front: what is behind them costs more and is worth less."""
    best: list[Candidate] = []
    sign = 1 if metric is not None else -1
    for c in sorted((c for c in shown if c.rank in ("chosen", "tie", "undecided", "front")), key=_cost):
        if not best or sign * _y(c, metric) > sign * _y(best[-1], metric):
            best.append(c)
    return {
        "type": "scatter", "mode": "lines", "hoverinfo": "skip", "line": {"shape": "hv", "dash": "dot", "width": 2,
        "color": "$front"}, "x": [_cost(c)[0] for c in best], "y": [_y(c, metric) for c in best], "name": "front",
    }  # fmt: skip


def _points(mine: Sequence[Candidate], metric: str | None, token: str) -> Json:
    size = [18 if c.rank == "chosen" else 12 for c in mine]
    symbols = [SYMBOLS[c.rank] + ("" if c.measurement.verdict == "ok" else "-open") for c in mine]
    worths = [worth(c, metric) for c in mine]
    scale = 100 if text.is_share(metric) else 1
    trace: Json = {
        "type": "scatter", "mode": "markers", "name": escaped(mine[0].measurement.format),
        "x": [_cost(c)[0] for c in mine], "y": [_y(c, metric) for c in mine],
        "hovertext": [lines([shortened(c.label), *facts(c, metric)]) for c in mine], "hoverinfo": "text",
        "marker": {"symbol": symbols, "size": size, "opacity": 1, "color": token, "line": {"width": 2, "color": token}},
        "error_x": _bars([c.cost for c in mine], 1, token),
    }  # fmt: skip
    if any(q is not None and q.low != q.high for q in worths):
        trace["error_y"] = _bars(worths, scale, token)
    return trace


def _bars(quantities: Sequence[Any], scale: float, token: str) -> Json:
    return {
        "type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": token,
        "array": [max(0.0, (q.high - q.value) * scale) if q else 0 for q in quantities],
        "arrayminus": [max(0.0, (q.value - q.low) * scale) if q else 0 for q in quantities],
    }  # fmt: skip


def _names(shown: Sequence[Candidate], metric: str | None) -> list[Json]:
    """Names of the best points, the most important first; the page puts them where there is room."""
    order = {"chosen": 0, "tie": 1, "undecided": 2, "front": 3}
    named = sorted((c for c in shown if c.rank in order), key=lambda c: (order[c.rank], _cost(c)))[:MOST_NAMES]
    return [{"x": _cost(c)[0], "y": _y(c, metric), "text": escaped(shortened(c.label, 32))} for c in named]


def rows_layout(names: Sequence[str], along: Json) -> Json:
    """A layout of one row per name over the axis ``along``, the first at the top; a name stands above its row."""
    notes = [
        {"xref": "paper", "x": 0, "xanchor": "left", "yref": "y", "y": -place + 0.36, "yanchor": "middle",
         "showarrow": False, "align": "left", "text": escaped(name), "font": {"size": 12, "color": "$ink"},
         "bgcolor": "$surface", "borderpad": 1}
        for place, name in enumerate(names)
    ]  # fmt: skip
    rows = max(LEAST_ROWS, len(names))
    return frame(
        64 + ROW_PX * rows, annotations=notes, xaxis=along,
        yaxis={"visible": False, "range": [-rows + 0.45, 0.62], "fixedrange": True},
    )  # fmt: skip


def in_order(names: Iterable[str]) -> list[str]:
    """Each format once, in the order of their colours."""
    return sorted(dict.fromkeys(names), key=lambda name: (colour(name), name))

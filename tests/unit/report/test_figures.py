"""The plots as data: plotly's own schema accepts them, and they show what the records say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import plotly.graph_objects as go
import pytest

from edgekit.report import distributions, figures, sections, series
from edgekit.report.data import ReportData
from edgekit.report.figures import Plot, Variant
from tests.unit.report.examples import HOSTILE


@pytest.fixture(params=["everything", "chosen"])
def data(request: pytest.FixtureRequest) -> ReportData:
    found: ReportData = request.getfixturevalue(request.param)
    return found


def plots(data: ReportData) -> list[Plot]:
    return [plot for section in sections.page(data).sections for plot in section.plots]


def uncoloured(value: Any, key: str = "") -> Any:
    """With a real colour for every token, as the page draws it; fails where a token is not a colour's."""
    if isinstance(value, dict):
        return {name: uncoloured(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [uncoloured(one, key) for one in value]
    return "#123456" if isinstance(value, str) and value.startswith("$") and key.lower().endswith("color") else value


def texts(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from texts(one, name)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from texts(one, key)
    elif isinstance(value, str) and key in ("text", "hovertext", "hovertemplate", "name", "ticktext"):
        yield value


def test_plotly_knows_every_property(data: ReportData) -> None:
    found = plots(data)
    assert {plot.id for plot in found} >= {"pareto-0", "boxes-0", "ecdf", "order", "types", "bars", "states-0"}
    for plot in found:
        for variant in plot.variants:
            go.Figure(uncoloured(variant.figure))
            msgspec.json.encode(variant.figure)


def test_every_point_has_a_step_that_is_there(data: ReportData) -> None:
    for plot in plots(data):
        for variant in plot.variants:
            assert variant.steps, plot.id
            for step in variant.steps:
                trace = variant.figure["data"][step.curve]
                assert 0 <= step.point < len(trace["x"]) and step.text


def test_markup_in_names_is_escaped_in_every_text(everything: ReportData) -> None:
    seen = False
    for plot in plots(everything):
        for variant in plot.variants:
            for words in texts(variant.figure):
                assert "<" not in words.replace("<br>", "").removesuffix("<extra></extra>"), (plot.id, words)
                seen = seen or "&lt;/script&gt;" in words
    assert seen, "the hostile name is not shown at all"


def variant(found: Variant | None) -> Variant:
    assert found is not None
    return found


def test_pareto_has_the_intervals_and_marks(chosen: ReportData) -> None:
    figure = variant(figures.pareto(chosen, 0)).figure
    shown = figures.drawn(chosen, 0)
    points = []
    for trace in figure["data"]:
        if trace["mode"] == "markers":
            bars = trace["error_x"]
            points += zip(trace["x"], trace["y"], bars["arrayminus"], bars["array"], trace["marker"]["symbol"],
                          strict=True)  # fmt: skip
    expected = []
    for c in shown:
        assert c.cost is not None and c.accuracy is not None
        symbol = figures.SYMBOLS[c.rank] + ("" if c.measurement.verdict == "ok" else "-open")
        ends = (c.cost.value - c.cost.low, c.cost.high - c.cost.value)
        expected.append((c.cost.value, c.accuracy.value * 100, *ends, symbol))
    assert sorted(points) == sorted(expected)
    assert {c.rank for c in shown} >= {"chosen", "dominated"}
    costs = [float(step.text.split("; ")[1].split()[0]) for step in variant(figures.pareto(chosen, 0)).steps]
    assert costs == sorted(costs)


def test_the_front_only_gets_better(everything: ReportData) -> None:
    line = variant(figures.pareto(everything, 0)).figure["data"][0]
    assert line["line"]["shape"] == "hv"
    assert line["x"] == sorted(line["x"]) and line["y"] == sorted(line["y"]) and len(line["x"]) >= 2


def test_boxes_are_the_quartiles_of_each_repeat(everything: ReportData) -> None:
    figure = variant(distributions.boxes(everything, 0)).figure
    boxes = [trace for trace in figure["data"] if trace["type"] == "box"]
    shown = distributions.shown_in_boxes(everything, 0)
    assert len(boxes) == len(shown)
    for box, c in zip(boxes, shown, strict=True):
        assert box["q1"] == [r.p25 for r in c.runs] and box["upperfence"] == [r.p95 for r in c.runs]
        rows = box["y"]
        assert len(set(rows)) == len(rows)


def test_bars_are_the_slowest_operators(everything: ReportData) -> None:
    profile = everything.profiles[0]
    found = series.operators(profile)
    assert found.figure["data"][0]["x"] == sorted((100 * op.share for op in profile.ops), reverse=True)[:15]
    types = series.operator_types(profile)
    assert sum(types.figure["data"][0]["x"]) == pytest.approx(sum(100 * op.share for op in profile.ops))
    assert {"", "/"} == set(found.figure["data"][0]["marker"]["pattern"]["shape"])


def test_states_have_a_row_for_each_known_fact(everything: ReportData) -> None:
    figure = variant(series.states(everything, 0)).figure
    assert [trace["name"] for trace in figure["data"]] == [
        "temperature_c", "frequency_mhz", "load_1min", "throttle_count",
    ]  # fmt: skip
    assert series.untold(everything, 0) == ["thermal status", "battery"]
    assert series.states(everything, 2) is None  # the board tells nothing


def test_emulated_figures_are_marked_wherever_they_are_drawn(everything: ReportData) -> None:
    page = sections.page(everything)
    for plot in (plot for section in page.sections for plot in section.plots):
        if plot.id in ("pareto-1", "boxes-1", "boxes-2"):
            assert (
                "mulated" in plot.warning and "emulated" in plot.variants[0].figure["layout"]["xaxis"]["title"]["text"]
            )
    emulated = [v for plot in plots(everything) if plot.id == "ecdf" for v in plot.variants if "phone" in v.name]
    assert emulated and all("emulated" in v.name for v in emulated)
    rows = [
        row for section in page.sections for table in section.tables if table.id == "candidates" for row in table.rows
    ]
    marked = [row for row in rows if any("emulated" in cell.text for cell in row)]
    assert len(rows) == 16 and len(marked) == 3


def test_logarithmic_ticks_are_plain_numbers() -> None:
    axis = figures.scaled_axis("ms", [0.4, 90.0])
    assert axis["type"] == "log"
    ticks = dict(zip(axis["tickvals"], axis["ticktext"], strict=True))
    assert ticks[20.0] == "20" and ticks[0.5] == "0.5"
    assert figures.scaled_axis("ms", [2.0, 9.0])["type"] == "linear"


def test_long_names_keep_both_ends() -> None:
    assert figures.shortened("a" * 100 + "litert", 20).endswith("litert")
    assert len(figures.shortened("x" * 100, 46)) == 46
    assert figures.escaped(HOSTILE).count("<") == 0

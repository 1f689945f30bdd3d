"""The page of a comparison of two runs: the ratios with their doubt, and both distributions of each pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from edgekit.choose import quantities
from edgekit.compare.comparison import Comparison, Pair, Single
from edgekit.records import Record
from edgekit.report import distributions, figures, samples, tables, text
from edgekit.report.data import RunShape
from edgekit.report.figures import Json, Plot, Step, Variant
from edgekit.report.layout import Page, Section
from edgekit.report.page import render
from edgekit.report.tables import Cell, Side, Table, figure, table
from edgekit.store.query import Query
from edgekit.store.store import Store
from edgekit.version import __version__

MOST_PAIRS = 60
_AT_ONCE = 8
# verdict -> (symbol, colour, words)
_MARKS = {
    "slower": ("triangle-right", "$c1", "B is slower"),
    "faster": ("triangle-left", "$c0", "B is faster"),
    "no-difference": ("circle", "$c5", "no difference that the data show"),
}
_SIDES = (("A", "$c0", "solid"), ("B", "$c1", "dash"))


class CompareData(Record, frozen=True, kw_only=True):
    """A comparison with the runs of both sides, by the id of their measurement."""

    comparison: Comparison
    created: str
    version: str
    runs: dict[str, tuple[RunShape, ...]]
    emulated: bool = False


def collect_comparison(comparison: Comparison, store_a: Store, store_b: Store, created: str) -> CompareData:
    """The comparison with its samples, reduced; ``created`` is when the page is made, UTC ISO 8601.

    Raises:
        StoreError: a store can't be read.
    """
    shapes: dict[str, tuple[RunShape, ...]] = {}
    emulated = False
    pairs = [pair for pair in comparison.pairs if pair.ratio is not None][:MOST_PAIRS]
    for store, ids in ((store_a, [p.a.measurement_id for p in pairs]), (store_b, [p.b.measurement_id for p in pairs])):
        for start in range(0, len(ids), _AT_ONCE):
            some = tuple(ids[start : start + _AT_ONCE])
            for m in store.measurements(Query(ids=some, with_samples=True, limit=None)):
                shapes[m.id] = tuple(shape for repeat in m.repeats if (shape := samples.shape(repeat)))
                emulated = emulated or m.emulated
    return CompareData(comparison=comparison, created=created, version=__version__, runs=shapes, emulated=emulated)


def compare_page(data: CompareData) -> str:
    """The page of a comparison, one self-contained HTML file.

    Raises:
        MissingExtraError: plotly or Jinja2 is not installed.
    """
    c = data.comparison
    a, b = c.runs
    made = [_runs(c), _ratios(data), _distributions(data), _pairs(c), _alone(c)]
    return render(
        Page(
            title=f"{a.name} and {b.name}" if a.name != b.name else f"{a.name}: {a.id[:8]} and {b.id[:8]}",
            subtitle=f"edgekit comparison of B ({b.kind} {b.id[:8]}) with A ({a.kind} {a.id[:8]}), the baseline",
            version=f"edgekit {data.version}, {data.created[:16].replace('T', ' ')} UTC",
            lead=_lead(c),
            lead_mark="none" if any(pair.verdict == "slower" for pair in c.pairs) else "",
            tiles=_tiles(c),
            sections=tuple(section for section in made if section is not None),
        )
    )


def _lead(c: Comparison) -> str:
    mean = c.geometric_mean
    if mean is None:
        return ""
    over = f"{mean.pairs} pair{'s' if mean.pairs != 1 else ''}"
    return (f"B's {quantities.word(mean.quantity)} is {mean.ratio:.3f} times A's ({mean.ci95[0]:.3f} to "
            f"{mean.ci95[1]:.3f}), the geometric mean over {over}")  # fmt: skip


def _tiles(c: Comparison) -> tuple[tuple[str, str], ...]:
    count = Counter[str](pair.verdict for pair in c.pairs)
    words = (("slower", "slower"), ("faster", "faster"), ("no-difference", "without a difference"),
             ("not-comparable", "not comparable"))  # fmt: skip
    return tuple((f"{count[verdict]:,}", word) for verdict, word in words)


def _runs(c: Comparison) -> Section:
    facts = [
        (f"Run {name}", f"{run.kind} {run.name} ({run.id[:8]}), {run.created[:16].replace('T', ' ')} UTC, "
                        f"{run.candidates} candidate{'s' if run.candidates != 1 else ''}")
        for name, run in zip("AB", c.runs, strict=True)
    ]  # fmt: skip
    notes = tuple(f"In {note.pairs} of the pairs: {note.text}." for note in c.notes)
    return Section("runs", "The runs", "The two runs", points=notes, facts=tuple(facts))


def _shown(c: Comparison) -> list[Pair]:
    return [pair for pair in c.pairs if pair.ratio is not None and pair.ci95 is not None][:MOST_PAIRS]


def labels(pairs: Sequence[Pair]) -> list[str]:
    """A name for each pair; its devices only where it takes them to tell pairs apart."""
    names = [_name(pair) for pair in pairs]
    again = {name for name, count in Counter(names).items() if count > 1}
    return [f"{name} on {pair.b.device}" if name in again else name for name, pair in zip(names, pairs, strict=True)]


def _name(pair: Pair) -> str:
    a, b = pair.a.candidate.label, pair.b.candidate.label
    return b if a == b else f"{a} → {b}"


def _ratios(data: CompareData) -> Section:
    shown = _shown(data.comparison)
    names = labels(shown)
    found = dict.fromkeys(pair.verdict for pair in shown)
    key = tuple((_MARKS[v][0], _MARKS[v][1], False, _MARKS[v][2]) for v in _MARKS if v in found)
    left = len(data.comparison.comparable) - len(shown)
    notes = (f"{left} more pairs are in the table only.",) if left else ()
    plot = Plot(
        "ratios", _over(shown), "Bars are 95% intervals of each pair; right of 1 B is slower. A verdict also "
        "takes into account that of many equal pairs some look different by chance.",
        (_ratio_figure(shown, names, data.emulated),), key=key, notes=notes, table=_ratio_table(shown, names),
        warning=f"Some of these times are {text.EMULATED}." if data.emulated else "",
    )  # fmt: skip
    return Section("ratios-section", "Ratios", "What became slower, and what faster", plots=(plot,))


def _over(pairs: Sequence[Pair]) -> str:
    return "B's time over A's" if any(pair.quantity == "p50_ms" for pair in pairs) else "B's count over A's"


def _ratio_figure(shown: Sequence[Pair], names: Sequence[str], emulated: bool) -> Variant:
    said = [_said(pair) for pair in shown]
    traces: list[Json] = []
    steps: list[tuple[int, Step]] = []
    for verdict, (symbol, token, _) in _MARKS.items():
        mine = [place for place, pair in enumerate(shown) if pair.verdict == verdict]
        if not mine:
            continue
        steps += [(place, Step(len(traces), number, f"{names[place]}: {'; '.join(said[place])}"))
                  for number, place in enumerate(mine)]  # fmt: skip
        ratios = [shown[place].ratio or 1.0 for place in mine]
        ends = [shown[place].ci95 or (1.0, 1.0) for place in mine]
        traces.append({
            "type": "scatter", "mode": "markers", "x": ratios, "y": [-place - 0.05 for place in mine],
            "hovertext": [figures.lines([figures.shortened(names[p]), *said[p]]) for p in mine], "hoverinfo": "text",
            "marker": {"symbol": symbol, "size": 12, "color": token, "opacity": 1},
            "error_x": {"type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": token,
                        "array": [high - r for r, (_, high) in zip(ratios, ends, strict=True)],
                        "arrayminus": [r - low for r, (low, _) in zip(ratios, ends, strict=True)]},
        })  # fmt: skip
    bounds = [end for pair in shown for end in (pair.ci95 or (1.0, 1.0))]
    title = "B over A (emulated)" if emulated else "B over A"
    layout = figures.rows_layout([figures.shortened(name) for name in names], figures.scaled_axis(title, bounds))
    layout["shapes"] = [{"type": "line", "xref": "x", "x0": 1, "x1": 1, "yref": "paper", "y0": 0, "y1": 1,
                         "line": {"color": "$front", "width": 2, "dash": "dot"}, "layer": "below"}]  # fmt: skip
    ordered = tuple(step for _, step in sorted(steps, key=lambda pair: pair[0]))
    return Variant("ratios", {"data": traces, "layout": layout}, ordered)


def _said(pair: Pair) -> list[str]:
    low, high = pair.ci95 or (1.0, 1.0)
    said = [f"{_MARKS[pair.verdict][2]}: {pair.ratio or 1.0:.3f}, 95% {low:.3f} to {high:.3f}"]
    said.append(" → ".join(_values(pair)))
    how = {"paired": f"from {pair.rounds} interleaved rounds", "intervals": "from the two stated intervals",
           "exact": "exact counts"}  # fmt: skip
    said += [how[pair.method]] if pair.method else []
    said.append(f"verdicts {pair.a.verdict} and {pair.b.verdict}")
    return said


def _values(pair: Pair) -> list[str]:
    """What A and B took: the median times, or the counts where they are compared by these."""
    if pair.quantity is None or pair.quantity == "p50_ms":
        return [text.amount(side.p50_ms, "ms") for side in (pair.a, pair.b)]
    return [text.amount(side.counted, pair.quantity) for side in (pair.a, pair.b)]


def _ratio_table(shown: Sequence[Pair], names: Sequence[str]) -> Table:
    rows: list[list[Cell | str]] = []
    for name, pair in zip(names, shown, strict=True):
        low, high = pair.ci95 or (1.0, 1.0)
        rows.append([name, pair.verdict, figure(pair.ratio, f"{pair.ratio or 1.0:.3f}"),
                     figure(low, f"{low:.3f} to {high:.3f}")])  # fmt: skip
    return table("ratio", _over(shown), [("Pair", "left"), ("Verdict", "left"), ("B over A", "right"),
                                                ("95% interval", "right")], rows)  # fmt: skip


def _distributions(data: CompareData) -> Section | None:
    shown = [pair for pair in _shown(data.comparison)
             if data.runs.get(pair.a.measurement_id) and data.runs.get(pair.b.measurement_id)]  # fmt: skip
    if not shown:
        return None
    variants = tuple(_both(name, pair, data.runs) for name, pair in zip(labels(shown), shown, strict=True))
    key = tuple((f"line-{dash}", token, False, f"run {name}, a line per repeat") for name, token, dash in _SIDES)
    plot = Plot("both", "Distribution of single runs", "How many of the runs took at most so long.", variants,
                picks="pair", key=key,
                warning=f"Some of these times are {text.EMULATED}." if data.emulated else "")  # fmt: skip
    return Section("distributions", "Distributions", "Both distributions", (samples.QUANTILES_RULE,), plots=(plot,))


def _both(name: str, pair: Pair, runs: Mapping[str, tuple[RunShape, ...]]) -> Variant:
    unit = "ms" if pair.quantity == "p50_ms" else pair.quantity or "ms"
    traces: list[Json] = []
    steps: list[Step] = []
    rows: list[list[Cell | str]] = []
    values: list[float] = []
    for (side, token, dash), of in zip(_SIDES, (pair.a, pair.b), strict=True):
        for number, r in enumerate(runs[of.measurement_id], 1):
            last = len(r.ecdf) - 1
            steps += distributions.ecdf_steps(len(traces), f"{side}, repeat {number}", r, unit)
            for place in range(0, last + 1, distributions.EVERY):
                took = figure(r.ecdf[place], text.amount(r.ecdf[place], unit))
                share = figure(place, f"{100 * place / last:.0f}%")
                rows.append([side, figure(number, str(number)), share, took])
            traces.append(distributions.ecdf_line(f"{side}, repeat {number}", r, unit, color=token, dash=dash))
            values += [r.low, r.high]
    title = "Latency, ms" if unit == "ms" else f"{unit.capitalize()} per inference"
    layout = figures.frame(
        380, xaxis=figures.scaled_axis(title, values), yaxis=figures.axis("Runs that took at most so long, %",
        range=[0, 101]),
    )  # fmt: skip
    heads: list[tuple[str, Side]] = [("Run", "left"), ("Repeat", "right"), ("Share of runs", "right"),
                                     ("Took at most", "right")]  # fmt: skip
    return Variant(name, {"data": traces, "layout": layout}, tuple(steps), table("both", name, heads, rows))


def _pairs(c: Comparison) -> Section:
    rows: list[list[Cell | str]] = []
    for name, pair in zip(labels(c.pairs), c.pairs, strict=True):
        ratio = text.DASH if pair.ratio is None else f"{pair.ratio:.3f}"
        ends = f"{pair.ci95[0]:.3f} to {pair.ci95[1]:.3f}" if pair.ci95 else text.DASH
        mark = {"slower": "bad", "faster": "good", "not-comparable": "doubt"}.get(pair.verdict, "")
        why = "; ".join((*pair.reasons, *pair.notes))
        rows.append([name, Cell(pair.verdict, mark=mark), figure(pair.ratio, ratio),
                     figure(pair.ci95[0] if pair.ci95 else None, ends), *_values(pair),
                     f"{pair.a.verdict}, {pair.b.verdict}", why])  # fmt: skip
    heads: list[tuple[str, Side]] = [
        ("Pair", "left"), ("Verdict", "left"), ("B over A", "right"), ("95% interval", "right"), ("A", "right"),
        ("B", "right"), ("Verdicts", "left"), ("Remarks", "left"),
    ]  # fmt: skip
    changes = _changes(c)
    folded = (("Sizes, loading, memory and accuracy", changes),) if changes.rows else ()
    return Section("pairs", "All pairs", "All pairs", tables=(table("pairs", "All pairs", heads, rows),), folded=folded)


def _changes(c: Comparison) -> Table:
    rows: list[list[Cell | str]] = []
    for name, pair in zip(labels(c.pairs), c.pairs, strict=True):
        for change in pair.changes:
            ratio = text.DASH if change.ratio is None else f"{change.ratio:.3f}"
            what = quantities.word(change.quantity) + (f" on {change.dataset}" if change.dataset else "")
            rows.append([name, what, figure(change.a, quantities.written(change.quantity, change.a)),
                         figure(change.b, quantities.written(change.quantity, change.b)),
                         figure(change.ratio, ratio)])  # fmt: skip
    heads: list[tuple[str, Side]] = [("Pair", "left"), ("Figure", "left"), ("A", "right"), ("B", "right"),
                                     ("B over A", "right")]  # fmt: skip
    return table("changes", "Further figures of each pair", heads, rows)


def _alone(c: Comparison) -> Section | None:
    found: list[tuple[str, Single]] = [("A", one) for one in c.only_in_a] + [("B", one) for one in c.only_in_b]
    if not found:
        return None
    rows = [[one.side.candidate.label, f"only {run}", one.side.device, one.reason or text.DASH] for run, one in found]
    return Section("alone", "Without a partner", "Candidates of one run alone", tables=(
        tables.table("alone", "Candidates of one run alone", [("Candidate", "left"), ("Run", "left"),
                     ("Device", "left"), ("In the other run", "left")], rows),))  # fmt: skip

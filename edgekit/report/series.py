"""Plots of operators, of device states over time, and of two runs against each other."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.records import OpTime, Profile
from edgekit.report import samples, tables, text
from edgekit.report.data import Candidate, ReportData, StatePoint
from edgekit.report.figures import Json, Step, Variant, axis, escaped, frame, lines, rows_layout, shortened

MOST_OPERATORS = 15
MOST_LISTED = 60
MOST_STATES = 600
# (field, words, digits): the rows of the plot of states, those that the device tells.
FACTS = (
    ("temperature_c", "Hottest sensor, °C"),
    ("frequency_mhz", "Median core frequency, MHz"),
    ("load_1min", "Load over one minute"),
    ("throttle_count", "Throttling events, counted"),
    ("thermal_status", "Thermal status"),
    ("battery_percent", "Battery, %"),
)


def operators(profile: Profile) -> Variant:
    """Bars of the slowest operators of one profile."""
    top = sorted(profile.ops, key=lambda op: (-op.share, op.name))[:MOST_OPERATORS]
    units = _units(profile)
    rows = [(op.name, op.type, op.unit, op.share, _spent(op, profile)) for op in top]
    names = [_row_name([name, unit if len(units) > 1 else "", f"{share:.1%}"]) for name, _, unit, share, _ in rows]
    said = [[name, kind, f"on {unit}", f"{text.amount(spent, _counts_in(profile))}, {share:.1%}"]
            for name, kind, unit, share, spent in rows]  # fmt: skip
    figure = _bars(profile, [(share, unit) for _, _, unit, share, _ in rows], names, said)
    steps = tuple(Step(0, place, ", ".join(words)) for place, words in enumerate(said))
    return Variant(profile_name(profile), figure, steps, tables.operators(profile, MOST_LISTED))


def operator_types(profile: Profile) -> Variant:
    """The same summed over the operators of one type on one unit."""
    sums: dict[tuple[str, str], list[float]] = {}
    for op in profile.ops:
        entry = sums.setdefault((op.type, op.unit), [0.0, 0.0, 0.0])
        entry[0] += op.share
        entry[1] += _spent(op, profile) or 0.0
        entry[2] += op.count
    units = _units(profile)
    top = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))[:MOST_OPERATORS]
    names = [_row_name([f"{kind} ×{count:.0f}", unit if len(units) > 1 else "", f"{share:.1%}"])
             for (kind, unit), (share, _, count) in top]  # fmt: skip
    said = [[f"{kind} ×{count:.0f}", f"on {unit}", f"{text.amount(spent, _counts_in(profile))}, {share:.1%}"]
            for (kind, unit), (share, spent, count) in top]  # fmt: skip
    figure = _bars(profile, [(share, unit) for (_, unit), (share, _, _) in top], names, said)
    steps = tuple(Step(0, place, ", ".join(words)) for place, words in enumerate(said))
    return Variant(profile_name(profile), figure, steps, tables.operator_types(sums, _counts_in(profile)))


def profile_name(profile: Profile) -> str:
    """What was profiled, where, and what a profiled run took."""
    total = profile.total_ms if profile.total_ms is not None else profile.total_counted
    threads = f"{profile.threads} thread{'s' if profile.threads != 1 else ''}"
    amount = text.amount(total, _counts_in(profile))
    return f"{profile.model} · {profile.format} · {threads} · {profile.device} · {amount}"


def _units(profile: Profile) -> list[str]:
    return sorted({op.unit for op in profile.ops})


def unit_mark(profile: Profile, unit: str) -> tuple[str, bool]:
    """The colour token of a unit, and whether its bars are hatched."""
    place = _units(profile).index(unit)
    return f"$c{place % 6}", place > 0


def _row_name(parts: Sequence[str]) -> str:
    return shortened(" · ".join(part for part in parts if part))


def _bars(profile: Profile, shares: Sequence[tuple[float, str]], names: list[str], said: list[list[str]]) -> Json:
    marks = [unit_mark(profile, unit) for _, unit in shares]
    bar = {
        "type": "bar", "orientation": "h", "x": [100 * share for share, _ in shares],
        "y": [-place - 0.05 for place in range(len(shares))], "width": 0.34, "hoverinfo": "text",
        "hovertext": [lines(words) for words in said],
        "marker": {"color": [token for token, _ in marks],
                   "pattern": {"shape": ["/" if hatched else "" for _, hatched in marks],
                               "fgcolor": "$surface", "size": 6}},
    }  # fmt: skip
    what = "profiled time" if profile.total_ms is not None else _counts_in(profile)
    along = axis(f"Share of the {what}, %", type="linear", rangemode="tozero")
    return {"data": [bar], "layout": rows_layout(names, along)}


def _counts_in(profile: Profile) -> str:
    return "ms" if profile.total_ms is not None else profile.counter or "counted"


def _spent(op: OpTime, profile: Profile) -> float | None:
    return op.p50_ms if profile.total_ms is not None else op.counted


def points(data: ReportData, group: int) -> list[tuple[Candidate, StatePoint]]:
    """Every known state of the device of a group, in time order."""
    found = [(c, state) for c in data.candidates if c.group == group for state in c.states]
    return sorted(found, key=lambda pair: pair[1].time)


def states(data: ReportData, group: int) -> Variant | None:
    """The device over time, a row of the plot for each fact that it tells; None if it tells nothing."""
    found = points(data, group)
    known = [(name, words) for name, words in FACTS if any(getattr(s, name) is not None for _, s in found)]
    if not known:
        return None
    places = {id(state) for state in samples.thin([state for _, state in found], MOST_STATES)}
    found = [(c, state) for c, state in found if id(state) in places]
    said = [_state_words(c, state) for c, state in found]
    times = [state.time for _, state in found]
    layout = frame(60 + 150 * len(known), xaxis=axis("Time, UTC", type="date", anchor=f"y{_number(len(known) - 1)}"),
                   annotations=[])  # fmt: skip
    traces: list[Json] = []
    for row, (name, words) in enumerate(known):
        top, bottom = 1 - row / len(known), 1 - (row + 1) / len(known)
        domain = [bottom + 0.03, top - 0.26 / len(known)]
        layout[f"yaxis{_number(row)}"] = axis("", domain=domain, rangemode="tozero", nticks=4)
        layout["annotations"].append(_heading(words, top))
        traces.append(_state_line(times, found, name, row, said))
    steps = tuple(Step(0, place, "; ".join(words)) for place, words in enumerate(said))
    return Variant(text.device(data.groups[group]), {"data": traces, "layout": layout}, steps,
                   _state_table(found, known))  # fmt: skip


def untold(data: ReportData, group: int) -> list[str]:
    """The facts that the device of a group does not tell."""
    found = points(data, group)
    return [words.partition(",")[0].lower() for name, words in FACTS
            if all(getattr(state, name) is None for _, state in found)]  # fmt: skip


def _number(row: int) -> str:
    return "" if row == 0 else str(row + 1)


def _heading(words: str, top: float) -> Json:
    return {"xref": "paper", "yref": "paper", "x": 0, "y": top, "xanchor": "left", "yanchor": "top",
            "showarrow": False, "text": escaped(words), "font": {"size": 13, "color": "$ink"}}  # fmt: skip


def _state_line(
    times: Sequence[str], found: Sequence[tuple[Candidate, StatePoint]], name: str, row: int, said: list[list[str]]
) -> Json:
    symbols = ["circle-open" if state.when == "before" else "circle" for _, state in found]
    return {
        "type": "scatter", "mode": "lines+markers", "x": list(times), "yaxis": f"y{_number(row)}",
        "y": [getattr(state, name) for _, state in found], "hovertext": [lines(words) for words in said],
        "hoverinfo": "text", "name": name, "line": {"color": f"$c{row % 6}", "width": 1.2},
        "marker": {"symbol": symbols, "size": 7, "color": f"$c{row % 6}"}, "connectgaps": False,
    }  # fmt: skip


def _state_words(c: Candidate, state: StatePoint) -> list[str]:
    said = [f"{state.time[:19].replace('T', ' ')} UTC", shortened(c.label), f"{state.when} repeat {state.repeat}"]
    for name, words in FACTS:
        value = getattr(state, name)
        if value is not None:
            said.append(f"{words.partition(',')[0]} {text.significant(value)}")
    return said


def _state_table(found: Sequence[tuple[Candidate, StatePoint]], known: Sequence[tuple[str, str]]) -> tables.Table:
    rows: list[list[tables.Cell | str]] = []
    for c, state in found:
        facts = [getattr(state, name) for name, _ in known]
        rows.append([state.time[:19].replace("T", " "), c.label, f"{state.when} repeat {state.repeat}",
                     *(tables.figure(value, text.significant(value)) for value in facts)])  # fmt: skip
    heads: list[tuple[str, tables.Side]] = [("UTC", "left"), ("Candidate", "left"), ("When", "left")]
    return tables.table("states", "Device states", [*heads, *((words, "right") for _, words in known)], rows)

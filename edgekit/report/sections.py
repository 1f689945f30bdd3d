"""The words and the order of a report's sections."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit.choose import quantities
from edgekit.records import Profile
from edgekit.report import distributions, figures, samples, series, tables, text
from edgekit.report.data import Candidate, Rank, ReportData
from edgekit.report.figures import Plot, Variant
from edgekit.report.layout import Page, Section

# Groups of conditions that get plots of their own; those of the most candidates come first.
MOST_GROUPS = 6
# Candidates of which single runs can be looked at.
MOST_PICKED = 80
MOST_PROFILES = 24
_HATCHED = " Hatched bars ran on another unit than plain ones."
_RANKS: tuple[Rank, ...] = ("chosen", "tie", "undecided", "front", "dominated", "unplaced")


def page(data: ReportData) -> Page:
    """The report of ``data``."""
    made = [_conditions(data), _choice(data), _pareto(data), _latency(data), _runs(data), _operators(data),
            _states(data), _all(data), _parity(data), _accuracy(data), _verdicts(data), _cells(data),
            _excluded(data)]  # fmt: skip
    return Page(
        title=data.title,
        subtitle=f"edgekit report of {data.asked}",
        version=f"edgekit {data.version}, {data.created[:16].replace('T', ' ')} UTC",
        lead=_lead(data),
        lead_mark=data.choice.status if data.choice else "",
        tiles=_tiles(data),
        sections=tuple(section for section in made if section is not None),
    )


def _lead(data: ReportData) -> str:
    choice = data.choice
    if choice is None:
        return ""
    best = choice.choice.candidate.label if choice.choice else ""
    others = len(choice.ties) if choice.status == "tie" else len(choice.undecided)
    return {
        "chosen": f"Chosen: {best}",
        "tie": f"A tie: {best}, and {others} more that the data can't tell from it",
        "undecided": f"Undecided: {best or 'no candidate'} certainly meets the constraints, but {others} more might",
        "none": "No candidate certainly meets the constraints",
    }[choice.status]


def _tiles(data: ReportData) -> tuple[tuple[str, str], ...]:
    doubtful = sum(c.measurement.verdict != "ok" for c in data.candidates)
    failed = sum(cell.state in ("failed", "skipped") for cell in data.cells)
    runs = sum(r.runs for c in data.candidates for r in c.runs)
    tiles = [(f"{len(data.candidates):,}", "candidates" if len(data.candidates) != 1 else "candidate"),
             (f"{runs:,}", "timed runs"), (f"{doubtful:,}", "with a doubtful verdict")]  # fmt: skip
    tiles += [(f"{len(data.groups)}", "groups of conditions")] if len(data.groups) > 1 else []
    tiles += [(f"{failed}", "cells failed or skipped")] if data.cells else []
    return tuple(tiles)


def _conditions(data: ReportData) -> Section:
    words = []
    if data.omitted:
        words.append(f"{data.omitted:,} older candidates are left out; --limit takes more, --since and --model fewer.")
    said = text.same_for_all(data.candidates)
    if said:
        words.append(f"The same for all: {', '.join(said)}.")
    if len(data.groups) > 1:
        words.append("Only what was measured under the same conditions is compared: each group has its own plot.")
    runtimes = sorted({f"{c.measurement.engine} {c.measurement.runtime_version}" for c in data.candidates})
    facts = [("Runtimes", ", ".join(runtimes) or text.DASH)]
    if len(data.groups) == 1:
        facts = [*text.conditions_lines(data.groups[0]), *facts]
    found = (tables.groups(data),) if len(data.groups) > 1 else ()
    return Section("conditions", "Measured how", "How it was measured", tuple(words), facts=tuple(facts), tables=found)


def _choice(data: ReportData) -> Section | None:
    choice = data.choice
    if choice is None:
        return None
    facts = [("Constraint", f"{quantities.word(c.quantity)} {'≤' if c.sense == '<=' else '≥'} "
              f"{quantities.written_limit(c.quantity, c.limit)}") for c in choice.constraints]  # fmt: skip
    facts += [("Objective", f"{o.direction} {quantities.word(o.quantity)}") for o in choice.objectives]
    found = [tables.standings(choice)] if choice.choice or choice.undecided else []
    found += [tables.shortfalls(choice)] if choice.nearest else []
    found += [tables.penalties(choice)] if choice.penalties else []
    return Section("choice", "Choice", "The choice", points=choice.reasons, facts=tuple(facts), tables=tuple(found))


def _grouped(data: ReportData, make: Callable[[ReportData, int], Variant | None]) -> list[tuple[int, Variant]]:
    made = [(group, make(data, group)) for group in range(min(MOST_GROUPS, len(data.groups)))]
    return [(group, variant) for group, variant in made if variant is not None]


def _title(data: ReportData, group: int, words: str) -> str:
    return words if len(data.groups) == 1 else f"{words}: group {group + 1}, {text.device(data.groups[group])}"


def _warning(data: ReportData, group: int) -> str:
    """What has to be said of an emulator's figures beside every plot of them."""
    mine = [c for c in data.candidates if c.group == group]
    if not any(c.measurement.emulated for c in mine):
        return ""
    if any(c.unit == "ms" for c in mine):
        return f"These times are {text.EMULATED}."
    return "Emulated: what was executed was counted, exactly; an emulator has no time."


def _cost_word(data: ReportData, group: int) -> str:
    """``Latency``, or what was counted instead."""
    unit = next((c.unit for c in data.candidates if c.group == group), "ms")
    return "Latency" if unit == "ms" else unit.capitalize()


def _pareto(data: ReportData) -> Section:
    other = f"{data.metric} (up is better)" if data.metric else "file size (down is better)"
    caption = (f"Median latency (left is better) against {other}. Bars are 95% intervals. The dotted line steps "
               "along the front, the candidates that no other one certainly beats.")  # fmt: skip
    plots = []
    for group, variant in _grouped(data, figures.pareto):
        shown = figures.drawn(data, group)
        mine = [c for c in data.candidates if c.group == group]
        notes = []
        if len(mine) > len(shown):
            notes.append(f"{len(mine) - len(shown)} of {len(mine)} candidates are not drawn: no usable latency, or no "
                         f"{data.metric or 'size'} known.")  # fmt: skip
        title = _title(data, group, f"{_cost_word(data, group)} and {data.metric or 'size'}")
        plots.append(Plot(f"pareto-{group}", title, caption, (variant,), key=_key(shown), notes=tuple(notes),
                          table=tables.pareto(shown, data.metric), warning=_warning(data, group)))  # fmt: skip
    unknown = []
    if data.metric is None:
        unknown.append("No accuracy is stored for these files, so the plot shows their size instead. "
                       "edgekit evaluate FILE --data DATA measures it.")  # fmt: skip
    if not plots:
        unknown.append("No candidate has both figures, so there is nothing to draw.")
    return Section("pareto", "Pareto", "What there is to choose from", plots=tuple(plots), unknown=tuple(unknown))


def _key(shown: list[Candidate]) -> tuple[tuple[str, str, bool, str], ...]:
    key = _formats_key(shown)
    ranks = [rank for rank in _RANKS if any(c.rank == rank for c in shown)]
    key += [(figures.SYMBOLS[rank], "$ink", False, text.RANKS[rank]) for rank in ranks]
    if any(c.measurement.verdict != "ok" for c in shown):
        key.append(("circle", "$ink", True, "hollow: noisy, see the verdicts"))
    return tuple(key)


def _formats_key(shown: list[Candidate]) -> list[tuple[str, str, bool, str]]:
    names = figures.in_order(c.measurement.format for c in shown)
    return [("circle", figures.colour(name), False, name) for name in names]


def _latency(data: ReportData) -> Section:
    plots = []
    for group, variant in _grouped(data, distributions.boxes):
        shown = distributions.shown_in_boxes(data, group)
        notes = []
        if len(shown) > figures.MOST_ROWS:
            notes.append(f"{len(shown) - figures.MOST_ROWS} more candidates are in the table only.")
        key = tuple(_formats_key(shown))
        plots.append(Plot(f"boxes-{group}", _title(data, group, f"{_cost_word(data, group)} of every repeat"),
                          "One box per repeat, each a process of its own: the box holds the middle half of its runs, "
                          "the whiskers reach from 5% to 95% of them, the diamond is the median.",
                          (variant,), key=key, notes=tuple(notes), warning=_warning(data, group)))  # fmt: skip
    unknown = () if plots else ("No runs are stored for these candidates.",)
    folded = (("The figures of every repeat", tables.runs(data)),) if plots else ()
    return Section("latency", "Latency", "Latency distributions", plots=tuple(plots), folded=folded, unknown=unknown)


def _runs(data: ReportData) -> Section | None:
    having = [c for c in data.candidates if c.runs]
    if not having:
        return None
    picked = having[:MOST_PICKED]
    words = [samples.RULE]
    if len(having) > len(picked):
        words.append(f"{len(having) - len(picked)} more candidates are not in the list.")
    most = max(len(c.runs) for c in picked)
    key = tuple((f"line-{distributions.repeat_dash(n)}", distributions.repeat_colour(n), False, f"repeat {n}")
                for n in range(1, most + 1))  # fmt: skip
    plots = (
        Plot("ecdf", "Distribution", "How many of the runs took at most so long.",
             tuple(distributions.ecdf(c) for c in picked), picks="candidate", key=key),
        Plot("order", "Runs in their order", "Drift, jumps and slow runs are seen here.",
             tuple(distributions.in_order(c) for c in picked), picks="candidate", key=key),
    )  # fmt: skip
    return Section("runs", "Single runs", "Single runs of one candidate", tuple(words), plots=plots)


def _operators(data: ReportData) -> Section:
    if not data.profiles:
        return Section("operators", "Operators", "Where the time goes", unknown=(
            "No profile is stored for these files. edgekit profile MODEL makes and keeps one.",))  # fmt: skip
    shown = data.profiles[:MOST_PROFILES]
    words = ["A profile is a pass of its own: it slows the runtime down, so compare the shares and not the times."]
    words += [f"{profile.model} {profile.format}: {profile.note}" for profile in shown if profile.note]
    if len(data.profiles) > len(shown):
        words.append(f"{len(data.profiles) - len(shown)} more profiles are stored.")
    key = _units_key(shown)
    plots = (
        Plot("types", "By type", "Operators of one type together." + _HATCHED * bool(key),
             tuple(series.operator_types(profile) for profile in shown), picks="profile", key=key),
        Plot("bars", "Single operators", f"The {series.MOST_OPERATORS} slowest." + _HATCHED * bool(key),
             tuple(series.operators(profile) for profile in shown), picks="profile"),
    )  # fmt: skip
    return Section("operators", "Operators", "Where the time goes", tuple(words), plots=plots)


def _units_key(shown: Sequence[Profile]) -> tuple[tuple[str, str, bool, str], ...]:
    """What the colours of the bars mean, if a profile has more than one unit."""
    marks = {(unit, *series.unit_mark(profile, unit)) for profile in shown
             for unit in {op.unit for op in profile.ops} if len({op.unit for op in profile.ops}) > 1}  # fmt: skip
    return tuple(("square", token, False, f"{unit} (hatched)" if hatched else unit)
                 for unit, token, hatched in sorted(marks, key=lambda mark: (mark[1], mark[0])))  # fmt: skip


def _states(data: ReportData) -> Section:
    plots, unknown = [], []
    for group, variant in _grouped(data, series.states):
        missing = series.untold(data, group)
        notes = [f"The device does not tell: {', '.join(missing)}."] if missing else []
        plots.append(Plot(f"states-{group}", _title(data, group, "The device over time"),
                          "Read right before each repeat (hollow) and right after it (filled).", (variant,),
                          table=variant.table, notes=tuple(notes), warning=_warning(data, group)))  # fmt: skip
    told = {plot.id for plot in plots}
    for group in range(min(MOST_GROUPS, len(data.groups))):
        if f"states-{group}" not in told:
            unknown.append(f"{text.device(data.groups[group])} tells neither temperature, nor frequency, nor load.")
    return Section("states", "Device", "The device while it was measured", plots=tuple(plots), unknown=tuple(unknown))


def _all(data: ReportData) -> Section:
    return Section("candidates", "All figures", "All figures", tables=(tables.candidates(data),))


def _parity(data: ReportData) -> Section:
    return Section("parity", "Parity", "Parity with PyTorch", (
        "Each converted file was run on the golden inputs beside PyTorch, on the machine that converted it.",
    ), tables=(tables.parity(data),))  # fmt: skip


def _accuracy(data: ReportData) -> Section:
    if data.evaluations:
        return Section("accuracy", "Accuracy", "Accuracy", tables=(tables.accuracy(data.evaluations),))
    known = [c for c in data.candidates if c.accuracy]
    said = f"{data.metric} in the plots is not from this store's evaluations. " if known else ""
    return Section("accuracy", "Accuracy", "Accuracy", unknown=(
        f"{said}No evaluation of these files is stored. edgekit evaluate FILE --data DATA makes one.",))  # fmt: skip


def _verdicts(data: ReportData) -> Section:
    found = tables.verdicts(data)
    if not found.rows:
        return Section("verdicts", "Verdicts", "Verdicts", ("Every verdict is ok, with no remark.",))
    return Section("verdicts", "Verdicts", "Verdicts and their reasons", tables=(found,))


def _cells(data: ReportData) -> Section | None:
    if data.sweep is None:
        return None
    found = tables.cells(data.cells)
    measured = sum(cell.state == "measured" for cell in data.cells)
    words = f"{measured} of {len(data.cells)} cells were measured."
    return Section("cells", "Sweep", "The sweep", (words,), tables=(found,) if found.rows else ())


def _excluded(data: ReportData) -> Section | None:
    if data.choice is None:
        return None
    if not data.excluded:
        return Section("excluded", "Left out", "What was left out", ("Nothing was left out of the comparison.",))
    count = sum(one.count for one in data.excluded)
    return Section("excluded", "Left out", "What was left out", folded=(
        (f"{count:,} results, with the reasons", tables.excluded(data.excluded)),))  # fmt: skip

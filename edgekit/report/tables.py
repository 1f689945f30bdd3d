"""The tables of a page, as text: the page's template escapes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.choose import quantities
from edgekit.records import Artifact, Evaluation, Parity, Profile
from edgekit.report import text
from edgekit.report.data import Candidate, ReportData
from edgekit.selection import Choice, Excluded, SweepCell

Side = Literal["left", "right"]
# Rows that a table shows; it says how many it leaves out.
MOST_ROWS = 500


@dataclass(frozen=True)
class Cell:
    """What is shown, what it is sorted by if that is a number, and a mark: ``good``, ``bad`` or ``doubt``."""

    text: str
    value: float | None = None
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """``columns`` are (heading, side); a figure's column is ``right``. ``hidden`` counts the rows left out."""

    id: str
    caption: str
    columns: tuple[tuple[str, Side], ...]
    rows: tuple[tuple[Cell, ...], ...]
    hidden: int = 0
    sortable: bool = True


def table(name: str, caption: str, columns: Sequence[tuple[str, Side]], rows: Iterable[Sequence[Cell | str]]) -> Table:
    """A table of at most ``MOST_ROWS`` rows."""
    made = [tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in row) for row in rows]
    return Table(name, caption, tuple(columns), tuple(made[:MOST_ROWS]), max(0, len(made) - MOST_ROWS))


def figure(value: float | None, shown: str) -> Cell:
    """A number that is sorted by its size and not by its text."""
    return Cell(shown, value)


def verdict_cell(candidate: Candidate) -> Cell:
    """The verdict, marked."""
    m = candidate.measurement
    mark = {"ok": "good", "noisy": "doubt"}.get(m.verdict, "bad")
    return Cell(text.verdict(m), mark="doubt" if m.emulated and mark == "good" else mark)


def groups(data: ReportData) -> Table:
    """Under what each group was measured."""
    facts = [text.conditions_lines(group) for group in data.groups]
    columns: list[tuple[str, Side]] = [("Group", "left"), ("Candidates", "right")]
    columns += [(name, "left") for name, _ in (facts[0] if facts else [])]
    rows: list[list[Cell | str]] = []
    for number, lines in enumerate(facts):
        count = sum(c.group == number for c in data.candidates)
        rows.append([f"Group {number + 1}", figure(count, f"{count:,}"), *(fact for _, fact in lines)])
    return table("groups", "Conditions", columns, rows)


def candidates(data: ReportData) -> Table:
    """Every candidate with all its figures."""
    columns: list[tuple[str, Side]] = [
        ("Candidate", "left"), ("Standing", "left"), ("p50", "right"), ("95% interval", "right"), ("p90", "right"),
        ("p99", "right"), ("Spread of repeats", "right"), ("First run", "right"), ("Cold load", "right"),
        ("Peak memory", "right"), ("File", "right"), ("Accuracy", "right"), ("Runs", "right"), ("Verdict", "left"),
        ("Device", "left"),
        ("Measured, UTC", "left"), ("Id", "left"),
    ]  # fmt: skip
    return table("candidates", "Every candidate", columns, (_candidate(c, data.metric) for c in data.candidates))


def _candidate(c: Candidate, metric: str | None) -> list[Cell | str]:
    m = c.measurement
    times = [figure(value, text.amount(value, "ms")) for value in (m.p90_ms, m.p99_ms)]
    cost = c.cost.value if c.cost else None
    memory = m.peak_rss_bytes if m.peak_rss_bytes is not None else m.sram_bytes
    accuracy = c.accuracy.value if c.accuracy else None
    return [
        c.label, c.rank, figure(cost, text.amount(cost, c.unit)),
        figure(c.cost.low if c.cost else None, text.interval(c.cost, c.unit)), *times,
        figure(m.repeat_spread, text.DASH if m.repeat_spread is None else f"{m.repeat_spread:.1%}"),
        figure(m.first_ms, text.amount(m.first_ms, "ms")), figure(m.load_cold_ms, text.amount(m.load_cold_ms, "ms")),
        figure(memory, text.size(memory)), figure(c.artifact.bytes, text.size(c.artifact.bytes)),
        figure(accuracy, text.accuracy(accuracy, metric)), figure(m.samples, f"{m.samples:,}"), verdict_cell(c),
        m.device_name, m.created[:16].replace("T", " "), m.id[:8],
    ]  # fmt: skip


def pareto(shown: Sequence[Candidate], metric: str | None) -> Table:
    """What the plot of cost against accuracy or size shows."""
    columns: list[tuple[str, Side]] = [("Candidate", "left"), ("Standing", "left"), ("Median", "right"),
                                       ("95% interval", "right"), (metric or "File", "right")]  # fmt: skip
    columns += [("95% interval", "right")] if metric else []
    columns += [("Verdict", "left")]
    rows: list[list[Cell | str]] = []
    for c in shown:
        cost, q = c.cost, c.accuracy
        row: list[Cell | str] = [
            c.label,
            c.rank,
            figure(cost.value if cost else None, text.amount(cost.value if cost else None, c.unit)),
            figure(cost.low if cost else None, text.interval(cost, c.unit)),
        ]
        if metric is None:
            row.append(figure(c.artifact.bytes, text.size(c.artifact.bytes)))
        elif q is not None:
            ends = text.between(text.accuracy(q.low, metric), text.accuracy(q.high, metric))
            row += [figure(q.value, text.accuracy(q.value, metric)), ends if q.low != q.high else text.DASH]
        rows.append([*row, verdict_cell(c)])
    return table("pareto", "What the plot shows", columns, rows)


def runs(data: ReportData) -> Table:
    """The distribution of every repeat."""
    heads: list[tuple[str, Side]] = [("Candidate", "left"), ("Repeat", "right"), ("Runs", "right")]
    heads += [(name, "right") for name in ("Smallest", "5%", "25%", "Median", "75%", "95%", "99%", "Largest")]
    rows: list[list[Cell | str]] = []
    for c in data.candidates:
        for number, r in enumerate(c.runs, 1):
            values = (r.low, r.p5, r.p25, r.p50, r.p75, r.p95, r.p99, r.high)
            row: list[Cell | str] = [c.label, figure(number, str(number)), figure(r.runs, f"{r.runs:,}")]
            rows.append([*row, *(figure(value, text.amount(value, c.unit)) for value in values)])
    return table("runs", "Distribution of every repeat", heads, rows)


def parity(data: ReportData) -> Table:
    """Each file against PyTorch."""
    columns: list[tuple[str, Side]] = [
        ("File", "left"), ("Parity", "left"), ("Largest error", "right"), ("Cosine", "right"), ("PSNR", "right"),
        ("Top-1 agreement", "right"), ("Inputs", "right"), ("First divergence, or why not checked", "left"),
    ]  # fmt: skip
    files = {c.artifact.sha256: c.artifact for c in data.candidates}
    ordered = sorted(files.values(), key=lambda a: (a.model, a.format, a.precision, a.sha256))
    return table("parity", "Converted files against PyTorch", columns, (_parity(a) for a in ordered))


def _parity(artifact: Artifact) -> list[Cell | str]:
    p = artifact.parity
    agreement = text.DASH if p.top1_agreement is None else f"{p.top1_agreement:.1%}"
    psnr = text.DASH if p.psnr_db is None else f"{p.psnr_db:.1f} dB"
    cosine = text.DASH if p.cosine is None else f"{p.cosine:.6f}"
    return [
        f"{artifact.model} {artifact.format} {artifact.precision}", _passed(p),
        figure(p.max_abs, text.significant(p.max_abs)), figure(p.cosine, cosine), figure(p.psnr_db, psnr),
        figure(p.top1_agreement, agreement), figure(p.samples, str(p.samples) if p.samples else text.DASH),
        _divergence(p),
    ]  # fmt: skip


def _passed(p: Parity) -> Cell:
    if p.passed is None:
        return Cell("not checked", mark="doubt")
    exact = " (bit-equal)" if p.bit_equal else ""
    return Cell(f"passed{exact}", mark="good") if p.passed else Cell("FAILED", mark="bad")


def _divergence(p: Parity) -> str:
    d = p.first_divergence
    if d is not None:
        return f"{d.tensor} ({d.op}) in {d.module or 'the model'}, {d.source}"
    return p.reason or text.DASH


def accuracy(evaluations: Sequence[Evaluation]) -> Table:
    """What was evaluated, on what."""
    columns: list[tuple[str, Side]] = [
        ("Model", "left"), ("Format", "left"), ("Precision", "left"), ("Metric", "left"), ("Value", "right"),
        ("95% interval", "right"), ("Samples", "right"), ("Data set", "left"), ("Run on", "left"), ("UTC", "left"),
        ("Remark", "left"),
    ]  # fmt: skip
    rows: list[list[Cell | str]] = []
    for e in sorted(evaluations, key=lambda e: (e.model, e.metric, e.dataset, e.format, e.precision)):
        ends = text.between(*(text.accuracy(end, e.metric) for end in e.ci95)) if e.ci95 else text.DASH
        value = Cell("not run", mark="bad") if e.value is None else figure(e.value, text.accuracy(e.value, e.metric))
        rows.append([
            e.model, e.format, e.precision, e.metric, value, figure(e.ci95[0] if e.ci95 else None, ends),
            figure(e.samples, f"{e.samples:,}"), e.dataset, e.device, e.created[:16].replace("T", " "), e.reason or "",
        ])  # fmt: skip
    return table("accuracy", "Accuracy as it was evaluated", columns, rows)


def verdicts(data: ReportData) -> Table:
    """What is doubtful, and why; a candidate without a doubt has no row."""
    rows: list[list[Cell | str]] = []
    for c in data.candidates:
        said = list(c.measurement.verdict_reasons)
        said += [f"Emulated: {text.EMULATED.partition(': ')[2]}."] if c.measurement.emulated else []
        if said or c.measurement.verdict != "ok":
            rows.append([c.label, verdict_cell(c), " ".join(said) or "no reason is stored"])
    return table("verdicts", "Doubts about measurements", [("Candidate", "left"), ("Verdict", "left"),
                                                           ("Why", "left")], rows)  # fmt: skip


def cells(found: Sequence[SweepCell]) -> Table:
    """What a sweep did not measure, and why."""
    columns: list[tuple[str, Side]] = [
        ("Model", "left"), ("Format", "left"), ("Precision", "left"), ("Threads", "right"), ("Device", "left"),
        ("State", "left"), ("Why", "left"),
    ]  # fmt: skip
    mark = {"failed": "bad", "skipped": "doubt", "pending": "doubt"}
    rows: list[list[Cell | str]] = [
        [cell.model, cell.format, cell.precision, figure(cell.threads, str(cell.threads)), cell.device,
         Cell(f"{cell.state} ({cell.kind})" if cell.kind else cell.state, mark=mark[cell.state]),
         cell.reason or ("not finished yet" if cell.state == "pending" else "no reason is stored")]
        for cell in found if cell.state != "measured"
    ]  # fmt: skip
    return table("cells", "Cells of the sweep without a measurement", columns, rows)


def excluded(found: Sequence[Excluded]) -> Table:
    """What was left out of the choice, and why."""
    columns: list[tuple[str, Side]] = [("Candidate", "left"), ("Device", "left"), ("Results", "right"), ("Why", "left")]
    rows: list[list[Cell | str]] = [
        [e.candidate, e.device or text.DASH, figure(e.count, f"{e.count:,}"), e.reason] for e in found
    ]
    return table("excluded", "Left out of the comparison", columns, rows)


def operators(profile: Profile, most: int) -> Table:
    """The operators of one profile, the slowest first."""
    timed = profile.total_ms is not None
    unit = "ms" if timed else profile.counter or "counted"
    rows: list[list[Cell | str]] = []
    for op in sorted(profile.ops, key=lambda op: -op.share)[:most]:
        value = op.p50_ms if timed else op.counted
        rows.append([op.name, op.type, op.unit, figure(value, text.amount(value, unit)),
                     figure(op.share, f"{op.share:.1%}"), figure(op.count, str(op.count))])  # fmt: skip
    columns: list[tuple[str, Side]] = [
        ("Operator", "left"), ("Type", "left"), ("Unit", "left"), ("Per run", "right"), ("Share", "right"),
        ("Times", "right"),
    ]  # fmt: skip
    return table("operators", f"{profile.model} {profile.format}", columns, rows)


def operator_types(sums: Mapping[tuple[str, str], Sequence[float]], unit: str) -> Table:
    """The operators summed by (type, unit) to (share, spent, count), the most expensive first."""
    rows: list[list[Cell | str]] = [
        [kind, where, figure(spent, text.amount(spent, unit)), figure(share, f"{share:.1%}"),
         figure(count, f"{count:.0f}")]
        for (kind, where), (share, spent, count) in sorted(sums.items(), key=lambda item: -item[1][0])
    ]  # fmt: skip
    return table("types", "Operators by type", [("Type", "left"), ("Unit", "left"), ("Per run", "right"),
                                                ("Share", "right"), ("Times", "right")], rows)  # fmt: skip


def standings(choice: Choice) -> Table:
    """The chosen candidate, and those beside it, with every figure that was asked for."""
    listed = [("chosen" if choice.status == "chosen" else "best", choice.choice)] if choice.choice else []
    listed += [("tie", one) for one in choice.ties] + [("undecided", one) for one in choice.undecided]
    names = list(dict.fromkeys(name for _, one in listed if one for name in one.quantities))
    rows: list[list[Cell | str]] = []
    for word, one in listed:
        if one is None:
            continue
        shown = [figure(q.value, quantities.written_with_doubt(name, q)) if (q := one.quantities.get(name)) else
                 text.DASH for name in names]  # fmt: skip
        doubts = ", ".join(sorted(set(one.verdicts.values())))
        rows.append([one.candidate.label, word, *shown, ", ".join(one.unmet) or text.DASH, doubts])
    columns: list[tuple[str, Side]] = [("Candidate", "left"), ("Standing", "left")]
    columns += [(quantities.word(name), "right") for name in names]
    columns += [("Not certainly met", "left"), ("Verdict", "left")]
    return table("standings", "The candidates in question", columns, rows)


def shortfalls(choice: Choice) -> Table:
    """How far the nearest candidates are from the constraints."""
    rows: list[list[Cell | str]] = [
        [s.candidate.label, s.device or text.DASH, quantities.word(s.quantity),
         figure(s.value, quantities.written(s.quantity, s.value)),
         figure(s.limit, quantities.written_limit(s.quantity, s.limit)), figure(s.by, f"{s.by:.1%}")]
        for s in choice.nearest
    ]  # fmt: skip
    return table("nearest", "The nearest, and by how much they miss", [
        ("Candidate", "left"), ("Device", "left"), ("Quantity", "left"), ("Value", "right"), ("Limit", "right"),
        ("Off by", "right")], rows)  # fmt: skip


def penalties(choice: Choice) -> Table:
    """What choosing on one device costs on another."""
    rows: list[list[Cell | str]] = []
    for p in choice.penalties:
        ends = f" ({p.interval[0]:+.1%} to {p.interval[1]:+.1%})" if p.interval else ""
        share = p.reason or text.DASH if p.share is None else f"{p.share:+.1%}{ends}"
        rows.append([p.chosen_on, p.used_on, p.candidate or text.DASH, quantities.word(p.quantity),
                     figure(p.share, share),
                     ", ".join(p.broken) or text.DASH])  # fmt: skip
    return table("penalties", "What it costs to choose on one device for another", [
        ("Chosen on", "left"), ("Used on", "left"), ("Candidate", "left"), ("Quantity", "left"),
        ("Worse than its own best", "right"), ("Breaks", "left")], rows)  # fmt: skip

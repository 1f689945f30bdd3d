"""Two runs side by side: what became faster or slower from A to B, as far as the measurements can say.

Pure functions over records. Each pair is judged by its own 95% interval and, since of many equal pairs some look
different by chance, by a probability adjusted for the number of pairs (see :mod:`edgekit.compare.chance`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from edgekit.choose.rows import candidate_of
from edgekit.compare import chance, matching
from edgekit.compare.comparison import Change, Comparison, Mean, Note, Pair, RunInfo, Side, Single
from edgekit.errors import IncomparableError
from edgekit.measure import ratio
from edgekit.measure.ratio import Ratio
from edgekit.records import Evaluation, Measurement
from edgekit.selection import Measured, SweepCell

_TIMES = ("first_ms", "load_cold_ms", "load_warm_ms", "p90_ms", "p99_ms")
_MEMORY = ("peak_rss_bytes", "model_rss_bytes", "sram_bytes", "flash_bytes")


@dataclass(frozen=True)
class Run:
    """One run as it is in the store: its rows, the cells of the sweep that have none, evaluations of its files."""

    info: RunInfo
    rows: Sequence[Measured]
    unmeasured: Sequence[SweepCell] = ()
    evaluations: Sequence[Evaluation] = field(default=())


def compare(a: Run, b: Run, *, emulated: bool = False) -> Comparison:
    """Compare run B with run A, the baseline; ``emulated`` compares the times of emulators too.

    Two runs of one measurement each are a pair whatever they measured. Rows that hold their repeats are compared
    round by round where they were measured in rounds, all others by their stated intervals.

    Raises:
        IncomparableError: no pair can be compared, or the runs have nothing in common.
    """
    if a.info.kind == b.info.kind == "measurement":
        matched = [(a.rows[0], b.rows[0])]
        left_a: list[Measured] = []
        left_b: list[Measured] = []
    else:
        matched, left_a, left_b = matching.match(a.rows, b.rows)
    evaluations = (_by_file(a.evaluations), _by_file(b.evaluations))
    pairs = _adjusted([_pair(one, other, evaluations, emulated) for one, other in matched])
    comparison = Comparison(
        runs=(a.info, b.info),
        pairs=tuple(sorted(pairs, key=_order)),
        only_in_a=tuple(_single(row, b) for row in left_a),
        only_in_b=tuple(_single(row, a) for row in left_b),
        geometric_mean=_mean(pairs),
        notes=_notes(pairs),
    )
    if not comparison.comparable:
        raise _nothing(comparison)
    return comparison


def _pair(a: Measured, b: Measured, evaluations: tuple[_Evaluations, _Evaluations], emulated: bool) -> Pair:
    obstacles = matching.obstacles(a.measurement, b.measurement, emulated=emulated)
    pair = Pair(
        a=_side(a, matching.quantity_of(a.measurement, b.measurement)),
        b=_side(b, matching.quantity_of(a.measurement, b.measurement)),
        verdict="not-comparable",
        reasons=tuple(obstacles),
        notes=tuple(matching.differences(a, b)),
        changes=tuple(_changes(a, b, evaluations, timed=not obstacles)),
    )
    return pair if obstacles else _judged(pair, a.measurement, b.measurement)


def _judged(pair: Pair, a: Measurement, b: Measurement) -> Pair:
    """With the ratio and its probability; the verdict of a ratio that is not exact comes from :func:`_adjusted`."""
    quantity = matching.quantity_of(a, b)
    if quantity is None:
        raise ValueError("these two have nothing to compare them by")
    if quantity != "p50_ms":
        value = getattr(b, quantity) / getattr(a, quantity)
        verdict = "no-difference" if value == 1 else "slower" if value > 1 else "faster"
        return msgspec.structs.replace(
            pair, quantity=quantity, ratio=value, ci95=(value, value), method="exact", verdict=verdict
        )
    found = ratio.paired(matching.rounds_of(a, b))
    method, p = ("paired", chance.paired_p(found)) if found else ("intervals", chance.separate_p(a, b))
    found = found or ratio.recovered(a, b)
    if found is None:
        raise ValueError("one of the two has no interval")
    return msgspec.structs.replace(
        pair,
        quantity=quantity,
        ratio=found.ratio,
        ci95=(found.low, found.high),
        method=method,
        rounds=found.rounds,
        p=p,
    )


def _adjusted(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with verdicts that hold for all of them together."""
    judged = [index for index, pair in enumerate(pairs) if pair.p is not None]
    adjusted = chance.adjusted([pairs[index].p or 0.0 for index in judged])
    found = list(pairs)
    for index, p in zip(judged, adjusted, strict=True):
        found[index] = _with_verdict(pairs[index], p, len(judged))
    return found


def _with_verdict(pair: Pair, p: float, count: int) -> Pair:
    own = _ratio(pair)
    if not own.slower and not own.faster:
        return msgspec.structs.replace(pair, p_adjusted=p, verdict="no-difference")
    if p > chance.ALPHA:
        reason = f"its own interval says {'slower' if own.slower else 'faster'}, but of {count} pairs some do by chance"
        return msgspec.structs.replace(pair, p_adjusted=p, verdict="no-difference", reasons=(reason,))
    return msgspec.structs.replace(pair, p_adjusted=p, verdict="slower" if own.slower else "faster")


def _ratio(pair: Pair) -> Ratio:
    if pair.ratio is None or pair.ci95 is None:
        raise ValueError("this pair has no ratio")
    return Ratio(pair.ratio, *pair.ci95, pair.rounds)


def _mean(pairs: Sequence[Pair]) -> Mean | None:
    """Over the pairs that have times; over counts where none has."""
    for quantity in ("p50_ms", "cycles", "instructions"):
        ratios = [_ratio(pair) for pair in pairs if pair.quantity == quantity]
        if ratios:
            mean = chance.mean_of(ratios)
            return Mean(quantity=quantity, ratio=mean.ratio, ci95=(mean.low, mean.high), pairs=len(ratios))
    return None


def _order(pair: Pair) -> tuple[bool, float, str]:
    """Comparable pairs first, and of these the largest slowdown."""
    return pair.ratio is None, -(pair.ratio or 0.0), pair.b.candidate.label


def _side(row: Measured, quantity: str | None) -> Side:
    run = row.measurement
    return Side(
        candidate=candidate_of(run),
        artifact_bytes=row.artifact.bytes,
        measurement_id=run.id,
        created=run.created,
        device=run.device,
        device_name=run.device_name,
        os_build=run.os_build,
        runtime_version=run.runtime_version,
        verdict=run.verdict,
        p50_ms=run.p50_ms,
        ci95_ms=run.ci95_ms,
        counted=getattr(run, quantity) if quantity in ("cycles", "instructions") else None,
    )


_Evaluations = Mapping[str, Mapping[tuple[str, str], Evaluation]]


def _by_file(evaluations: Sequence[Evaluation]) -> _Evaluations:
    """Those with a value: file -> (data set, metric) -> the newest one."""
    found: dict[str, dict[tuple[str, str], Evaluation]] = {}
    for one in sorted(evaluations, key=lambda evaluation: evaluation.created):
        if one.artifact_sha256 is not None and one.value is not None:
            found.setdefault(one.artifact_sha256, {})[one.dataset_sha256, one.metric] = one
    return found


def _changes(a: Measured, b: Measured, evaluations: tuple[_Evaluations, _Evaluations], *, timed: bool) -> list[Change]:
    """Further quantities that both have; ``timed`` with those that depend on how and where it was measured."""
    found = [_change("size_bytes", a.artifact.bytes, b.artifact.bytes)]
    for name in (*_TIMES, *_MEMORY) if timed else ():
        one, other = getattr(a.measurement, name), getattr(b.measurement, name)
        if one is not None and other is not None:
            found.append(_change(name, one, other))
    of_a, of_b = (known.get(row.artifact.sha256, {}) for known, row in zip(evaluations, (a, b), strict=True))
    return found + [_accuracy(of_a[place], of_b[place]) for place in of_a if place in of_b]


def _change(name: str, a: float, b: float) -> Change:
    return Change(quantity=name, a=a, b=b, ratio=b / a if a else None)


def _accuracy(a: Evaluation, b: Evaluation) -> Change:
    """The interval of the difference is recovered from the two stated ones (see :func:`edgekit.measure.ratio`)."""
    one, other = a.value or 0.0, b.value or 0.0
    interval = None
    if a.ci95 is not None and b.ci95 is not None:
        (low_a, high_a), (low_b, high_b) = a.ci95, b.ci95
        difference = other - one
        interval = (
            difference - math.hypot(other - low_b, high_a - one),
            difference + math.hypot(high_b - other, one - low_a),
        )
    change = _change(a.metric, one, other)
    return msgspec.structs.replace(change, dataset=a.dataset, interval=interval)


def _single(row: Measured, other: Run) -> Single:
    """A row without a partner, and what the other sweep says of the same candidate."""
    run = row.measurement
    for cell in other.unmeasured:
        known = (cell.model, cell.format, cell.precision, cell.threads)
        if known == (run.model, run.format, run.precision, run.threads) and cell.device == run.device:
            words = f"{cell.state}: {cell.reason}" if cell.reason else cell.state
            return Single(side=_side(row, None), reason=words)
    return Single(side=_side(row, None))


def _notes(pairs: Sequence[Pair]) -> tuple[Note, ...]:
    """What differs in comparable pairs, the most frequent first."""
    counted = Counter(note for pair in pairs if pair.ratio is not None for note in pair.notes)
    return tuple(Note(text=text, pairs=count) for text, count in counted.most_common())


def _nothing(comparison: Comparison) -> IncomparableError:
    a, b = comparison.runs
    where = f"{a.kind} {a.id[:8]} and {b.kind} {b.id[:8]}"
    if not comparison.pairs:
        return IncomparableError(
            f"The two runs have no candidate in common: {a.candidates} in A, {b.candidates} in B.",
            where=where,
            next_step="Candidates are the same if model, format, precision, threads and runtime are; compare two "
            "measurements by their ids instead."
            if a.candidates and b.candidates
            else "Measure the one that has none: edgekit sweep --resume.",
        )
    counted = Counter(reason for pair in comparison.pairs for reason in pair.reasons)
    listed = "; ".join(f"{reason} ({count})" for reason, count in counted.most_common(4))
    return IncomparableError(
        f"None of the {len(comparison.pairs)} pairs can be compared: {listed}.",
        where=where,
        next_step="Measure one of the runs again under the conditions of the other.",
        reasons=dict(counted),
    )

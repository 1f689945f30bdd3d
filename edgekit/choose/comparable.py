"""Which rows of one device may be compared with each other, and why the others may not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from edgekit.choose.quantities import is_time
from edgekit.choose.rows import Row
from edgekit.errors import IncomparableError
from edgekit.records import Plan, Verdict
from edgekit.selection import CandidateKey, Conditions, Excluded

# Nothing may be concluded from a measurement with one of these verdicts.
UNUSABLE: tuple[Verdict, ...] = ("throttled", "timed-out", "incomparable")
# edgekit.measure.verdict.MIN_SAMPLES, whose module needs numpy: fewer runs say nothing about the spread.
MIN_SAMPLES = 10
OLDER = "older measurements"

Identity = tuple[str, int, str]
Label = Callable[[CandidateKey], str]


def identity(candidate: CandidateKey) -> Identity:
    """What makes two rows ones of the same candidate: the file, the threads and the runtime."""
    return candidate.artifact_sha256, candidate.threads, candidate.engine


def labels(candidates: Iterable[CandidateKey]) -> Label:
    """How each is called; where two would be called the same, the beginning of the file's sha256 tells them apart."""
    by_identity = {identity(candidate): candidate for candidate in candidates}
    counts = Counter(candidate.label for candidate in by_identity.values())

    def label(candidate: CandidateKey) -> str:
        own = candidate.label
        return own if counts[own] < 2 else f"{own} ({candidate.artifact_sha256[:8]})"

    return label


def usable(
    device: str, rows: Sequence[Row], names: Sequence[str], label: Label, *, strict: bool
) -> tuple[list[Row], list[Excluded]]:
    """The rows that have every figure in ``names`` and can be trusted, and the others with the reason."""
    reasons = [_unusable(row, names, strict) for row in rows]
    kept = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    used = {(identity(row.candidate), row.conditions) for row in kept}
    left: list[Excluded] = []
    for row, reason in zip(rows, reasons, strict=True):
        if reason is not None:
            if (identity(row.candidate), row.conditions) in used:
                reason = f"{reason}; another measurement of it, made in the same way, can be used"
            left.append(_excluded(device, row, label, reason))
    return kept, left


def comparable(device: str, rows: Sequence[Row], label: Label) -> tuple[list[Row], list[Excluded]]:
    """The largest set of rows measured under equal conditions, one a candidate; of equally large ones the newest.

    Raises:
        IncomparableError: there are several candidates, but no two of them were measured alike.
    """
    groups: dict[Conditions, dict[Identity, Row]] = {}
    for row in sorted(rows, key=lambda row: (row.created, row.measurement_id), reverse=True):
        groups.setdefault(row.conditions, {}).setdefault(identity(row.candidate), row)
    # Rows come newest first, and of equally large groups max takes the first.
    chosen = max(groups, key=lambda conditions: len(groups[conditions]))
    if len(groups[chosen]) == 1 and len({identity(row.candidate) for row in rows}) > 1:
        raise _nothing_alike(device, [next(iter(group.values())) for group in groups.values()], label)
    left = []
    for conditions, group in groups.items():
        if conditions is not chosen:
            reason = f"measured with {difference(chosen, conditions)}"
            left += [_excluded(device, row, label, reason) for row in group.values()]
    return list(groups[chosen].values()), left


def older(device: str, rows: Sequence[Row], told: int) -> list[Excluded]:
    """One line for all measurements of the device that are neither used nor listed; ``told`` counts those that are."""
    count = sum(1 + row.superseded for row in rows) - told
    reason = "superseded by newer ones of the same candidate"
    return [Excluded(candidate=OLDER, reason=reason, device=device, count=count)] if count else []


def difference(mine: Conditions, other: Conditions) -> str:
    """In what ``other`` differs from ``mine``, for people."""
    found = []
    for name, word in _WORDS.items():
        ours, theirs = getattr(mine, name), getattr(other, name)
        if ours != theirs:
            found.append(f"another {word}: {_value(theirs)} instead of {_value(ours)}")
    if mine.plan != other.plan:
        found.append(f"another plan: {_plan_difference(mine.plan, other.plan)}")
    return "; ".join(found)


_WORDS = {
    "device_name": "device", "soc": "chip", "os_build": "system", "emulated": "kind of device",
    "clock_regime": "clock regime", "harness": "harness", "harness_version": "version of the harness",
}  # fmt: skip


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "an emulated one" if value else "a real one"
    return "an unknown one" if value is None else str(value)


def _plan_difference(mine: Plan, other: Plan) -> str:
    pairs = [(name, getattr(mine, name), getattr(other, name)) for name in Plan.__struct_fields__]
    return ", ".join(f"{name} {theirs} instead of {ours}" for name, ours, theirs in pairs if ours != theirs)


def _unusable(row: Row, names: Sequence[str], strict: bool) -> str | None:
    """Why a row can't be used, or None."""
    first = f": {row.verdict_reasons[0].rstrip('.')}" if row.verdict_reasons else ""
    if row.verdict in UNUSABLE:
        return f"its measurement is {row.verdict}{first}"
    if strict and row.verdict != "ok":
        return f"its measurement is {row.verdict}, and --strict takes only those that are ok{first}"
    if row.parity is False:
        return f"the file failed parity: {row.parity_reason}" if row.parity_reason else "the file failed parity"
    for name in names:
        if name in row.missing:
            return row.missing[name]
    if row.samples < MIN_SAMPLES and any(is_time(name) for name in names):
        return f"it has only {row.samples} timed runs; at least {MIN_SAMPLES} are needed to know the spread"
    return None


def _excluded(device: str, row: Row, label: Label, reason: str) -> Excluded:
    return Excluded(candidate=label(row.candidate), reason=reason, device=device, measurement_id=row.measurement_id)


def _nothing_alike(device: str, rows: Sequence[Row], label: Label) -> IncomparableError:
    first, *others = rows
    told = [f"{label(row.candidate)} with {difference(first.conditions, row.conditions)}" for row in others[:3]]
    more = f"; and {len(others) - 3} more" if len(others) > 3 else ""
    return IncomparableError(
        f"No two of the candidates on {device} were measured alike: compared with {label(first.candidate)}, "
        f"{'; '.join(told)}{more}.",
        where=device, next_step="Measure them together: edgekit sweep.",
        candidates=[label(row.candidate) for row in rows],
    )  # fmt: skip

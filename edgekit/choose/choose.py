"""Which candidate to ship, from comparable rows: a pure function, whose answer does not depend on their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from edgekit.choose import pareto
from edgekit.choose.combine import Across, Candidate, combine, shares
from edgekit.choose.comparable import Label, comparable, labels, older, usable
from edgekit.choose.penalties import penalties
from edgekit.choose.quantities import directions, is_accuracy
from edgekit.choose.ranking import aims_of, axes, beats, best, nearest, on
from edgekit.choose.reasons import Found, reasons
from edgekit.choose.rows import Row
from edgekit.errors import IncomparableError, UsageError
from edgekit.selection import Choice, Conditions, Constraint, Excluded, Objective, Status


def choose(
    rows: Mapping[str, Sequence[Row]],
    constraints: Sequence[Constraint],
    objectives: Sequence[Objective],
    *,
    across: Across = "worst",
    weights: Mapping[str, float] | None = None,
    strict: bool = False,
) -> Choice:
    """The candidate that certainly meets every constraint and is best by the objectives, the first counting first.

    ``front`` and ``dominated`` are over all comparable candidates, whether they meet the constraints or not, on the
    axes of the objectives' and the constraints' figures. Over several devices a constraint holds for each of them,
    and an objective for their worst case or weighted mean.

    Args:
        rows: by device; see :func:`edgekit.choose.rows.make_rows`.
        weights: of the devices, for ``across="weighted"``; all equal if None.
        strict: also leave out what is noisy.

    Raises:
        UsageError: there are no rows, no objectives, or published and measured accuracies among the rows.
        IncomparableError: no two candidates can be compared, or on no device they have in common.
    """
    aims = [*objectives, *aims_of(constraints, objectives)]
    names = tuple(aim.quantity for aim in aims)
    _check(rows, names, objectives)
    portions = shares(list(rows), across, weights)
    label = labels(row.candidate for some in rows.values() for row in some)
    kept, conditions, left = _screened(rows, names, label, strict)
    figures = [name for some in kept.values() for row in some for name in row.quantities]
    toward = directions({aim.quantity: aim.direction for aim in aims}, tuple(dict.fromkeys([*names, *figures])))
    candidates, incomplete = combine(kept, constraints, toward, portions, label)
    if not candidates:
        raise IncomparableError(
            f"No candidate has comparable measurements on all of {', '.join(rows)}.", where=", ".join(rows),
            next_step="Measure the same candidates on each: edgekit sweep with all the devices.",
        )  # fmt: skip
    candidates.sort(key=lambda c: (c.key.label, c.key.artifact_sha256, c.key.threads, c.key.engine))
    found = _found(candidates, constraints, objectives, conditions)
    on_front = set(pareto.front([axes(candidate, objectives, constraints) for candidate in candidates]))
    standings = [candidate.standing(constraints) for candidate in candidates]
    by_id = {id(candidate): standing for candidate, standing in zip(candidates, standings, strict=True)}
    return Choice(
        status=_status(found), choice=by_id[id(found.equal[0])] if found.equal else None,
        ties=tuple(by_id[id(c)] for c in found.equal[1:]), undecided=tuple(by_id[id(c)] for c in found.undecided),
        front=tuple(s for i, s in enumerate(standings) if i in on_front),
        dominated=tuple(s for i, s in enumerate(standings) if i not in on_front),
        excluded=tuple(sorted([*left, *incomplete], key=_place)),
        reasons=reasons(found, label), constraints=tuple(constraints), objectives=tuple(objectives),
        conditions=conditions, nearest=found.nearest,
        penalties=tuple(penalties(kept, constraints, objectives, label)),
    )  # fmt: skip


def _place(one: Excluded) -> tuple[str, str, str, str]:
    return one.device or "", one.candidate, one.reason, one.measurement_id or ""


def _check(rows: Mapping[str, Sequence[Row]], names: Sequence[str], objectives: Sequence[Objective]) -> None:
    if not objectives:
        raise UsageError("Nothing says which of the candidates that fit is the best.", where="--maximize, --minimize",
                         next_step="For example --maximize top1, or --minimize latency.")  # fmt: skip
    if len({one.quantity for one in objectives}) < len(objectives):
        raise UsageError("An objective is given twice.", where="--maximize, --minimize", next_step="Give it once.")
    for device in rows:
        if not rows[device]:
            raise UsageError(f"Nothing measured on {device} is in the store.", where=device,
                             next_step=f"edgekit sweep --device {device} measures many candidates, edgekit deploy "
                             "one.")  # fmt: skip
    if not rows:
        raise UsageError("No device was named.", where="--device", next_step="Name one: --device host.")
    for name in filter(is_accuracy, names):
        sources = {row.quantities[name].source for some in rows.values() for row in some if name in row.quantities}
        if "published" in sources and len(sources) > 1:
            raise UsageError(
                f"Some of the candidates have a published {name} and others a measured one; the two can't be compared.",
                where="--accuracy", next_step="Take one source: --accuracy evaluations, FILE.csv or published.",
            )  # fmt: skip


def _screened(
    rows: Mapping[str, Sequence[Row]], names: Sequence[str], label: Label, strict: bool
) -> tuple[dict[str, list[Row]], dict[str, Conditions], list[Excluded]]:
    """The comparable rows of each device and their conditions, and everything that was left out."""
    kept: dict[str, list[Row]] = {}
    conditions: dict[str, Conditions] = {}
    left: list[Excluded] = []
    for device, some in rows.items():
        good, unusable = usable(device, some, names, label, strict=strict)
        if not good:
            raise _nothing_usable(device, unusable)
        kept[device], unlike = comparable(device, good, label)
        conditions[device] = kept[device][0].conditions
        told = len(kept[device]) + len(unusable) + len(unlike)
        left += [*unusable, *unlike, *older(device, some, told)]
    return kept, conditions, left


def _nothing_usable(device: str, left: Sequence[Excluded]) -> IncomparableError:
    # What is behind the colon may be of one measurement only.
    counted = Counter(one.reason.partition(": ")[0] for one in left)
    told = "; ".join(f"{count}: {reason}" for reason, count in counted.most_common(3))
    more = f"; and {len(counted) - 3} other reasons" if len(counted) > 3 else ""
    return IncomparableError(
        f"None of the {len(left)} measurements on {device} can be used ({told}{more}).", where=device,
        next_step="Measure or evaluate what is missing: edgekit sweep, edgekit evaluate.",
        excluded=[{"candidate": one.candidate, "reason": one.reason} for one in left[:100]],
    )  # fmt: skip


def _found(
    candidates: Sequence[Candidate],
    constraints: Sequence[Constraint],
    objectives: Sequence[Objective],
    conditions: dict[str, Conditions],
) -> Found:
    meeting = [candidate for candidate in candidates if candidate.answer]
    equal = best(meeting, objectives, constraints)
    doubtful = [candidate for candidate in candidates if candidate.answer is None]
    if equal:
        doubtful = [candidate for candidate in doubtful if beats(candidate, equal[0], objectives)]
    ordered = sorted(doubtful, key=lambda candidate: tuple(on(candidate, one).value for one in objectives))
    return Found(
        constraints=tuple(constraints), objectives=tuple(objectives), all=tuple(candidates), meeting=tuple(meeting),
        equal=tuple(equal), undecided=tuple(ordered),
        nearest=() if meeting else tuple(nearest(candidates, constraints)), conditions=conditions,
    )  # fmt: skip


def _status(found: Found) -> Status:
    if not found.equal:
        return "none"
    if found.undecided:
        return "undecided"
    return "tie" if len(found.equal) > 1 else "chosen"

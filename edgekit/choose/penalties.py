"""What it costs to choose by one device's measurements and to ship on another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from edgekit.choose.combine import Candidate
from edgekit.choose.comparable import Label, identity
from edgekit.choose.doubt import difference, meets
from edgekit.choose.quantities import on_log_scale, written_limit
from edgekit.choose.ranking import best, on
from edgekit.choose.rows import Row
from edgekit.selection import Constraint, Objective, Penalty


def penalties(
    rows: Mapping[str, Sequence[Row]], constraints: Sequence[Constraint], objectives: Sequence[Objective], label: Label
) -> list[Penalty]:
    """One for each ordered pair of devices, from each device's own comparable rows."""
    if len(rows) < 2:
        return []
    alone = {device: [_alone(device, row, constraints) for row in some] for device, some in rows.items()}
    chosen = {device: _chosen(some, objectives, constraints) for device, some in alone.items()}
    by_identity = {device: {identity(c.key): c for c in some} for device, some in alone.items()}
    return [
        _penalty(one, other, chosen, by_identity[other], constraints, objectives[0], label)
        for one in rows for other in rows if other != one
    ]  # fmt: skip


def _alone(device: str, row: Row, constraints: Sequence[Constraint]) -> Candidate:
    answers = tuple(meets(row.quantities[one.quantity], one.sense, one.limit) for one in constraints)
    return Candidate(row.candidate, {device: row}, row.quantities, row.quantities, answers)


def _chosen(
    candidates: Sequence[Candidate], objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> Candidate | None:
    meeting = [candidate for candidate in candidates if candidate.answer]
    return best(meeting, objectives, constraints)[0] if meeting else None


def _penalty(
    one: str,
    other: str,
    chosen: Mapping[str, Candidate | None],
    there: Mapping[tuple[str, int, str], Candidate],
    constraints: Sequence[Constraint],
    objective: Objective,
    label: Label,
) -> Penalty:
    """``there`` are the candidates on the ``other`` device."""
    ours, theirs = chosen[one], chosen[other]
    said = Penalty(chosen_on=one, used_on=other, candidate=None, quantity=objective.quantity, share=None)
    if ours is None:
        return replace(said, reason=f"no candidate certainly meets the constraints on {one}")
    said = replace(said, candidate=label(ours.key))
    same = there.get(identity(ours.key))
    if same is None:
        return replace(said, reason=f"it has no comparable measurement on {other}")
    said = replace(said, broken=_broken(same, constraints))
    if theirs is None:
        return replace(said, reason=f"no candidate certainly meets the constraints on {other}")
    if identity(theirs.key) == identity(ours.key):
        return replace(said, share=0.0, interval=(0.0, 0.0))
    middle, low, high = difference(on(same, objective), on(theirs, objective))
    if on_log_scale(objective.quantity):
        return replace(said, share=math.expm1(middle), interval=(math.expm1(low), math.expm1(high)))
    whole = abs(theirs.quantities[objective.quantity].value)
    if not whole:
        return replace(said, reason=f"the best {objective.quantity} on {other} is 0")
    return replace(said, share=middle / whole, interval=(low / whole, high / whole))


def _broken(candidate: Candidate, constraints: Sequence[Constraint]) -> tuple[str, ...]:
    """The constraints that it does not certainly keep."""
    found = []
    for constraint, answer in zip(constraints, candidate.answers, strict=True):
        if not answer:
            text = f"{constraint.quantity} {constraint.sense} {written_limit(constraint.quantity, constraint.limit)}"
            found.append(text if answer is False else f"{text} (the data don't say)")
    return tuple(found)

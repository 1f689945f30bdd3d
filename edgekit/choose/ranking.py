"""The best by objectives in their order, as far as the data can tell; and how far from a limit the others are."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.choose.combine import Candidate
from edgekit.choose.doubt import Point, excess, point
from edgekit.choose.pareto import Axes, front
from edgekit.selection import Constraint, Direction, Objective, Sense, Shortfall


def on(candidate: Candidate, objective: Objective) -> Point:
    """The candidate's figure for this objective."""
    return point(objective.quantity, objective.direction, candidate.quantities[objective.quantity])


def best(
    candidates: Sequence[Candidate], objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> list[Candidate]:
    """Those that can't be told from the best, the one with the best figures first.

    By the first objective whoever another one certainly beats falls out; the next objectives decide among the rest. Of
    those who are left, whoever another one dominates falls out too, the figures of the constraints being counted: with
    one accuracy, four threads that are certainly faster go before one.
    """
    left = list(candidates)
    for objective in objectives:
        if len(left) > 1:
            left = [left[index] for index in front([(on(candidate, objective),) for candidate in left])]
    left = [left[index] for index in front([axes(candidate, objectives, constraints) for candidate in left])]
    aims = [*objectives, *aims_of(constraints, objectives)]
    return sorted(left, key=lambda candidate: _order(candidate, aims))


def axes(candidate: Candidate, objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> Axes:
    """What decides whether another one dominates the candidate: the objectives and the constraints' figures.

    A constraint holds on every device: where figures are means over them, the worst device's counts for it. So whoever
    dominates a candidate that keeps the constraints keeps them too.
    """
    means = candidate.worst is not candidate.quantities
    bounds = aims_of(constraints, () if means else objectives)
    return (
        *(on(candidate, objective) for objective in objectives),
        *(point(one.quantity, one.direction, candidate.worst[one.quantity]) for one in bounds),
    )


def aims_of(constraints: Sequence[Constraint], objectives: Sequence[Objective]) -> list[Objective]:
    """The constraints' figures that are no objectives: an upper bound says that less is better, a lower one more."""
    toward: dict[str, Direction] = {one.quantity: _SENSES[one.sense] for one in constraints}
    known = {objective.quantity for objective in objectives}
    return [Objective(quantity=name, direction=way) for name, way in toward.items() if name not in known]


_SENSES: dict[Sense, Direction] = {"<=": "minimize", ">=": "maximize"}


def _order(candidate: Candidate, aims: Sequence[Objective]) -> tuple[tuple[float, ...], str, str, int]:
    key = candidate.key
    return tuple(on(candidate, aim).value for aim in aims), key.label, key.artifact_sha256, key.threads


def beats(one: Candidate, other: Candidate, objectives: Sequence[Objective]) -> bool:
    """Whether ``one`` is better by the first objective on which the two are certainly different."""
    for objective in objectives:
        ours, theirs = on(one, objective), on(other, objective)
        if excess(ours, theirs) < 0:
            return True
        if excess(theirs, ours) < 0:
            return False
    return False


def shortfalls(candidate: Candidate, constraints: Sequence[Constraint]) -> list[Shortfall]:
    """By how much the candidate misses each constraint that it does not certainly keep, on its worst device.

    ``value`` is the figure itself; where it keeps the limit and only its interval reaches over it, ``by`` is what the
    end of the interval misses it by.
    """
    found: list[Shortfall] = []
    for constraint, answer in zip(constraints, candidate.answers, strict=True):
        if answer:
            continue
        own = [_shortfall(candidate, constraint, device) for device in candidate.rows]
        found.append(max(own, key=lambda one: one.by))
    return found


def nearest(candidates: Sequence[Candidate], constraints: Sequence[Constraint], count: int = 3) -> list[Shortfall]:
    """The shortfalls of the candidates that come nearest to keeping every constraint, by their worst one."""
    missed = [own for candidate in candidates if (own := shortfalls(candidate, constraints))]
    missed.sort(key=lambda own: (max(one.by for one in own), own[0].candidate.label))
    return [one for own in missed[:count] for one in own]


def _shortfall(candidate: Candidate, constraint: Constraint, device: str) -> Shortfall:
    quantity = candidate.rows[device].quantities[constraint.quantity]
    sign = 1 if constraint.sense == "<=" else -1
    over = sign * (quantity.value - constraint.limit)
    if over <= 0:
        over = sign * ((quantity.high if sign > 0 else quantity.low) - constraint.limit)
    return Shortfall(
        candidate=candidate.key, quantity=constraint.quantity, value=quantity.value, limit=constraint.limit,
        by=over / abs(constraint.limit) if constraint.limit else over,
        device=device if len(candidate.rows) > 1 else None,
    )  # fmt: skip

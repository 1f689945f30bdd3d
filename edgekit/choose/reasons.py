"""Why this candidate, in sentences that can be checked against the figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgekit.choose.combine import Candidate
from edgekit.choose.comparable import Label
from edgekit.choose.doubt import difference
from edgekit.choose.quantities import (
    is_accuracy,
    is_share,
    on_log_scale,
    word,
    written,
    written_limit,
    written_with_doubt,
)
from edgekit.choose.ranking import aims_of, beats, on
from edgekit.choose.rows import MEMORY
from edgekit.selection import CandidateKey, Conditions, Constraint, Objective, Quantity, Shortfall

_LISTED = 3
# Of very many ties so many are tried, so that the time stays bounded; what is then said is weaker, and true.
_TRIED = 32


@dataclass(frozen=True)
class Found:
    """What was found, for the sentences about it; the tuples are best first."""

    constraints: tuple[Constraint, ...]
    objectives: tuple[Objective, ...]
    all: tuple[Candidate, ...]
    meeting: tuple[Candidate, ...]
    equal: tuple[Candidate, ...]
    undecided: tuple[Candidate, ...]
    nearest: tuple[Shortfall, ...]
    conditions: dict[str, Conditions]


def reasons(found: Found, label: Label) -> tuple[str, ...]:
    """The sentences, the most important first."""
    if not found.meeting:
        told = [_none_meets(found), *_nearest(found, label), *_undecided(found, None, label)]
    else:
        choice = found.equal[0]
        told = [*_why(found, choice, label), *_kept(found, choice), *_undecided(found, choice, label)]
    return (*told, *_doubts(found, label), *_sources(found), *_conditions(found.conditions))


def _why(found: Found, choice: Candidate, label: Label) -> list[str]:
    """Why the choice goes before the others that meet the constraints."""
    first = found.objectives[0]
    figure = _figure(choice, first)
    if len(found.meeting) == 1:
        others = len(found.all) - 1
        return [f"It is the only one of {len(found.all)} that certainly meets the constraints ({figure})."
                if others else f"It is the only candidate ({figure})."]  # fmt: skip
    told = []
    equal = set(found.equal)
    rivals = [candidate for candidate in found.meeting if candidate not in equal]
    if len(found.equal) > 1:
        names = _some([label(c.key) for c in found.equal[1:]])
        aims = " or ".join(f"{_goal(objective)}" for objective in found.objectives)
        told.append(f"The data can't tell it from {names} by {aims}; none of them has a better value than {figure}.")
        if rivals:
            which = " that meet the constraints" if found.constraints else ""
            verb = "is" if len(rivals) == 1 else "are"
            told.append(f"The other {len(rivals)}{which} {verb} certainly worse{_than(found, rivals)}.")
    elif rivals:
        rival = min(rivals, key=lambda c: tuple(on(c, objective).value for objective in found.objectives))
        told += [_ahead(choice, rival, found.objectives, label), _above(found, rivals)]
    return told


def _not_behind(found: Found, rivals: Sequence[Candidate]) -> int:
    """How many of those that fell out are not certainly worse than one of the best.

    "Can't be told from" does not carry over: whoever beat them may have fallen out itself, by a later objective. With
    one objective nobody can have, because dominance does carry over.
    """
    if len(found.objectives) == 1:
        return 0
    aims = [*found.objectives, *aims_of(found.constraints, found.objectives)]
    return sum(not any(beats(one, rival, aims) for one in found.equal[:_TRIED]) for rival in rivals)


def _than(found: Found, rivals: Sequence[Candidate]) -> str:
    return " than another candidate" if _not_behind(found, rivals) else ""


def _above(found: Found, rivals: Sequence[Candidate]) -> str:
    count = _not_behind(found, rivals)
    if not count:
        return "It is certainly better than every other one."
    return (f"It is certainly better than {len(rivals) - count} of the {len(rivals)} others; the rest are certainly "
            "worse than one that fell out itself, by a later objective.")  # fmt: skip


def _ahead(choice: Candidate, rival: Candidate, objectives: Sequence[Objective], label: Label) -> str:
    """The sentence about the next best, by the objective that decides."""
    for objective in objectives:
        middle, low, high = difference(on(choice, objective), on(rival, objective))
        if high < 0:
            name, ours = objective.quantity, _figure(choice, objective)
            theirs = written_with_doubt(name, rival.quantities[name])
            return (f"Its {word(name)} is {ours}, that of the next, {label(rival.key)}, {theirs}: "
                    f"{_gap(name, middle, low, high)} better.")  # fmt: skip
    return f"The next is {label(rival.key)}."


def _gap(name: str, middle: float, low: float, high: float) -> str:
    """By how much, as a share for times and in the figure's unit otherwise."""
    if on_log_scale(name):
        # How much longer the other one takes.
        ends = [math.expm1(-end) for end in (middle, high, low)]
        return f"{ends[0]:.1%} ({ends[1]:.1%} to {ends[2]:.1%})"
    if is_share(name):
        told = f"{-middle * 100:.2f} points"
        return told if low == high else f"{told} ({-high * 100:.2f} to {-low * 100:.2f})"
    if low == high:
        return written(name, -middle)
    return f"{written(name, -middle)} ({written(name, -high)} to {written(name, -low)})"


def _kept(found: Found, choice: Candidate) -> list[str]:
    """Each constraint with the figure that keeps it, on the device where that is worst."""
    told = []
    for constraint in found.constraints:
        sign = 1 if constraint.sense == "<=" else -1
        worst = max(choice.rows, key=lambda device: sign * choice.rows[device].quantities[constraint.quantity].value)
        quantity = choice.rows[worst].quantities[constraint.quantity]
        place = f" on {worst}" if len(choice.rows) > 1 else ""
        told.append(
            f"It meets {limit_text(constraint)}: {written_with_doubt(constraint.quantity, quantity)}{place}."
        )  # fmt: skip
    return told


def limit_text(constraint: Constraint) -> str:
    """``median latency at most 10.0 ms``."""
    sense = "at most" if constraint.sense == "<=" else "at least"
    return f"{word(constraint.quantity)} {sense} {written_limit(constraint.quantity, constraint.limit)}"


def _none_meets(found: Found) -> str:
    limits = " and ".join(limit_text(one) for one in found.constraints)
    return f"None of the {len(found.all)} candidates certainly meets {limits}."


def _nearest(found: Found, label: Label) -> list[str]:
    """One sentence for each of the nearest candidates, with every limit that it misses."""
    by_candidate: dict[CandidateKey, list[str]] = {}
    senses = {(one.quantity, one.limit): one.sense for one in found.constraints}
    for one in found.nearest:
        place = f" on {one.device}" if one.device else ""
        upper = senses[one.quantity, one.limit] == "<="
        inside = one.value <= one.limit if upper else one.value >= one.limit
        side = "over" if upper else "under"
        how = f"its interval reaches {one.by:.1%} {side}" if inside else f"{one.by:.1%} {side}"
        told = f"{word(one.quantity)} {written(one.quantity, one.value)}{place}, {how} the limit of "
        by_candidate.setdefault(one.candidate, []).append(told + written_limit(one.quantity, one.limit))
    return [f"Near: {label(candidate)}: {'; '.join(told)}." for candidate, told in by_candidate.items()]


def _undecided(found: Found, choice: Candidate | None, label: Label) -> list[str]:
    """What to measure, so that the data decide."""
    told = []
    for candidate in found.undecided[:_LISTED]:
        better = f"would be better ({_figure(candidate, found.objectives[0])})" if choice else "may meet them"
        doubts = []
        for constraint, answer in zip(found.constraints, candidate.answers, strict=True):
            if answer is None:
                device, quantity = _doubtful(candidate, constraint)
                place = f" on {device}" if len(candidate.rows) > 1 else ""
                doubts.append(f"whether its {word(constraint.quantity)} of "
                              f"{written_with_doubt(constraint.quantity, quantity)}{place} keeps "
                              f"{written_limit(constraint.quantity, constraint.limit)}")  # fmt: skip
        told.append(f"{label(candidate.key)} {better}, but the data don't say {' nor '.join(doubts)}. "
                    f"{_what_to_do(candidate, found.constraints)}")  # fmt: skip
    if len(found.undecided) > _LISTED:
        told.append(f"The same holds for {len(found.undecided) - _LISTED} more.")
    return told


def _doubtful(candidate: Candidate, constraint: Constraint) -> tuple[str, Quantity]:
    """The device on which the figure lies nearest to the limit, among those that leave it open."""
    own = {device: row.quantities[constraint.quantity] for device, row in candidate.rows.items()}
    open_ones = {device: one for device, one in own.items() if one.low <= constraint.limit <= one.high} or own
    device = min(open_ones, key=lambda name: abs(open_ones[name].value - constraint.limit))
    return device, own[device]


def _what_to_do(candidate: Candidate, constraints: Sequence[Constraint]) -> str:
    open_ones = [one.quantity for one, answer in zip(constraints, candidate.answers, strict=True) if answer is None]
    told = []
    if any(not is_accuracy(name) and name not in MEMORY for name in open_ones):
        told.append("Measure it again with more repeats, the others as well (edgekit sweep --repeats 9 --new).")
    if any(name in MEMORY for name in open_ones):
        told.append("The doubt about the memory is assumed, and repeats do not narrow it: move that limit.")
    if any(is_accuracy(name) for name in open_ones):
        told.append("Evaluate it on more samples (edgekit evaluate).")
    return " ".join(told)


def _doubts(found: Found, label: Label) -> list[str]:
    """What has to be known of the candidates that were compared."""
    told = []
    noisy = [label(c.key) for c in found.all if any(row.verdict == "noisy" for row in c.rows.values())]
    if noisy:
        told.append(f"Noisy, used with their intervals: {_some(noisy)}.")
    unchecked = [label(c.key) for c in found.all if any(row.parity is None for row in c.rows.values())]
    if unchecked:
        told.append(f"Not checked against their model (parity): {_some(unchecked)}.")
    emulated = sorted(d for d, conditions in found.conditions.items() if conditions.emulated)
    if emulated:
        told.append(f"{_some(emulated)}: emulated; a time measured there is no device's latency.")
    return told


def _sources(found: Found) -> list[str]:
    """Where the accuracies come from, and how intervals were come by that no measurement states."""
    told: dict[str, None] = {}
    names = [*(one.quantity for one in found.objectives), *(one.quantity for one in found.constraints)]
    for name in dict.fromkeys(names):
        some = [row.quantities[name] for c in found.all for row in c.rows.values()]
        if any(one.source == "published" for one in some):
            told |= dict.fromkeys(_weights(name, found.all))
        elif is_accuracy(name):
            exact = sum(one.low == one.high for one in some)
            if exact:
                told[f"{name} has no interval for {exact} of {len(some)} figures; these are taken as exact."] = None
        else:
            told |= {f"{word(name).capitalize()}: {one.note}.": None for one in some[:1] if one.note}
    return list(told)


def _weights(name: str, candidates: Sequence[Candidate]) -> list[str]:
    """Whether the measured files have the weights that the published figure is of."""
    origins = [{row.weights.partition(",")[0] for row in c.rows.values()} for c in candidates]
    counts = (
        (sum("random" in one for one in origins), "have random ones"),
        (sum(not one <= {"random", "pretrained"} for one in origins), "are not known to have these"),
    )
    return [f"{name} is published, for the published weights; {count} of the {len(candidates)} measured files {what}."
            for count, what in counts if count]  # fmt: skip


def _conditions(conditions: Mapping[str, Conditions]) -> list[str]:
    """Under what the compared rows were measured."""
    told = []
    for device, one in conditions.items():
        name = "" if one.device_name == device else f" ({one.device_name})"
        told.append(f"Compared on {device}{name}: clocks {one.clock_regime}, {one.plan.repeats} cold repeats of at "
                    f"least {one.plan.min_runs} runs, harness {one.harness} {one.harness_version}.")  # fmt: skip
    if len({(one.clock_regime, one.harness, one.plan) for one in conditions.values()}) > 1:
        told.append("The devices were measured under different clock regimes, harnesses or plans.")
    return told


def _figure(candidate: Candidate, objective: Objective) -> str:
    return written_with_doubt(objective.quantity, candidate.quantities[objective.quantity])


def _goal(objective: Objective) -> str:
    return word(objective.quantity)


def _some(names: Iterable[str]) -> str:
    """The first few, and how many more."""
    listed = list(dict.fromkeys(names))
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return "; ".join(listed[:_LISTED]) + more

"""One candidate on several devices: its figures on each, and over all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.choose.comparable import Label, identity
from edgekit.choose.doubt import Answer, meets
from edgekit.choose.rows import Row
from edgekit.errors import UsageError
from edgekit.selection import CandidateKey, Constraint, Direction, Excluded, Quantity, Standing

Across = Literal["worst", "weighted"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """``rows`` by device, ``quantities`` over all devices; ``answers`` are those to the constraints, in their order.

    ``worst`` has the figures of the worst device, where ``quantities`` are means; else it is ``quantities``.
    """

    key: CandidateKey
    rows: dict[str, Row]
    quantities: dict[str, Quantity]
    worst: dict[str, Quantity]
    answers: tuple[Answer, ...]

    @property
    def answer(self) -> Answer:
        """Whether every constraint is kept on every device: certainly, certainly not, or None."""
        return False if False in self.answers else None if None in self.answers else True

    def standing(self, constraints: Sequence[Constraint]) -> Standing:
        """The candidate for the record."""
        pairs = zip(constraints, self.answers, strict=True)
        return Standing(
            candidate=self.key, quantities=self.quantities,
            devices={device: row.quantities for device, row in self.rows.items()},
            measurements={device: row.measurement_id for device, row in self.rows.items()},
            verdicts={device: row.verdict for device, row in self.rows.items()},
            unmet=tuple(dict.fromkeys(constraint.quantity for constraint, answer in pairs if not answer)),
        )  # fmt: skip


def shares(devices: Sequence[str], across: Across, weights: Mapping[str, float] | None) -> dict[str, float] | None:
    """Each device's weight, all of them 1 together; None for the worst case.

    Raises:
        UsageError: a weight is missing, not above 0, or of another device.
    """
    if across == "worst":
        if weights:
            raise UsageError("Weights are for --across weighted.", where="--weight",
                             next_step="Add --across weighted, or leave --weight out.")  # fmt: skip
        return None
    given = dict(weights or dict.fromkeys(devices, 1.0))
    wrong = sorted(set(given) ^ set(devices))
    if wrong:
        raise UsageError(f"There has to be one weight for each device; {', '.join(wrong)} does not fit.",
                         where="--weight", next_step=f"The devices are {', '.join(devices)}.")  # fmt: skip
    if not all(math.isfinite(value) and value > 0 for value in given.values()):
        raise UsageError("A weight is not above 0.", where="--weight", next_step="For example --weight pixel7=0.7.")
    total = sum(given.values())
    return {device: given[device] / total for device in devices}


def combine(
    rows: Mapping[str, Sequence[Row]],
    constraints: Sequence[Constraint],
    toward: Mapping[str, Direction],
    weights: Mapping[str, float] | None,
    label: Label,
) -> tuple[list[Candidate], list[Excluded]]:
    """The candidates that were measured on every device, and those that were not.

    Args:
        rows: by device, one a candidate.
        toward: what is better, for every figure.
        weights: of the devices for their mean; None takes the worst of them.
    """
    by_identity: dict[tuple[str, int, str], dict[str, Row]] = {}
    for device, some in rows.items():
        for row in some:
            by_identity.setdefault(identity(row.candidate), {})[device] = row
    made: list[Candidate] = []
    left: list[Excluded] = []
    for own in by_identity.values():
        absent = [device for device in rows if device not in own]
        key = next(iter(own.values())).candidate
        if absent:
            reason = f"it has no comparable measurement on {' and '.join(absent)}"
            left += [
                Excluded(candidate=label(key), reason=reason, device=device, measurement_id=row.measurement_id)
                for device, row in own.items()
            ]
            continue
        over = _over(own, toward, weights)
        worst = _over(own, toward, None) if weights else over
        made.append(Candidate(key, own, over, worst, tuple(_answer(own, one) for one in constraints)))
    return made, left


def _answer(rows: Mapping[str, Row], constraint: Constraint) -> Answer:
    """Whether the constraint is kept on each device."""
    answers = [meets(row.quantities[constraint.quantity], constraint.sense, constraint.limit) for row in rows.values()]
    return False if False in answers else None if None in answers else True


def _over(
    rows: Mapping[str, Row], toward: Mapping[str, Direction], weights: Mapping[str, float] | None
) -> dict[str, Quantity]:
    """Every figure that all devices give, over all of them."""
    first, *others = rows.values()
    if not others:
        return first.quantities
    found: dict[str, Quantity] = {}
    for name, quantity in first.quantities.items():
        own = {device: row.quantities[name] for device, row in rows.items() if name in row.quantities}
        if len(own) < len(rows):
            continue
        if all(other == quantity for other in own.values()):
            found[name] = quantity
        else:
            found[name] = _mean(own, weights) if weights else _worst(own, toward[name])
    return found


def _worst(own: Mapping[str, Quantity], toward: Direction) -> Quantity:
    """The worst case; each end of its interval is the worst of the devices' ends."""
    pick = max if toward == "minimize" else min
    device = pick(own, key=lambda name: own[name].value)
    return Quantity(
        value=own[device].value, low=pick(one.low for one in own.values()), high=pick(one.high for one in own.values()),
        source=own[device].source, note=f"on {device}, the worst of {len(own)} devices",
    )  # fmt: skip


def _mean(own: Mapping[str, Quantity], weights: Mapping[str, float]) -> Quantity:
    """The weighted mean; its interval is recovered from the separate ones (Zou and Donner 2008, eq. 2)."""
    value = math.fsum(weights[device] * one.value for device, one in own.items())
    below = math.hypot(*(weights[device] * (one.value - one.low) for device, one in own.items()))
    above = math.hypot(*(weights[device] * (one.high - one.value) for device, one in own.items()))
    told = ", ".join(f"{device} {weights[device]:.0%}" for device in own)
    source = next(iter(own.values())).source
    return Quantity(value=value, low=value - below, high=value + above, source=source, note=f"mean over {told}")

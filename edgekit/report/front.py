"""Which candidates another one certainly beats, where no choice was asked for: by the rules of a choice."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.choose import pareto
from edgekit.choose.comparable import UNUSABLE
from edgekit.choose.doubt import Point, point
from edgekit.report.data import Candidate, Rank
from edgekit.selection import Quantity


def ranks(candidates: Sequence[Candidate], metric: str | None) -> list[Rank]:
    """Front, dominated, not placed or not usable, for each candidate within its group.

    The one axis is the cost (time, or what was counted), the other one accuracy if ``metric`` is known, else the
    file's size. A candidate is dominated only if the 95% intervals say so, see :mod:`edgekit.choose.pareto`.
    """
    found: list[Rank] = ["unplaced" if usable(one) else "unusable" for one in candidates]
    for group in {(one.group, one.unit) for one in candidates}:
        placed = [(place, axes) for place, one in enumerate(candidates)
                  if (one.group, one.unit) == group and usable(one) and (axes := _axes(one, metric))]  # fmt: skip
        best = set(pareto.front([axes for _, axes in placed]))
        for number, (place, _) in enumerate(placed):
            found[place] = "front" if number in best else "dominated"
    return found


def worth(candidate: Candidate, metric: str | None) -> Quantity | None:
    """What the other axis shows: the accuracy, or the exact size; None if it is not known."""
    if metric is not None:
        return candidate.accuracy
    count = float(candidate.artifact.bytes)
    return Quantity(value=count, low=count, high=count, source="counted")


def usable(candidate: Candidate) -> bool:
    """Whether it has figures that may be compared."""
    return candidate.cost is not None and candidate.measurement.verdict not in UNUSABLE


def _axes(one: Candidate, metric: str | None) -> tuple[Point, Point] | None:
    other = worth(one, metric)
    if one.cost is None or other is None:
        return None
    cost = point("p50_ms" if one.unit == "ms" else one.unit, "minimize", one.cost)
    return cost, point(metric or "size_bytes", "maximize" if metric else "minimize", other)

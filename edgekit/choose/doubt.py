"""What two figures with their intervals say about each other.

The interval of a difference is recovered from the two separate ones: G. Zou and A. Donner, Construction of confidence
limits about effect measures, Statistics in Medicine 27 (2008), eq. 1. On logarithms it is that of
:func:`edgekit.measure.ratio.of_intervals`; here it is on points of either scale, made once for the many pairs of a
front.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from edgekit.choose.quantities import on_log_scale
from edgekit.selection import Direction, Quantity, Sense

Answer = bool | None
# Below this a time can't be told from none; it keeps the logarithm finite.
_LEAST_MS = 1e-9


class Point(NamedTuple):
    """A figure on the scale on which it is compared, turned so that less is better.

    ``below`` and ``above`` are the distances from ``value`` to the ends of its interval.
    """

    value: float
    below: float
    above: float
    evidence: str | None = None


def point(name: str, direction: Direction, quantity: Quantity) -> Point:
    """The figure called ``name`` as a point."""
    value, low, high = quantity.value, quantity.low, quantity.high
    if on_log_scale(name):
        value, low, high = (math.log(max(figure, _LEAST_MS)) for figure in (value, low, high))
    below, above = max(value - low, 0.0), max(high - value, 0.0)
    if direction == "maximize":
        return Point(-value, above, below, quantity.evidence)
    return Point(value, below, above, quantity.evidence)


def excess(a: Point, b: Point) -> float:
    """The upper end of the 95% interval of ``a - b``: below 0, a is certainly better; at most 0, certainly not worse.

    The two are taken to be independent, unless they are one and the same figure.
    """
    if a.evidence is not None and a.evidence == b.evidence:
        return 0.0
    return a.value - b.value + math.hypot(a.above, b.below)


def difference(a: Point, b: Point) -> tuple[float, float, float]:
    """``a - b`` with the ends of its 95% interval, on the points' scale."""
    if a.evidence is not None and a.evidence == b.evidence:
        return 0.0, 0.0, 0.0
    middle = a.value - b.value
    return middle, middle - math.hypot(a.below, b.above), middle + math.hypot(a.above, b.below)


def meets(quantity: Quantity, sense: Sense, limit: float) -> Answer:
    """Whether the figure keeps the limit: true or false if its whole interval says so, else None."""
    if sense == "<=":
        return True if quantity.high <= limit else False if quantity.low > limit else None
    return True if quantity.low >= limit else False if quantity.high < limit else None

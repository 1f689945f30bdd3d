"""How sure a difference is, and how sure it still is when many were looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.measure.ratio import Ratio
from edgekit.measure.student import student_t95
from edgekit.records import Measurement

# The share of the differences that are called one which may be none.
ALPHA = 0.05


def student_p(t: float, freedom: int) -> float:
    """Two-sided probability of a Student's t of this size or more, with a whole number of degrees of freedom.

    The finite series of M. Abramowitz and I. Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for step in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (step - 1) / step
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return min(1.0, max(0.0, 1 - inside))


def adjusted(probabilities: Sequence[float]) -> list[float]:
    """The probabilities adjusted for their number, in the same order.

    If those at or below a level are called differences, at most that share of them is none, on average; where nothing
    differs at all, any is called one at most that often. Y. Benjamini and Y. Hochberg, Controlling the false discovery
    rate, Journal of the Royal Statistical Society B 57 (1995); it holds for independent and for positively dependent
    ones. S. Holm's adjustment (1979), which bounds the chance of a single false one among many true ones too, would
    need more cold starts than are usual: a few leave every probability far from 0.
    """
    count = len(probabilities)
    found = [1.0] * count
    smallest = 1.0
    order = sorted(range(count), key=lambda index: probabilities[index])
    for rank in range(count, 0, -1):
        place = order[rank - 1]
        smallest = min(smallest, probabilities[place] * count / rank)
        found[place] = smallest
    return found


def paired_p(ratio: Ratio) -> float:
    """Of a ratio made from interleaved rounds: how often equal times would come out so far apart."""
    freedom = ratio.rounds - 1
    half = (math.log(ratio.high) - math.log(ratio.low)) / 2
    return _p(math.log(ratio.ratio), half / student_t95(freedom), freedom)


def separate_p(a: Measurement, b: Measurement) -> float:
    """The same of two measurements with intervals: B. Welch's test, from the sides that face each other.

    A stated interval is at least Student's of the repeats' medians, so that its half width over Student's factor is
    at least the standard error. Between whole degrees of freedom lies a straight line, which is above the curve.
    B. Welch, The generalization of 'Student's' problem when several different population variances are involved,
    Biometrika 34 (1947).
    """
    (base, *base_ends), (other, *other_ends) = _logs(a), _logs(b)
    up = other >= base
    halves = (base_ends[1] - base, other - other_ends[0]) if up else (base - base_ends[0], other_ends[1] - other)
    freedoms = [max(1, run.plan.repeats - 1) for run in (a, b)]
    squares = [(max(half, 0.0) / student_t95(free)) ** 2 for half, free in zip(halves, freedoms, strict=True)]
    spread = sum(square**2 / free for square, free in zip(squares, freedoms, strict=True))
    freedom = max(1.0, sum(squares) ** 2 / spread) if spread > 0 else 1.0
    below, error = int(freedom), math.sqrt(sum(squares))
    ends = (_p(other - base, error, below), _p(other - base, error, below + 1))
    return ends[0] + (freedom - below) * (ends[1] - ends[0])


def mean_of(ratios: Sequence[Ratio]) -> Ratio:
    """Geometric mean of at least one ratio, with the 95% interval of these candidates' mean, not of any others'.

    The geometric mean because it is the same whichever of the two runs is divided by the other: P. Fleming and
    J. Wallace, How not to lie with statistics, Communications of the ACM 29 (1986). The interval is recovered from
    the ratios' own: G. Zou, W. Huang and X. Zhang, A note on confidence interval estimation for a linear function of
    binomial proportions, Computational Statistics and Data Analysis 53 (2009), on logarithms. What moves all of them
    together, as another machine or another day does, is not in it.
    """
    middles = [math.log(one.ratio) for one in ratios]
    below = math.hypot(*(middle - math.log(one.low) for middle, one in zip(middles, ratios, strict=True)))
    above = math.hypot(*(math.log(one.high) - middle for middle, one in zip(middles, ratios, strict=True)))
    count = len(ratios)
    middle = math.fsum(middles) / count
    return Ratio(math.exp(middle), math.exp(middle - below / count), math.exp(middle + above / count))


def _p(difference: float, error: float, freedom: int) -> float:
    if error <= 0:
        return 0.0 if difference else 1.0
    return student_p(difference / error, freedom)


def _logs(measurement: Measurement) -> tuple[float, float, float]:
    low, high = measurement.ci95_ms or (0.0, 0.0)
    return math.log(measurement.p50_ms or 0.0), math.log(low), math.log(high)

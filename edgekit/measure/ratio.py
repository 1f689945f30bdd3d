"""How much slower one thing is than another, with the doubt: from interleaved rounds, or from two stated intervals.

Ratios are compared on the logarithmic scale, on which a slowdown and the equal speed-up are of one size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from edgekit.measure.student import student_t95
from edgekit.records import Measurement, Repeat


@dataclass(frozen=True)
class Ratio:
    """``ratio`` of the candidate's median time to the baseline's, with its 95% interval; above 1 is slower.

    ``rounds`` counts the pairs it was made from; 0 where it was recovered from two intervals.
    """

    ratio: float
    low: float
    high: float
    rounds: int = 0

    @property
    def slower(self) -> bool:
        """Whether the data say that the candidate is slower."""
        return self.low > 1

    @property
    def faster(self) -> bool:
        """Whether the data say that the candidate is faster."""
        return self.high < 1


def paired(rounds: Sequence[tuple[Repeat, Repeat]]) -> Ratio | None:
    """From interleaved rounds of (baseline, candidate), each a process of its own; None with fewer than two.

    A change of the machine that lasts longer than a round touches both sides of a pair and cancels. The interval is
    Student's on the logarithms of the pairs' ratios of medians (W. Gosset, The probable error of a mean, 1908).
    """
    logs = [math.log(median(candidate.samples_ns) / median(baseline.samples_ns)) for baseline, candidate in rounds
            if baseline.samples_ns and candidate.samples_ns]  # fmt: skip
    if len(logs) < 2:
        return None
    middle = fmean(logs)
    half = student_t95(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(logs))


def recovered(baseline: Measurement, candidate: Measurement) -> Ratio | None:
    """From the two measurements' medians and 95% intervals; None where one has none.

    The interval of a difference recovered from separate intervals: G. Zou and A. Donner, Construction of confidence
    limits about effect measures, Statistics in Medicine 27 (2008), eq. 1, on logarithms. It takes the two to be
    independent; measured side by side they are less than that, and the interval is wider than it need be.
    """
    if not baseline.p50_ms or not candidate.p50_ms or baseline.ci95_ms is None or candidate.ci95_ms is None:
        return None
    return of_intervals((baseline.p50_ms, *baseline.ci95_ms), (candidate.p50_ms, *candidate.ci95_ms))


def of_intervals(baseline: tuple[float, float, float], candidate: tuple[float, float, float]) -> Ratio:
    """The same from (value, low, high) of each, all of them above 0."""
    base, base_low, base_high = (math.log(value) for value in baseline)
    other, other_low, other_high = (math.log(value) for value in candidate)
    low = other - base - math.hypot(other - other_low, base_high - base)
    high = other - base + math.hypot(other_high - other, base - base_low)
    return Ratio(math.exp(other - base), math.exp(low), math.exp(high))

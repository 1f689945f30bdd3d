from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.choose.doubt import Answer, difference, excess, meets, point
from edgekit.measure.ratio import of_intervals
from edgekit.selection import Quantity, Sense
from tests.unit.choose.made import quantity

TIMES = st.floats(0.01, 1000)
SHARES = st.floats(0, 0.5)


def time(value: float, below: float, above: float) -> Quantity:
    return quantity(value, low=value * (1 - below), high=value * (1 + above))


@given(TIMES, SHARES, SHARES, TIMES, SHARES, SHARES)
@settings(deadline=None)
def test_times_are_compared_as_the_ratio_of_intervals_says(
    a: float, a_below: float, a_above: float, b: float, b_below: float, b_above: float
) -> None:
    ours, theirs = time(a, a_below, a_above), time(b, b_below, b_above)
    ratio = of_intervals((theirs.value, theirs.low, theirs.high), (ours.value, ours.low, ours.high))
    one, other = (point("p50_ms", "minimize", figure) for figure in (ours, theirs))
    middle, low, high = difference(one, other)
    assert [math.exp(end) for end in (middle, low, high)] == pytest.approx([ratio.ratio, ratio.low, ratio.high])
    assert excess(one, other) == pytest.approx(math.log(ratio.high), abs=1e-12)


def test_what_is_to_be_large_is_turned_round() -> None:
    better, worse = (point("top1", "maximize", quantity(share, 0.01)) for share in (0.75, 0.70))
    assert excess(better, worse) < 0 < excess(worse, better)
    assert difference(better, worse) == pytest.approx((-0.05, -0.05 - math.hypot(0.01, 0.01), -0.05 + 0.0141421), 1e-4)


def test_intervals_may_overlap_and_the_difference_still_be_certain() -> None:
    """The interval of a difference is shorter than the two together."""
    a, b = (point("miou", "minimize", quantity(value, 1.0)) for value in (10.0, 11.5))
    assert excess(a, b) < 0
    assert excess(a, point("miou", "minimize", quantity(11.4, 1.0))) > 0


def test_one_and_the_same_figure_is_not_in_doubt() -> None:
    same = point("top1", "maximize", quantity(0.7, 0.05, evidence="one file"))
    other = point("top1", "maximize", quantity(0.7, 0.05, evidence="another"))
    assert excess(same, same) == 0
    assert difference(same, same) == (0, 0, 0)
    assert excess(same, other) > 0


def test_a_time_of_nothing_stays_finite() -> None:
    assert math.isfinite(point("p50_ms", "minimize", quantity(0.0)).value)


@pytest.mark.parametrize(
    ("low", "high", "sense", "answer"),
    [
        (9, 10, "<=", True), (9, 10.1, "<=", None), (10.1, 11, "<=", False), (10, 11, "<=", None),
        (10, 11, ">=", True), (9.9, 11, ">=", None), (9, 9.9, ">=", False), (9, 10, ">=", None),
    ],
)  # fmt: skip
def test_a_limit_is_kept_if_the_whole_interval_says_so(low: float, high: float, sense: Sense, answer: Answer) -> None:
    assert meets(quantity((low + high) / 2, low=low, high=high), sense, 10.0) is answer

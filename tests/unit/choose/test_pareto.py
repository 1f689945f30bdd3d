from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.choose import pareto
from edgekit.choose.doubt import Point
from edgekit.choose.pareto import Axes, dominates, front

# Few values, so that figures are equal and intervals touch.
FIGURE = st.integers(0, 8).map(float)
GAP = st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0])
AXIS = st.one_of(
    st.builds(Point, FIGURE, GAP, GAP, st.none()),
    # One evidence has one figure.
    st.integers(0, 2).map(lambda number: Point(float(number), 1.0, 1.0, f"evidence {number}")),
)
POINTS = st.integers(1, 3).flatmap(lambda axes: st.lists(st.tuples(*[AXIS] * axes), min_size=1, max_size=30))


def scattered(count: int, axes: int, seed: int = 0) -> list[Axes]:
    """Points about a curve on which less of one axis is more of another."""
    source = random.Random(seed)
    made = []
    for _ in range(count):
        first = source.random()
        rest = [(1 - first) + source.gauss(0, 0.1) for _ in range(axes - 1)]
        made.append(tuple(Point(value, source.uniform(0, 0.02), source.uniform(0, 0.02)) for value in (first, *rest)))
    return made


def slowly(points: list[Axes]) -> list[int]:
    return [i for i, a in enumerate(points) if not any(dominates(b, a) for b in points)]


@given(POINTS)
@settings(max_examples=400, deadline=None)
def test_the_front_holds_exactly_what_no_other_dominates(points: list[Axes]) -> None:
    assert front(points) == slowly(points)


@given(POINTS)
@settings(deadline=None)
def test_what_is_dominated_is_dominated_by_a_member_of_the_front(points: list[Axes]) -> None:
    kept = front(points)
    assert kept
    for index, axes in enumerate(points):
        assert index in kept or any(dominates(points[other], axes) for other in kept)


@given(POINTS)
@settings(deadline=None)
def test_dominance_is_transitive_and_never_mutual(points: list[Axes]) -> None:
    for a in points[:8]:
        assert not dominates(a, a)
        for b in points[:8]:
            assert not (dominates(a, b) and dominates(b, a))
            for c in points[:8]:
                if dominates(a, b) and dominates(b, c):
                    assert dominates(a, c)


@given(POINTS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_does_not_matter(points: list[Axes], source: random.Random) -> None:
    places = list(range(len(points)))
    source.shuffle(places)
    mixed = front([points[place] for place in places])
    assert sorted(places[index] for index in mixed) == front(points)


@given(POINTS, st.data())
@settings(deadline=None)
def test_adding_a_dominated_point_changes_nothing(points: list[Axes], data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(points))
    worse = tuple(Point(axis.value + 20 + axis.above, 1.0, 1.0) for axis in model)
    assert dominates(model, worse)
    assert front([*points, worse]) == front(points)


def test_a_tenth_more_is_no_domination_where_the_intervals_are_wide() -> None:
    near, far = (Point(1.0, 0.2, 0.2), Point(5.0, 0.0, 0.0)), (Point(1.1, 0.2, 0.2), Point(5.0, 0.0, 0.0))
    assert not dominates(near, far)
    assert front([near, far]) == [0, 1]


def test_one_file_by_more_threads_dominates_it_by_fewer() -> None:
    accuracy = Point(-0.7, 0.05, 0.05, "the file's accuracy")
    fast, slow = (Point(1.0, 0.01, 0.01), accuracy), (Point(2.0, 0.01, 0.01), accuracy)
    assert front([slow, fast]) == [1]
    # The same accuracy of another file is not certainly as good.
    assert front([slow, (fast[0], accuracy._replace(evidence="another"))]) == [0, 1]


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_arrays_find_what_loops_find(axes: int) -> None:
    points = scattered(2500, axes)
    points += [(Point(0.4, 0.01, 0.01), *[Point(0.45, 0.05, 0.05, "one evidence")] * (axes - 1))] * 3
    assert len(points) > pareto._MANY
    order = sorted(range(len(points)), key=lambda index: tuple(axis.value for axis in points[index]))
    assert front(points) == sorted(pareto._by_loops(points, order))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_ten_thousand_points(axes: int) -> None:
    points = scattered(10_000, axes)
    found = front(points)
    assert found and len(found) < 5000
    for index in found[:50]:
        assert not any(dominates(other, points[index]) for other in points)


def test_ten_thousand_that_are_all_alike_on_one_axis() -> None:
    points = [(Point(1 + index * 1e-9, 0.1, 0.1 + index * 1e-9),) for index in range(10_000)]
    assert len(front(points)) == 10_000


def test_nothing_has_no_front() -> None:
    assert front([]) == []

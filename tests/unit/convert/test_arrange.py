from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekit.convert.arrange import Extent, agreeing, closest, extent

VALUE = np.random.default_rng(0).normal(size=(1, 6, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_any_order_of_the_axes_is_found_and_undone(order: tuple[int, ...]) -> None:
    other = VALUE.transpose(0, *order)
    found = agreeing(VALUE, other, 0.0)
    assert found is not None
    assert np.array_equal(found.ours, found.theirs)
    assert np.array_equal(found.restored(), VALUE)


def test_merged_axes_are_found_from_either_side() -> None:
    tokens = VALUE.transpose(0, 2, 3, 1).reshape(20, 6)
    for one, other in ((VALUE, tokens), (tokens, VALUE)):
        found = agreeing(one, other, 0.0)
        assert found is not None and np.array_equal(found.restored(), one)


def test_other_values_or_another_place_do_not_agree() -> None:
    other = VALUE.copy()
    other[0, 3, 2, 1] += 1e-2
    assert agreeing(VALUE, other, 1e-3) is None
    assert agreeing(VALUE, other, 2e-2) is not None
    # The same numbers, but no order of the axes leads from one to the other.
    assert agreeing(VALUE, np.roll(VALUE, 1, axis=1), 1e-3) is None
    assert agreeing(VALUE, np.full_like(VALUE, np.nan), 1e9) is None


def test_the_closest_arrangement_survives_a_wrong_value() -> None:
    other = VALUE.transpose(0, 2, 3, 1).copy()
    other[0, 1, 2, 3] = np.float32(3e38)
    found, share = closest(VALUE, other, 1e-6)
    assert share == pytest.approx(119 / 120, abs=1e-3)
    wrong = found.restored() != VALUE
    assert np.argwhere(wrong).tolist() == [[0, 3, 1, 2]]
    noisy = VALUE.transpose(0, 2, 3, 1) + np.float32(0.1) * np.random.default_rng(1).normal(size=(1, 4, 5, 6))
    assert np.abs(closest(VALUE, noisy, 1e-6)[0].restored() - VALUE).max() < 0.5


def test_five_moving_axes_are_compared_as_they_are() -> None:
    value = np.random.default_rng(0).normal(size=(2, 3, 2, 3, 2))
    assert agreeing(value, value.copy(), 0.0) is not None
    assert agreeing(value, value.transpose(4, 3, 2, 1, 0).copy(), 0.0) is None


def test_extents_tell_tensors_apart_that_no_rearrangement_makes_equal() -> None:
    own = extent(VALUE)
    assert own == Extent(120, float(VALUE.min()), float(VALUE.max()), pytest.approx(float(VALUE.mean()), rel=1e-4))
    assert own.peak == np.abs(VALUE).max()
    assert own.near(extent(VALUE.transpose(0, 3, 1, 2)), 1e-7)
    assert not own.near(extent(VALUE + 1e-2), 1e-3)
    assert not own.near(extent(VALUE[:, :3]), 10.0)
    assert not own.near(extent(np.where(VALUE > 2, np.nan, VALUE)), 1e9)

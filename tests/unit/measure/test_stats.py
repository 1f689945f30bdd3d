from __future__ import annotations

import numpy as np
import pytest

from edgekit.measure.stats import median_interval, repeat_spread, summarise, trimmed_mean

MS = 1_000_000


def test_figures_of_known_samples() -> None:
    found = summarise([[i * MS for i in range(1, 101)]])
    assert found.samples == 100
    assert (found.min_ms, found.p50_ms, found.max_ms) == (1.0, 50.5, 100.0)
    assert found.p90_ms == pytest.approx(90.1)
    assert found.p99_ms == pytest.approx(99.01)
    assert found.trimmed_mean_ms == 50.5
    assert found.repeat_spread is None


def test_trimmed_mean_drops_a_tenth_at_each_end() -> None:
    assert trimmed_mean(np.array([1e9, 5.0, 5, 5, 5, 6, 6, 6, 6, -1e9])) == 5.5


def test_repeat_spread_is_of_the_medians() -> None:
    repeats = [np.array([1.0, 10, 99]), np.array([11.0, 11, 11]), np.array([10.5, 0, 77])]
    assert repeat_spread(repeats) == pytest.approx(1 / 10.5)


def test_equal_samples_have_an_interval_of_no_width() -> None:
    assert median_interval([np.full(50, 7.0)] * 3) == pytest.approx((7.0, 7.0))


def test_the_interval_is_the_same_for_the_same_seed() -> None:
    repeats = [np.random.default_rng(i).normal(5, 1, 300) for i in range(3)]
    assert median_interval(repeats, seed=3) == median_interval(repeats, seed=3)
    assert median_interval(repeats, seed=3) != median_interval(repeats, seed=4)


def test_for_independent_samples_the_interval_is_that_of_theory() -> None:
    # Asymptotically the median's standard error is sqrt(pi / 2) * sigma / sqrt(n).
    sample = np.random.default_rng(0).normal(100, 1, 2000)
    low, high = median_interval([sample])
    width = 2 * 1.96 * np.sqrt(np.pi / 2) / np.sqrt(2000)
    assert low < np.median(sample) < high
    assert 0.75 * width < high - low < 1.35 * width


def test_repeats_that_differ_widen_the_interval() -> None:
    noise = [np.random.default_rng(i).normal(0, 0.1, 500) for i in range(3)]
    alike = median_interval([10 + values for values in noise])
    apart = median_interval([10 + shift + values for shift, values in zip((-0.5, 0, 0.5), noise, strict=True)])
    assert alike[1] - alike[0] < 0.05
    assert apart[1] - apart[0] > 0.6
    assert apart[0] < 10 < apart[1]


def test_successive_samples_that_are_alike_widen_the_interval() -> None:
    steps = np.random.default_rng(0).normal(0, 1, 2000)
    wandering = np.empty(2000)
    level = 0.0
    for i, step in enumerate(steps):
        level = 0.9 * level + step
        wandering[i] = level
    shuffled = np.random.default_rng(1).permutation(wandering)
    blocks, independent = median_interval([wandering]), median_interval([shuffled])
    assert blocks[1] - blocks[0] > 1.8 * (independent[1] - independent[0])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for trial in range(200):
        sample = np.random.default_rng(trial).exponential(1.0, 200)
        low, high = median_interval([sample], seed=trial, resamples=300)
        hits += low <= np.log(2) <= high
    assert 0.89 <= hits / 200 <= 0.985


@pytest.mark.parametrize("lengths", [(1,), (1, 1), (2, 50), (7, 50, 13), (20_000, 19_000, 21_000)])
def test_repeats_of_any_length(lengths: tuple[int, ...]) -> None:
    repeats = [np.random.default_rng(n).normal(5, 0.1, n) for n in lengths]
    low, high = median_interval(repeats)
    assert 4.5 < low <= high < 5.5

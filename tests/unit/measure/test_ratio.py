from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from edgekit.measure import ratio
from edgekit.measure.student import student_t95
from edgekit.records import DeviceState, Repeat


def repeat(middle_ns: float) -> Repeat:
    return Repeat(samples_ns=(int(middle_ns * 0.9), int(middle_ns), int(middle_ns * 1.3)), warmup_ns=(), load_cold_ns=0,
                  load_warm_ns=0, first_ns=0, overhead_ns=0, timed_out=False, warmup_stable=True, started="",
                  state_before=DeviceState(), state_after=DeviceState())  # fmt: skip


@pytest.mark.parametrize("freedom", [1, 2, 7, 30, 31, 60, 1000])
def test_students_quantiles_are_those_of_scipy(freedom: int) -> None:
    assert student_t95(freedom) == pytest.approx(reference.t.ppf(0.975, freedom), rel=2e-4)


def test_a_drift_that_touches_both_sides_cancels() -> None:
    rounds = [(repeat(1e6 * drift), repeat(1.05e6 * drift)) for drift in (1.0, 1.4, 0.8, 2.0)]
    found = ratio.paired(rounds)
    assert found is not None and found.slower and not found.faster
    assert found.ratio == pytest.approx(1.05, rel=1e-5) and found.rounds == 4
    assert found.high - found.low < 1e-4


def test_one_round_says_nothing() -> None:
    assert ratio.paired([(repeat(1e6), repeat(2e6))]) is None
    assert ratio.paired([]) is None


def test_the_paired_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(600):
        noise = generator.normal(0, 0.02, size=(6, 2))
        pairs = [(repeat(1e9 * math.exp(a)), repeat(1.03e9 * math.exp(b))) for a, b in noise]
        found = ratio.paired(pairs)
        assert found is not None
        covered += found.low <= 1.03 <= found.high
    assert 0.92 <= covered / 600 <= 0.98


def test_a_ratio_of_two_intervals() -> None:
    found = ratio.of_intervals((10.0, 9.5, 10.5), (11.0, 10.8, 11.2))
    assert found.ratio == pytest.approx(1.1) and found.low < 1.1 < found.high
    # Two sides of equal doubt: the root of the sum of squares, on logarithms.
    same = ratio.of_intervals((1.0, math.exp(-0.03), math.exp(0.03)), (1.0, math.exp(-0.04), math.exp(0.04)))
    assert math.log(same.high) == pytest.approx(0.05) and math.log(same.low) == pytest.approx(-0.05)

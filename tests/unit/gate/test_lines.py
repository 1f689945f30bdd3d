from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as reference

from edgekit.evaluate.metrics import Score
from edgekit.gate import accuracy, lines
from edgekit.gate.accuracy import Answers


@pytest.mark.parametrize(("now", "result"), [(1000, "ok"), (1010, "ok"), (1011, "regressed"), (500, "ok")])
def test_exact_figures_are_compared_exactly(now: int, result: str) -> None:
    line = lines.exact_change("size", "bytes", 1000, now, 0.01)
    assert line.result == result and line.change == pytest.approx(now / 1000 - 1) and line.failing == (now == 1011)


def test_something_out_of_nothing_is_a_regression() -> None:
    assert lines.exact_change("flash", "bytes", 0, 5, 0.1).result == "regressed"
    assert lines.exact_change("flash", "bytes", 0, 0, 0.1).result == "ok"


def test_an_exact_limit() -> None:
    assert lines.exact_limit("size", "bytes", 10, 10).result == "ok"
    assert lines.exact_limit("size", "bytes", 11, 10).result == "over-budget"


@pytest.mark.parametrize(
    ("baseline", "now", "result"),
    [
        ([100, 101, 102], [100, 101, 103], "ok"),
        ([100, 101, 102], [111, 112, 113], "regressed"),
        # The medians are far apart, but one pass of the baseline took as much as the candidate did.
        ([100, 101, 112], [111, 112, 113], "undecided"),
        ([100, 101, 102], [50, 51, 52], "ok"),
    ],
)
def test_memory_is_more_only_if_no_pass_overlaps(baseline: list[int], now: list[int], result: str) -> None:
    assert lines.memory_change("peak_rss", baseline, now, 0.05).result == result


@pytest.mark.parametrize(("limit", "result"), [(9, "over-budget"), (12, "ok"), (11, "undecided")])
def test_a_limit_on_memory(limit: float, result: str) -> None:
    assert lines.memory_limit("peak_rss", [10, 11, 12], limit).result == result


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (5, 0), (8, 3), (30, 30), (400, 300)])
def test_mcnemars_chance_is_the_binomial_one(lost: int, won: int) -> None:
    wanted = reference.binom.sf(lost - 1, lost + won, 0.5)
    assert accuracy.mcnemar(lost, won) == pytest.approx(wanted, rel=1e-9)


def answers(hits: np.ndarray) -> Answers:
    share = float(hits.mean())
    return Answers({"top1": Score(share, (share - 0.1, share + 0.1), len(hits))}, {"top1": hits}, "1")


def test_a_drop_in_accuracy_is_judged_by_the_samples_that_changed_sides() -> None:
    """Two points of a hundred are certain if nothing was won for them, and luck if as much again moved both ways."""
    base = np.array([True] * 700 + [False] * 300)
    only_lost, both = base.copy(), base.copy()
    only_lost[:20] = False
    both[:120], both[700:800] = False, True
    clear, lucky = (accuracy.drop(answers(base), answers(now), "top1") for now in (only_lost, both))
    assert clear.value == lucky.value == pytest.approx(0.02)
    assert clear.certain() and not lucky.certain()
    assert clear.interval is not None and lucky.interval is not None
    assert clear.interval[0] > 0 > lucky.interval[0]
    assert math.dist(clear.interval, (0.02, 0.02)) < math.dist(lucky.interval, (0.02, 0.02))


def test_a_metric_without_pairs_is_what_it_is() -> None:
    base, now = (Answers({"f": Score(value, None, 5)}, {}, "1") for value in (0.8, 0.7))
    found = accuracy.drop(base, now, "f")
    assert found.value == pytest.approx(0.1) and found.interval is None and found.certain()


def test_what_is_judged_without_being_asked() -> None:
    assert accuracy.default_tolerance("top1") == 0.005 and accuracy.default_tolerance("top-5") == 0.005
    assert accuracy.default_tolerance("score.py:recall") is None

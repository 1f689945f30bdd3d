"""Whether a model became slower: statistics over interleaved rounds, and when there are enough of them. Pure functions.

A round is one process of the baseline and one of the candidate, side by side. From each process one figure is taken, a
quantile of its runs; the round gives the logarithm of the two figures' ratio. The estimate over the rounds is the
Hodges-Lehmann median of their pairwise means, its intervals those of Wilcoxon's signed-rank test: both need no more
than symmetry, which the alternating order of the two processes gives, and neither is moved by the few rounds that
another program disturbed (J. Hodges and E. Lehmann, Estimates of location based on rank tests, Ann. Math. Statist. 34,
1963; intervals: M. Hollander and D. Wolfe, Nonparametric Statistical Methods, 1999, ch. 3).

After each of ``LOOKS`` rounds a change is judged:

- ``regressed``: the estimate is above the tolerance and the 95% interval above 0;
- ``ok``: the 99.4% interval excludes ``CATCH`` times the tolerance, the slowdown that is to be caught;
- by the estimate alone once the 95% interval is no wider than the tolerance to either side;
- otherwise rounds are added, and after the last look it is ``undecided``.

A failure has to be found twice, the second time from rounds of its own. The two levels are not equal, because the
second pass squares the rate of false alarms and also lets a real slowdown escape twice: with them and the default
tolerance of 2%, equal files fail in about 1% of checks or fewer, and a slowdown of 5% is caught in 95% or more
(``tests/unit/gate/test_decide.py`` simulates both under heavy tails and drift).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.measure.ratio import Ratio
from edgekit.records import Repeat

State = Literal["ok", "regressed", "over", "undecided"]
Round = tuple[Repeat | None, Repeat]
Logs = NDArray[np.float64]

LOOKS = (10, 15, 20, 30, 40, 60, 80, 120, 160)
# How many times the tolerance a slowdown is that has to be caught.
CATCH = 2.5
TOLERANCE = 0.02
_TEST_TAIL = 0.025
_GUARD_TAIL = 0.003
# A limit is given up as undecided once its interval is that narrow, or after so many rounds.
_LIMIT_HALF_WIDTH = 0.01
_LIMIT_ROUNDS = 40
# Wilcoxon's interval with 95% needs six rounds.
_MIN_ROUNDS = 6


class Disturbed(Exception):
    """The device could not be held in one state long enough for a pass; the message says what happened."""


@dataclass(frozen=True)
class Check:
    """One thing to judge: quantile ``share`` of each process's runs, as a change or against a limit.

    ``tolerance`` is the tolerated slowdown as a share; ``limit_ms`` bounds the candidate. Exactly one of them is given.
    """

    name: str
    share: float
    tolerance: float | None = None
    limit_ms: float | None = None


@dataclass(frozen=True)
class Found:
    """What one pass says of one check.

    ``ratio`` is the candidate's time to the baseline's with its 95% interval, null without a baseline; ``interval_ms``
    the candidate's own time (median over processes) with its 95% interval, all in milliseconds; ``baseline_ms`` that of
    the baseline.
    """

    state: State
    rounds: int
    now_ms: tuple[float, float, float]
    ratio: Ratio | None = None
    baseline_ms: float | None = None


@dataclass(frozen=True)
class Decision:
    """What all passes say of one check: ``passes`` holds one result each, the last of them decides."""

    check: Check
    passes: tuple[Found, ...]

    @property
    def state(self) -> State:
        """A failure only if every pass says so."""
        return self.passes[-1].state

    @property
    def found(self) -> Found:
        """The pass to quote: the last, whose rounds were not chosen for being slow."""
        return self.passes[-1]


def decide(checks: Sequence[Check], begin: Callable[[], Iterator[Round]]) -> list[Decision]:
    """Judge every check, and judge again, on rounds of their own, those that fail; one decision each, in order.

    Args:
        begin: starts a pass; the iterator makes a round when one is asked for, and may end early (out of time). It may
            raise Disturbed: the pass is then made again once.

    Raises:
        Disturbed: a pass was disturbed twice.
    """
    first = _undisturbed(checks, begin)
    failed = [check for check, found in zip(checks, first, strict=True) if found.state in ("regressed", "over")]
    again = dict(zip(failed, _undisturbed(failed, begin), strict=True)) if failed else {}
    return [
        Decision(check, (found, again[check]) if check in again else (found,))
        for check, found in zip(checks, first, strict=True)
    ]


def _undisturbed(checks: Sequence[Check], begin: Callable[[], Iterator[Round]]) -> list[Found]:
    try:
        return one_pass(checks, begin())
    except Disturbed:
        return one_pass(checks, begin())


def one_pass(checks: Sequence[Check], rounds: Iterator[Round]) -> list[Found]:
    """Take rounds until every check is decided, or there are no more; a check keeps its first decision."""
    made: list[Round] = []
    found: dict[Check, Found] = {}
    for look in LOOKS:
        made += islice(rounds, look - len(made))
        if not made:
            break
        final = len(made) < look or look == LOOKS[-1]
        for check in checks:
            if check in found:
                continue
            judged = judge(check, made)
            if judged.state != "undecided" or final or _given_up(check, judged):
                found[check] = judged
        if len(found) == len(checks) or final:
            break
    if not made:
        raise Disturbed("there was no time for a single round")
    return [found[check] for check in checks]


def judge(check: Check, rounds: Sequence[Round]) -> Found:
    """What these rounds say of one check.

    Raises:
        ValueError: a change is asked for and a round has no baseline.
    """
    now = [_figure_ms(candidate, check.share) for _, candidate in rounds]
    now_ms = _median_interval(now)
    if check.limit_ms is not None:
        return Found(_against_limit(now_ms, check.limit_ms), len(rounds), now_ms)
    if check.tolerance is None or any(baseline is None for baseline, _ in rounds):
        raise ValueError(f"{check.name}: a change needs a tolerance and a baseline")
    base = [_figure_ms(baseline, check.share) for baseline, _ in rounds if baseline is not None]
    logs = np.log(np.asarray(now) / np.asarray(base))
    state, ratio = change(logs, check.tolerance)
    return Found(state, len(rounds), now_ms, ratio, median(base))


def change(logs: Logs, tolerance: float) -> tuple[State, Ratio]:
    """The verdict on a slowdown and its ratio with the 95% interval, from the rounds' logarithms of ratios."""
    walsh = _walsh(logs)
    middle = float(np.median(walsh))
    low, high = _interval(walsh, len(logs), _TEST_TAIL)
    ratio = Ratio(math.exp(middle), math.exp(low), math.exp(high), len(logs))
    if len(logs) < _MIN_ROUNDS:
        return "undecided", ratio
    bound = math.log1p(tolerance)
    if middle > bound and low > 0:
        return "regressed", ratio
    if _interval(walsh, len(logs), _GUARD_TAIL)[1] < math.log1p(CATCH * tolerance):
        return "ok", ratio
    if (high - low) / 2 <= bound and middle <= bound:
        return "ok", ratio
    return "undecided", ratio


def _figure_ms(repeat: Repeat, share: float) -> float:
    """The quantile in milliseconds, between two runs by their distance (as numpy's default)."""
    ordered = sorted(repeat.samples_ns)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return (ordered[below] + (place - below) * (ordered[above] - ordered[below])) / 1e6


def _walsh(logs: Logs) -> Logs:
    """The means of all pairs, each with itself included, in ascending order."""
    first, second = _pairs(len(logs))
    return np.sort((logs[first] + logs[second]) / 2)


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = np.triu_indices(count)
    return first, second


def _interval(walsh: Logs, count: int, tail: float) -> tuple[float, float]:
    rank = _signed_rank(count, tail)
    return (float(walsh[rank - 1]), float(walsh[-rank])) if rank else (-math.inf, math.inf)


@cache
def _signed_rank(count: int, tail: float) -> int:
    """How many of Wilcoxon's sums, from 0 on, have together a probability of at most ``tail`` without a shift."""
    chances = np.zeros(count * (count + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, count + 1):
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[:-rank]
        chances = (chances + shifted) / 2
    return int(np.searchsorted(np.cumsum(chances), tail, side="right"))


def _median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median with the 95% interval of the sign test, which asks nothing of the distribution."""
    ordered = sorted(values)
    chance, rank = 0.0, 0
    for hits in range(len(ordered) // 2):
        chance += math.comb(len(ordered), hits) / 2 ** len(ordered)
        if chance > _TEST_TAIL:
            break
        rank = hits + 1
    if not rank:
        return median(ordered), 0.0, math.inf
    return median(ordered), ordered[rank - 1], ordered[-rank]


def _against_limit(now_ms: tuple[float, float, float], limit_ms: float) -> State:
    _, low, high = now_ms
    return "over" if low > limit_ms else "ok" if high <= limit_ms else "undecided"


def _given_up(check: Check, found: Found) -> bool:
    """Whether more rounds would say no more of a limit."""
    if check.limit_ms is None:
        return False
    middle, low, high = found.now_ms
    return found.rounds >= _LIMIT_ROUNDS or (high - low) / 2 <= _LIMIT_HALF_WIDTH * middle

"""The gate's error rates, simulated: how often equal files fail and how often a slowdown of 5% escapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest
from scipy import stats as reference

from edgekit.gate import decide as gate
from edgekit.gate.decide import Check, Disturbed, Round, decide
from edgekit.records import DeviceState, Repeat

LATENCY = Check("latency", 0.10, tolerance=gate.TOLERANCE)
Noise = Callable[[np.random.Generator, int], np.ndarray]
SLOWER = math.log(1.05)
TRIALS = 400


def repeat(*samples_ms: float) -> Repeat:
    return Repeat(samples_ns=tuple(int(value * 1e6) for value in samples_ms), warmup_ns=(), load_cold_ns=0,
                  load_warm_ns=0, first_ns=0, overhead_ns=0, timed_out=False, warmup_stable=True, started="",
                  state_before=DeviceState(), state_after=DeviceState())  # fmt: skip


def gauss(scale: float) -> Noise:
    return lambda generator, count: generator.normal(0, scale, count)


def heavy(generator: np.random.Generator, count: int) -> np.ndarray:
    """Student's with two degrees of freedom: no variance at all."""
    return 0.04 * generator.standard_t(2, count)


def disturbed(generator: np.random.Generator, count: int) -> np.ndarray:
    """One process in ten shares its core with another program and takes up to three times as long."""
    hit = generator.random(count) < 0.1
    return generator.normal(0, 0.03, count) + np.where(hit, generator.uniform(0.2, 1.1, count), 0)


def passes(
    noise: Noise, shift: float, generator: np.random.Generator, drift: float = 0.0
) -> Callable[..., Iterator[Round]]:
    """Rounds without end, in ABBA order, on a machine that also slows down by ``drift`` from process to process."""

    def begin() -> Iterator[Round]:
        process = 0
        while True:
            values = noise(generator, 2 * 16)
            for number in range(16):
                first, second = values[2 * number], values[2 * number + 1]
                times = [first + drift * process, second + drift * (process + 1)]
                process += 2
                base, now = times if number % 2 == 0 else times[::-1]
                yield repeat(10 * math.exp(base)), repeat(10 * math.exp(now + shift))

    return begin


def failed(noise: Noise, shift: float, drift: float = 0.0) -> float:
    """The share of checks that fail."""
    generator = np.random.default_rng(7)
    states = [decide([LATENCY], passes(noise, shift, generator, drift))[0].state for _ in range(TRIALS)]
    return states.count("regressed") / TRIALS


NOISES = [gauss(0.01), gauss(0.04), gauss(0.08), heavy, disturbed]


@pytest.mark.parametrize("noise", NOISES, ids=["quiet", "usual", "noisy", "heavy", "disturbed"])
def test_equal_files_fail_in_at_most_two_percent_of_checks(noise: Noise) -> None:
    assert failed(noise, 0.0) <= 0.02


@pytest.mark.parametrize("noise", NOISES, ids=["quiet", "usual", "noisy", "heavy", "disturbed"])
def test_a_slowdown_of_five_percent_is_caught_in_95_percent_of_checks(noise: Noise) -> None:
    assert failed(noise, SLOWER) >= 0.95


def test_a_machine_that_becomes_slower_and_slower_changes_neither() -> None:
    assert failed(gauss(0.03), 0.0, drift=0.01) <= 0.02
    assert failed(gauss(0.03), SLOWER, drift=0.01) >= 0.95


def test_a_faster_file_never_fails() -> None:
    assert failed(gauss(0.08), -SLOWER) == 0


def test_a_change_below_the_tolerance_mostly_passes() -> None:
    """Half the tolerance: the estimate would have to be off by 1% twice."""
    assert failed(gauss(0.04), math.log(1.01)) <= 0.15


def test_two_passes_have_to_say_so() -> None:
    calls = []

    def begin() -> Iterator[Round]:
        calls.append(1)
        slow = 1.5 if len(calls) == 1 else 1.0
        while True:
            yield repeat(10.0), repeat(10.0 * slow)

    (made,) = decide([LATENCY], begin)
    assert [found.state for found in made.passes] == ["regressed", "ok"] and made.state == "ok"
    assert made.found.ratio is not None and made.found.ratio.ratio == pytest.approx(1)


def test_only_what_failed_is_made_again_and_a_round_is_made_when_it_is_needed() -> None:
    made: list[int] = []

    def begin() -> Iterator[Round]:
        made.append(0)
        while True:
            made[-1] += 1
            yield repeat(10.0), repeat(13.0)

    slow, loose = decide([LATENCY, Check("p50", 0.5, tolerance=0.5)], begin)
    assert slow.state == "regressed" and len(slow.passes) == 2
    assert loose.state == "ok" and len(loose.passes) == 1
    assert made == [10, 10]


def test_too_much_noise_is_undecided_after_the_last_look() -> None:
    generator = np.random.default_rng(3)
    begin = passes(gauss(0.6), math.log(1.03), generator)
    counted: list[Round] = []

    def counting() -> Iterator[Round]:
        for one in begin():
            counted.append(one)
            yield one

    states = [decide([LATENCY], counting)[0] for _ in range(5)]
    undecided = [made for made in states if made.state == "undecided"]
    assert undecided and all(made.found.rounds == gate.LOOKS[-1] for made in undecided)


def test_rounds_that_end_early_are_judged_as_they_are() -> None:
    few = passes(gauss(0.001), math.log(1.5), np.random.default_rng(0))
    (made,) = decide([LATENCY], lambda: islice(few(), 7))
    assert made.state == "regressed" and made.found.rounds == 7
    (short,) = decide([LATENCY], lambda: islice(few(), 3))
    assert short.state == "undecided" and short.found.ratio is not None


def test_a_disturbed_pass_is_made_again_once() -> None:
    calls = []

    def begin(times: int) -> Iterator[Round]:
        calls.append(1)
        if len(calls) <= times:
            raise Disturbed("too hot")
        while True:
            yield repeat(10.0), repeat(10.0)

    assert decide([LATENCY], lambda: begin(1))[0].state == "ok" and len(calls) == 2
    calls.clear()
    with pytest.raises(Disturbed):
        decide([LATENCY], lambda: begin(2))
    with pytest.raises(Disturbed):
        decide([LATENCY], lambda: iter(()))


def test_a_limit_is_judged_by_the_interval() -> None:
    generator = np.random.default_rng(5)

    def state(limit_ms: float) -> str:
        return decide([Check("p50", 0.5, limit_ms=limit_ms)], passes(gauss(0.02), 0.0, generator))[0].state

    assert state(9.0) == "over" and state(11.0) == "ok"
    # So near to the truth that no sensible number of rounds would tell; it is given up after some.
    assert [state(10.0) for _ in range(20)].count("undecided") >= 15


def test_the_candidate_alone_can_be_held_against_a_limit_but_not_judged_for_change() -> None:
    def begin() -> Iterator[Round]:
        while True:
            yield None, repeat(10.0)

    assert decide([Check("p50", 0.5, limit_ms=12.0)], begin)[0].state == "ok"
    with pytest.raises(ValueError, match="baseline"):
        decide([LATENCY], begin)


def test_the_quantile_asked_for_is_compared() -> None:
    """Half of the candidate's runs are slow: its fastest tenth is as before, its median is not."""
    base, now = repeat(*[10.0] * 20), repeat(*[10.0] * 9, *[20.0] * 11)
    found = [gate.judge(Check("", share, tolerance=0.02), [(base, now)] * 10) for share in (0.10, 0.50)]
    assert [one.state for one in found] == ["ok", "regressed"]


@pytest.mark.parametrize("count", [6, 10, 20, 40, 160])
@pytest.mark.parametrize("tail", [0.025, 0.003])
def test_signed_ranks_are_those_of_scipy(count: int, tail: float) -> None:
    rank = gate._signed_rank(count, tail)
    sums = count * (count + 1) / 2
    if count <= 40:
        # The exact chance of a sum of at most k, from scipy's test on data whose positive ranks sum to k.
        def chance(k: int) -> float:
            signs, left = np.full(count, -1.0), k
            for place in range(count, 0, -1):
                if place <= left:
                    signs[place - 1], left = 1.0, left - place
            return float(reference.wilcoxon(signs * np.arange(1, count + 1), alternative="less", method="exact").pvalue)

        assert rank == 0 or chance(rank - 1) <= tail
        assert chance(rank) > tail
    else:
        deviation = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
        assert rank == pytest.approx(sums / 2 + reference.norm.ppf(tail) * deviation, rel=0.01)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(1000):
        _, ratio = gate.change(0.03 + 0.05 * generator.standard_t(3, 20), 0.02)
        covered += ratio.low <= math.exp(0.03) <= ratio.high
    assert 0.93 <= covered / 1000 <= 0.975

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.choose.choose import choose
from edgekit.choose.rows import Row
from edgekit.errors import IncomparableError, UsageError
from edgekit.records import Plan
from edgekit.selection import Choice, Constraint, Objective, Standing
from tests.unit.choose.made import HERE, digest, key, quantity, row

FAST = Constraint(quantity="p50_ms", sense="<=", limit=10.0)
RIGHT = Constraint(quantity="top1", sense=">=", limit=0.7)
ACCURATE = Objective(quantity="top1", direction="maximize")
QUICK = Objective(quantity="p50_ms", direction="minimize")
SMALL = Objective(quantity="size_bytes", direction="minimize")


def net(
    model: str, p50: float, top1: float, *, ms: float = 0.1, points: float = 0.002, size: float = 4e6, **more: Any
) -> Row:
    figures = {"p50_ms": (p50, ms), "top1": (top1, points), "size_bytes": (size, 0.0)}
    return row(model, figures, **more)


def ask(*rows: Row, constraints: Any = (FAST,), objectives: Any = (ACCURATE,), **options: Any) -> Choice:
    return choose({"pixel7": rows}, constraints, objectives, **options)


def names(standings: tuple[Standing, ...]) -> list[str]:
    return [one.candidate.model for one in standings]


def chosen(choice: Choice) -> str:
    assert choice.choice is not None
    return choice.choice.candidate.model


def said(choice: Choice) -> str:
    return " ".join(choice.reasons)


# One device: constraints, objectives, ties.


def test_the_most_accurate_that_certainly_keeps_the_limit_is_chosen() -> None:
    choice = ask(net("slow", 20, 0.8), net("good", 9, 0.75), net("quick", 3, 0.6))
    assert (choice.status, chosen(choice)) == ("chosen", "good")
    assert names(choice.front) == ["good", "quick", "slow"] and not choice.dominated
    assert "It meets median latency at most 10 ms: 9.00 ms (8.90 to 9.10 ms)." in choice.reasons
    assert "Its top1 is 75.00% (74.80 to 75.20%), that of the next, quick litert fp32, 1 thread, 60.00%" in said(choice)
    assert "15.00 points (14.72 to 15.28) better" in said(choice)
    assert choice.conditions == {"pixel7": HERE}
    (slow,) = [one for one in choice.front if one.candidate.model == "slow"]
    assert slow.unmet == ("p50_ms",) and slow.measurements == {"pixel7": "slow@pixel7"}


def test_what_the_data_cannot_tell_apart_is_a_tie_and_the_better_value_is_chosen() -> None:
    choice = ask(net("a", 9, 0.750, points=0.02), net("b", 8, 0.755, points=0.02), net("c", 8, 0.6))
    assert (choice.status, chosen(choice), names(choice.ties)) == ("tie", "b", ["a"])
    assert "can't tell it from a litert fp32, 1 thread by top1" in said(choice)


def test_the_next_objective_decides_a_tie_if_it_certainly_does() -> None:
    close = [net("a", 9, 0.750, points=0.02), net("b", 8, 0.745, points=0.02)]
    assert chosen(ask(*close, objectives=(ACCURATE, QUICK))) == "b"
    assert ask(*close, objectives=(ACCURATE, QUICK)).status == "chosen"
    wide = [net("a", 9, 0.750, ms=2, points=0.02), net("b", 8, 0.745, ms=2, points=0.02)]
    assert ask(*wide, objectives=(ACCURATE, QUICK), constraints=()).status == "tie"
    # The order of the objectives counts.
    assert chosen(ask(net("a", 9, 0.8), net("b", 5, 0.7), objectives=(QUICK, ACCURATE))) == "b"


def test_a_tie_holds_nobody_that_is_certainly_worse_than_somebody_else_in_it() -> None:
    """b has the best value but a wide interval: a can't be told from it, but is certainly worse than c."""
    choice = ask(net("b", 5, 0.76, points=0.05), net("c", 5, 0.75), net("a", 5, 0.72), constraints=())
    assert (chosen(choice), names(choice.ties)) == ("b", ["c"])
    assert "The other 1 is certainly worse." in choice.reasons


def test_whoever_fell_behind_a_third_one_is_not_said_to_be_behind_the_choice() -> None:
    """a is certainly more accurate than c, but not than b, which is certainly faster than a; c is faster still."""
    a, b = net("a", 9, 0.80, points=0.01), net("b", 5, 0.788, points=0.01)
    choice = ask(a, b, net("c", 3, 0.789, points=0.001), constraints=(), objectives=(ACCURATE, QUICK))
    assert (choice.status, chosen(choice)) == ("chosen", "b")
    assert "every other one" not in said(choice)
    assert "It is certainly better than 1 of the 2 others; the rest are certainly worse than one that" in said(choice)
    assert "every other one" in said(ask(a, b, constraints=(), objectives=(ACCURATE, QUICK)))


def test_a_doubt_about_memory_is_not_narrowed_by_repeats() -> None:
    limit = Constraint(quantity="model_rss_bytes", sense="<=", limit=30e6)
    rows = [row(model, {"p50_ms": (ms, 0.1), "model_rss_bytes": (size, 1e6)})
            for model, ms, size in (("sure", 9, 20e6), ("maybe", 5, 29.5e6))]  # fmt: skip
    choice = ask(*rows, constraints=(limit,), objectives=(QUICK,))
    assert choice.status == "undecided" and "move that limit" in said(choice) and "repeats 9" not in said(choice)


def test_one_files_threads_have_one_accuracy_and_the_faster_is_chosen() -> None:
    shared = quantity(0.75, 0.02, evidence="net on the test set")
    rows = [
        row("net", {"p50_ms": (ms, 0.1), "top1": shared}, candidate=key("net", threads=threads))
        for threads, ms in ((1, 9.0), (4, 4.0))
    ]
    choice = ask(*rows)
    assert choice.status == "chosen" and choice.choice is not None and choice.choice.candidate.threads == 4
    assert [one.candidate.threads for one in choice.dominated] == [1]


def test_a_better_one_that_may_keep_the_limit_leaves_it_undecided() -> None:
    choice = ask(net("sure", 8, 0.70), net("maybe", 9.95, 0.78), net("no", 20, 0.9), net("worse", 9.95, 0.60))
    assert (choice.status, chosen(choice), names(choice.undecided)) == ("undecided", "sure", ["maybe"])
    assert "maybe litert fp32, 1 thread would be better (78.00% (77.80 to 78.20%))" in said(choice)
    assert "its median latency of 9.95 ms (9.85 to 10.05 ms) keeps 10 ms" in said(choice)
    assert "more repeats" in said(choice)


def test_an_undecided_accuracy_asks_for_more_samples() -> None:
    doubtful = row("maybe", {"p50_ms": (1, 0.1), "top1": quantity(0.71, 0.05, source="evaluated")})
    choice = ask(doubtful, net("sure", 8, 0.75), constraints=(FAST, RIGHT), objectives=(QUICK,))
    assert choice.status == "undecided" and "Evaluate it on more samples" in said(choice)


def test_nobody_keeps_the_limits_and_the_nearest_are_named() -> None:
    rows = [net("far", 40, 0.9), net("near", 11, 0.8), net("b", 12, 0.8), net("c", 13, 0.8), net("edge", 9.95, 0.8)]
    choice = ask(*rows)
    assert choice.status == "none" and choice.choice is None and not choice.ties
    assert [(one.candidate.model, one.quantity, one.limit) for one in choice.nearest] == [
        ("edge", "p50_ms", 10.0), ("near", "p50_ms", 10.0), ("b", "p50_ms", 10.0),
    ]  # fmt: skip
    assert choice.nearest[0].by == pytest.approx(0.005) and choice.nearest[1].by == pytest.approx(0.1)
    assert names(choice.undecided) == ["edge"]
    assert "None of the 5 candidates certainly meets median latency at most 10 ms." in choice.reasons
    assert "Near: near litert fp32, 1 thread: median latency 11.00 ms, 10.0% over the limit of 10 ms." in choice.reasons
    assert "median latency 9.95 ms, its interval reaches 0.5% over the limit of 10 ms." in said(choice)


def test_every_limit_that_is_missed_is_named() -> None:
    choice = ask(net("a", 11, 0.5), constraints=(FAST, RIGHT))
    assert [(one.quantity, round(one.by, 3)) for one in choice.nearest] == [("p50_ms", 0.1), ("top1", 0.286)]
    assert choice.front[0].unmet == ("p50_ms", "top1")
    near = "median latency 11.00 ms, 10.0% over the limit of 10 ms; top1 50.00%, 28.6% under the limit of 70%."
    assert f"Near: a litert fp32, 1 thread: {near}" in choice.reasons


def test_a_limit_of_nothing_is_possible() -> None:
    choice = ask(net("a", 11, 0.5), constraints=(Constraint(quantity="size_bytes", sense="<=", limit=0),))
    assert choice.nearest[0].by == 4e6


def test_only_one_candidate() -> None:
    choice = ask(net("a", 5, 0.7))
    assert choice.status == "chosen" and "It is the only candidate" in choice.reasons[0]


# What is left out.


def excluded(choice: Choice) -> dict[str, str]:
    return {one.candidate.partition(" ")[0]: one.reason for one in choice.excluded}


@pytest.mark.parametrize("verdict", ["throttled", "timed-out", "incomparable"])
def test_what_cannot_be_trusted_is_left_out_with_the_reason(verdict: str) -> None:
    bad = net("bad", 1, 0.9, verdict=verdict, verdict_reasons=("Repeat 1: it was hot.", "more"))
    choice = ask(net("good", 5, 0.7), bad)
    assert chosen(choice) == "good"
    assert excluded(choice) == {"bad": f"its measurement is {verdict}: Repeat 1: it was hot"}
    assert choice.excluded[0].measurement_id == "bad@pixel7" and choice.excluded[0].device == "pixel7"


def test_an_unusable_repetition_of_a_measurement_that_is_used_says_so() -> None:
    again = net("good", 50, 0.7, verdict="throttled", measurement_id="again", created="2026-05-01T00:00:00+00:00")
    choice = ask(net("good", 5, 0.7), again)
    assert choice.choice is not None and choice.choice.measurements == {"pixel7": "good@pixel7"}
    assert excluded(choice)["good"] == (
        "its measurement is throttled; another measurement of it, made in the same way, can be used"
    )


def test_accuracies_without_an_interval_are_pointed_out() -> None:
    choice = ask(net("a", 5, 0.7, points=0.0), net("b", 5, 0.6))
    assert "top1 has no interval for 1 of 2 figures; these are taken as exact." in choice.reasons


def test_noisy_ones_are_used_and_named_or_left_out_by_strict() -> None:
    rows = [net("good", 5, 0.7), net("loud", 5, 0.8, verdict="noisy", verdict_reasons=("It varied.",))]
    choice = ask(*rows)
    assert chosen(choice) == "loud"
    assert "Noisy, used with their intervals: loud litert fp32, 1 thread." in choice.reasons
    strict = ask(*rows, strict=True)
    assert chosen(strict) == "good" and "--strict takes only those that are ok: It varied" in excluded(strict)["loud"]


def test_a_wrong_file_is_never_chosen_and_an_unchecked_one_is_named() -> None:
    rows = [net("wrong", 1, 0.9, parity=False, parity_reason="cosine 0.2"), net("unknown", 5, 0.7, parity=None)]
    choice = ask(*rows)
    assert chosen(choice) == "unknown" and excluded(choice) == {"wrong": "the file failed parity: cosine 0.2"}
    assert "Not checked against their model (parity): unknown litert fp32, 1 thread." in choice.reasons


def test_what_has_no_figure_is_left_out_with_the_reason() -> None:
    bare = row("bare", {"p50_ms": (1, 0.1)}, missing={"top1": "it has not been evaluated on test.npz"})
    few = net("few", 1, 0.9, samples=9)
    choice = ask(net("good", 5, 0.7), bare, few)
    assert excluded(choice) == {
        "bare": "it has not been evaluated on test.npz",
        "few": "it has only 9 timed runs; at least 10 are needed to know the spread",
    }
    # Where no time is asked for, few runs do no harm.
    assert chosen(ask(net("good", 5, 0.7), few, constraints=())) == "few"


def test_only_rows_measured_alike_are_compared_and_the_others_are_told_apart() -> None:
    def other(model: str, **changes: Any) -> Row:
        return net(model, 1, 0.9, conditions=msgspec.structs.replace(HERE, **changes))

    rows = [
        net("a", 5, 0.7), net("b", 6, 0.72), other("plan", plan=Plan(repeats=1, min_runs=10)),
        other("clock", clock_regime="pinned"), other("system", os_build="15"), other("chip", soc=None),
        other("name", device_name="Pixel 7a"), other("harness", harness="python"),
        other("version", harness_version="0"), other("board", emulated=True),
    ]  # fmt: skip
    choice = ask(*rows)
    assert chosen(choice) == "b" and len(choice.front) == 2
    assert excluded(choice) == {
        "plan": "measured with another plan: min_runs 10 instead of 50, repeats 1 instead of 3",
        "clock": "measured with another clock regime: pinned instead of free",
        "system": "measured with another system: 15 instead of 14",
        "chip": "measured with another chip: an unknown one instead of GS201",
        "name": "measured with another device: Pixel 7a instead of Pixel",
        "harness": "measured with another harness: python instead of native",
        "version": "measured with another version of the harness: 0 instead of 0.1.0",
        "board": "measured with another kind of device: an emulated one instead of a real one",
    }


def test_of_equally_many_the_newest_are_compared() -> None:
    pinned = msgspec.structs.replace(HERE, clock_regime="pinned")
    new = [net(name, 5, 0.7, conditions=pinned, created="2026-05-01T00:00:00+00:00") for name in ("a", "b")]
    old = [net(name, 7, 0.7) for name in ("c", "d")]
    choice = ask(*old, *new)
    assert choice.conditions["pixel7"].clock_regime == "pinned"
    assert set(excluded(choice)) == {"c", "d"}


def test_older_rows_of_a_candidate_are_one_line_with_their_number() -> None:
    rows = [
        net("a", 5, 0.7, created="2026-05-01T00:00:00+00:00", superseded=4), net("a", 9, 0.7, measurement_id="old"),
        net("b", 6, 0.6, superseded=1),
    ]  # fmt: skip
    choice = ask(*rows)
    assert choice.choice is not None and choice.choice.quantities["p50_ms"].value == 5
    (line,) = choice.excluded
    assert (line.candidate, line.count) == ("older measurements", 6)


def test_every_measurement_is_used_listed_or_counted() -> None:
    pinned = msgspec.structs.replace(HERE, clock_regime="pinned")
    rows = [
        net("a", 5, 0.7, superseded=1), net("b", 6, 0.6), net("hot", 5, 0.9, verdict="throttled", superseded=3),
        net("other", 5, 0.9, conditions=pinned, superseded=2),
    ]  # fmt: skip
    choice = ask(*rows)
    counts = {one.candidate.partition(" ")[0]: one.count for one in choice.excluded}
    assert counts == {"hot": 1, "other": 1, "older": 6}
    everyone = len(choice.front) + len(choice.dominated)
    assert everyone + sum(counts.values()) == sum(1 + one.superseded for one in rows)


def test_two_files_of_one_name_are_told_apart() -> None:
    rows = [
        row("net", {"p50_ms": (ms, 0.1), "top1": (0.7, 0.0)}, candidate=key("net", artifact_sha256=digest(str(ms))))
        for ms in (5.0, 6.0)
    ]
    choice = ask(*rows, objectives=(QUICK,))
    assert f"net litert fp32, 1 thread ({digest('6.0')[:8]})" in said(choice)


# Refusals.


def test_no_rows_say_how_to_measure() -> None:
    with pytest.raises(UsageError, match="Nothing measured on pixel7") as caught:
        ask()
    assert "edgekit sweep --device pixel7" in caught.value.next_step
    with pytest.raises(UsageError, match="No device"):
        choose({}, (), (QUICK,))


def test_no_objective_or_one_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="which of the candidates that fit is the best"):
        ask(net("a", 5, 0.7), objectives=())
    with pytest.raises(UsageError, match="given twice"):
        ask(net("a", 5, 0.7), objectives=(QUICK, ACCURATE, Objective(quantity="p50_ms", direction="maximize")))


def test_published_and_measured_accuracies_are_never_compared() -> None:
    mixed = row("b", {"p50_ms": (5, 0.1), "top1": quantity(0.8, source="published")})
    with pytest.raises(UsageError, match="published top1 and others a measured one") as caught:
        ask(net("a", 5, 0.7), mixed)
    assert caught.value.code == 2


def test_candidates_that_were_all_measured_in_another_way_can_not_be_compared() -> None:
    rows = [
        net(name, 5, 0.7, conditions=msgspec.structs.replace(HERE, plan=Plan(repeats=repeats)))
        for name, repeats in (("a", 1), ("b", 2), ("c", 5))
    ]
    with pytest.raises(IncomparableError, match="No two of the candidates on pixel7 were measured alike") as caught:
        ask(*rows)
    assert "repeats" in caught.value.message and "edgekit sweep" in caught.value.next_step and caught.value.code == 2


def test_only_unusable_measurements_say_what_is_wrong_with_them() -> None:
    rows = [net(name, 5, 0.7, verdict="throttled", verdict_reasons=(f"{name} was hot.",)) for name in "abc"]
    with pytest.raises(IncomparableError, match=r"None of the 3 measurements .* \(3: its measurement is throttled\)"):
        ask(*rows)


# Several devices.


def two(*models: tuple[str, float, float], **options: Any) -> Choice:
    rows = {
        device: [net(model, figures[place], 0.7, device=device) for model, *figures in models]
        for place, device in enumerate(("phone", "tablet"))
    }
    return choose(rows, options.pop("constraints", ()), (QUICK,), **options)


def test_the_worst_device_counts() -> None:
    choice = two(("even", 8, 8), ("uneven", 2, 9))
    assert chosen(choice) == "even" and choice.choice is not None
    assert choice.choice.quantities["p50_ms"].value == 8
    uneven = next(one for one in (*choice.front, *choice.dominated) if one.candidate.model == "uneven")
    assert uneven.quantities["p50_ms"].note == "on tablet, the worst of 2 devices"
    assert uneven.devices["phone"]["p50_ms"].value == 2 and uneven.measurements["tablet"] == "uneven@tablet"


def test_a_weighted_mean_has_the_interval_of_a_sum() -> None:
    choice = two(("even", 8, 8), ("uneven", 2, 9), across="weighted", weights={"phone": 3, "tablet": 1})
    assert chosen(choice) == "uneven" and choice.choice is not None
    mean = choice.choice.quantities["p50_ms"]
    assert mean.value == pytest.approx(0.75 * 2 + 0.25 * 9)
    assert mean.high - mean.value == pytest.approx(((0.75 * 0.1) ** 2 + (0.25 * 0.1) ** 2) ** 0.5)
    assert mean.note == "mean over phone 75%, tablet 25%"


def test_a_limit_holds_on_each_device() -> None:
    choice = two(("a", 2, 12), ("b", 8, 9), across="weighted", constraints=(FAST,))
    assert chosen(choice) == "b"
    assert "It meets median latency at most 10 ms: 9.00 ms (8.90 to 9.10 ms) on tablet." in choice.reasons
    none = two(("a", 2, 12), constraints=(FAST,))
    # By the mean a is better, but it can't stand for b: it misses the limit on one device.
    assert choice.choice in choice.front and set(names(choice.front)) == {"a", "b"}
    assert none.nearest[0].device == "tablet" and "12.00 ms on tablet, 20.0% over the limit of 10 ms" in said(none)


def test_an_accuracy_that_is_the_same_everywhere_stays_what_it_is() -> None:
    rows = {device: [net("a", 5, 0.7, device=device)] for device in ("phone", "tablet")}
    choice = choose(rows, (), (ACCURATE,))
    assert choice.choice is not None and choice.choice.quantities["top1"].note is None


def test_what_was_not_measured_on_every_device_is_left_out() -> None:
    rows = {
        "phone": [net("a", 5, 0.7, device="phone"), net("b", 1, 0.7, device="phone")],
        "tablet": [net("a", 5, 0.7, device="tablet")],
    }
    choice = choose(rows, (), (QUICK,))
    assert chosen(choice) == "a"
    (left,) = choice.excluded
    assert (left.candidate, left.reason) == ("b litert fp32, 1 thread", "it has no comparable measurement on tablet")
    assert (left.device, left.measurement_id) == ("phone", "b@phone")
    with pytest.raises(IncomparableError, match="No candidate has comparable measurements on all of phone, tablet"):
        choose({**rows, "tablet": [net("c", 5, 0.7, device="tablet")]}, (), (QUICK,))


def test_devices_that_were_measured_differently_are_pointed_out() -> None:
    pinned = msgspec.structs.replace(HERE, clock_regime="pinned")
    rows = {"phone": [net("a", 5, 0.7)], "tablet": [net("a", 5, 0.7, conditions=pinned)]}
    assert "different clock regimes" in said(choose(rows, (), (QUICK,)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weights": {"phone": 1, "tablet": 1}}, "Weights are for --across weighted"),
        ({"across": "weighted", "weights": {"phone": 1}}, "tablet does not fit"),
        ({"across": "weighted", "weights": {"phone": 1, "tablet": 1, "watch": 1}}, "watch does not fit"),
        ({"across": "weighted", "weights": {"phone": 1, "tablet": 0}}, "not above 0"),
    ],
)
def test_wrong_weights_are_refused(options: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        two(("a", 1, 1), **options)


def test_what_it_costs_to_choose_on_another_device() -> None:
    choice = two(("cpu", 5, 10), ("dsp", 8, 6))
    there, back = choice.penalties
    assert (there.chosen_on, there.used_on) == ("phone", "tablet")
    assert there.candidate == "cpu litert fp32, 1 thread" and there.share == pytest.approx(10 / 6 - 1)
    assert there.interval is not None and there.interval[0] < 10 / 6 - 1 < there.interval[1] < 0.71
    assert back.share == pytest.approx(8 / 5 - 1) and not back.broken


def test_a_penalty_of_nothing_and_limits_that_break() -> None:
    same = two(("a", 5, 5), ("b", 8, 9)).penalties
    assert [(one.share, one.interval) for one in same] == [(0.0, (0.0, 0.0))] * 2
    broken = two(("a", 5, 11), ("b", 8, 6), constraints=(FAST,)).penalties[0]
    assert broken.broken == ("p50_ms <= 10 ms",) and broken.share == pytest.approx(11 / 6 - 1)


def test_penalties_that_can_not_be_said_have_a_reason() -> None:
    there, back = two(("a", 5, 30), ("b", 20, 20), constraints=(FAST,)).penalties
    assert there.share is None and there.reason == "no candidate certainly meets the constraints on tablet"
    assert there.candidate is not None and there.broken == ("p50_ms <= 10 ms",)
    assert back.candidate is None and back.reason == "no candidate certainly meets the constraints on tablet"
    rows = {
        "phone": [net("a", 5, 0.7), net("b", 1, 0.7)],
        "tablet": [net("a", 5, 0.7)],
    }
    assert choose(rows, (), (QUICK,)).penalties[0].reason == "it has no comparable measurement on tablet"


def test_a_penalty_in_accuracy_is_a_share_of_the_best() -> None:
    rows = {
        "phone": [net("a", 5, 0.8), net("b", 4, 0.6)],
        "tablet": [net("a", 15, 0.8), net("b", 4, 0.6), net("c", 9, 0.7)],
    }
    back = choose(rows, (FAST,), (ACCURATE,)).penalties[1]
    assert back.candidate == "c litert fp32, 1 thread" and back.reason is not None
    rows["phone"].append(net("c", 5, 0.7))
    back = choose(rows, (FAST,), (ACCURATE,)).penalties[1]
    assert back.share == pytest.approx(0.1 / 0.8)


# What holds for every set of rows.

FIGURES = st.tuples(st.integers(1, 30), st.integers(50, 90), st.sampled_from([0.05, 0.5, 3.0]))
ROWS = st.lists(FIGURES, min_size=1, max_size=20)


def rows_of(figures: list[tuple[int, int, float]]) -> list[Row]:
    return [net(f"m{i:02}", ms, top / 100, ms=min(half, ms / 2), points=half / 100)
            for i, (ms, top, half) in enumerate(figures)]  # fmt: skip


def brief(choice: Choice) -> Any:
    first = choice.choice.candidate.model if choice.choice else None
    return choice.status, first, names(choice.ties), names(choice.undecided), names(choice.front)


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_the_rows_does_not_matter(figures: list[tuple[int, int, float]], source: random.Random) -> None:
    rows = rows_of(figures)
    mixed = list(rows)
    source.shuffle(mixed)
    assert ask(*mixed) == ask(*rows)


@given(ROWS)
@settings(max_examples=150, deadline=None)
def test_what_a_choice_promises(figures: list[tuple[int, int, float]]) -> None:
    choice = ask(*rows_of(figures), objectives=(ACCURATE, SMALL))
    everyone = [*choice.front, *choice.dominated]
    assert len(everyone) == len(figures)
    if choice.choice is None:
        assert choice.status == "none" and choice.nearest and all(one.unmet for one in everyone)
        return
    assert not choice.nearest
    best = [choice.choice, *choice.ties]
    for one in best:
        assert not one.unmet and one.quantities["p50_ms"].high <= 10 and one in choice.front
    for one in choice.undecided:
        # The sizes are equal, so only the accuracy can make it better.
        assert one.unmet and one.quantities["top1"].value > choice.choice.quantities["top1"].value
    assert (choice.status == "undecided") == bool(choice.undecided)
    meeting = [one for one in everyone if not one.unmet]
    assert choice.choice.quantities["top1"].value == max(one.quantities["top1"].value for one in meeting)


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_a_candidate_that_is_worse_in_all_changes_nothing(figures: list[tuple[int, int, float]]) -> None:
    rows = rows_of(figures)
    worse = net("worse", 500, 0.01, points=0.0)
    assert brief(ask(*rows, worse)) == brief(ask(*rows))


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_sharper_figures_never_lose_a_choice(figures: list[tuple[int, int, float]]) -> None:
    """Whoever certainly keeps a limit keeps it with a shorter interval too."""
    wide = ask(*rows_of(figures))
    sharp = ask(*rows_of([(ms, top, 0.01) for ms, top, _ in figures]))
    if wide.choice is not None:
        assert sharp.choice is not None
        value = sharp.choice.quantities["top1"].value
        assert value >= wide.choice.quantities["top1"].value


def test_ten_thousand_candidates() -> None:
    source = random.Random(0)
    rows = [net(f"m{i}", source.uniform(1, 50), source.uniform(0.3, 0.9), ms=0.3) for i in range(10_000)]
    choice = ask(*rows)
    assert choice.choice is not None and len(choice.front) + len(choice.dominated) == 10_000

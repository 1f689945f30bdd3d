"""Two runs side by side: matching, what may be compared, the ratios and how sure they are together."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from edgekit.compare import chance, matching
from edgekit.compare.compare import Run, compare
from edgekit.compare.comparison import Comparison, Pair, RunInfo
from edgekit.errors import IncomparableError
from edgekit.measure.ratio import Ratio
from edgekit.measure.student import student_t95
from edgekit.records import Artifact, DeviceState, Evaluation, Measurement, Parity, Plan, Repeat
from edgekit.selection import Measured, SweepCell

STATE = DeviceState()
COUNTER = itertools.count()


def repeat(started: str, *samples_ns: int) -> Repeat:
    return Repeat(samples_ns=samples_ns, warmup_ns=(), load_cold_ns=1, load_warm_ns=1, first_ns=1, overhead_ns=1,
                  timed_out=False, warmup_stable=True, started=started, state_before=STATE,
                  state_after=STATE)  # fmt: skip


def row(model: str = "net", p50: float | None = 10.0, half: float = 0.01, *, bytes: int = 1000, sha: str = "a",
        **changes: Any) -> Measured:  # fmt: skip
    """A measured candidate whose interval is ± ``half`` of its median."""
    fields: dict[str, Any] = {
        "id": f"m-{next(COUNTER)}", "created": "2026-03-01T10:00:00+00:00",
        "artifact_sha256": sha * 64, "model": model, "format": "onnx", "precision": "fp32", "device": "host",
        "device_name": "Linux x86-64", "os_build": "12", "soc": None, "engine": "onnxruntime",
        "runtime_version": "1.22", "harness_version": "0.1.0", "verdict": "ok", "p50_ms": p50,
        "ci95_ms": None if p50 is None else (p50 / (1 + half), p50 * (1 + half)), "plan": Plan(repeats=3),
    }  # fmt: skip
    made = Measurement(**{**fields, **changes})
    artifact = Artifact(sha256=made.artifact_sha256, bytes=bytes, format=made.format, precision=made.precision,
                        path="net.onnx", model=model, exported_sha256=None, parity=Parity(passed=True))  # fmt: skip
    return Measured(measurement=made, artifact=artifact)


def sweep(*rows: Measured, id: str = "s-a", **more: Any) -> Run:
    info = RunInfo(kind="sweep", id=id, name="nightly", created="2026-03-01T10:00:00+00:00", store="here",
                   candidates=len(rows))  # fmt: skip
    return Run(info, rows, **more)


def single(one: Measured) -> Run:
    info = RunInfo(kind="measurement", id=one.measurement.id, name="net", created="", store="here", candidates=1)
    return Run(info, (one,))


def both(a: Measured, b: Measured, **more: Any) -> Pair:
    (pair,) = compare(sweep(a), sweep(b, id="s-b"), **more).pairs
    return pair


# -- one pair ----------------------------------------------------------------------------------------------------------


def test_a_ratio_is_b_to_a_with_the_interval_recovered_from_both() -> None:
    pair = both(row(p50=10.0, half=0.01), row(p50=11.0, half=0.02))
    assert pair.ratio == pytest.approx(1.1)
    half = math.hypot(math.log(1.01), math.log(1.02))
    assert pair.ci95 == pytest.approx((1.1 * math.exp(-half), 1.1 * math.exp(half)))
    assert (pair.verdict, pair.method, pair.quantity, pair.rounds) == ("slower", "intervals", "p50_ms", 0)
    assert pair.p == pair.p_adjusted is not None


def test_the_other_way_round_it_is_faster_by_the_inverse() -> None:
    one, other = row(p50=10.0), row(p50=11.0)
    there, back = both(one, other), both(other, one)
    assert (there.verdict, back.verdict) == ("slower", "faster")
    assert there.ratio is not None and back.ratio == pytest.approx(1 / there.ratio)
    assert back.ci95 is not None and there.ci95 == pytest.approx((1 / back.ci95[1], 1 / back.ci95[0]))
    assert there.p == pytest.approx(back.p)


def test_intervals_that_hold_one_show_no_difference() -> None:
    pair = both(row(p50=10.0, half=0.03), row(p50=10.2, half=0.03))
    assert pair.verdict == "no-difference" and not pair.reasons
    assert pair.ci95 is not None and pair.ci95[0] < 1 < pair.ci95[1]


def test_two_measurements_made_in_rounds_are_compared_round_by_round() -> None:
    # The machine slows by 10% in each round; B is 2% slower in every one. The stated intervals can't show it.
    levels = (1_000_000, 1_100_000, 1_210_000, 1_331_000)
    times = [f"2026-03-01T10:0{index}:{{}}.000+00:00" for index in range(4)]
    own = [repeat(at.format("00"), *[level] * 3) for at, level in zip(times, levels, strict=True)]
    slower = [repeat(at.format("30"), *[round(level * (1.02 + 0.001 * n))] * 3)
              for n, (at, level) in enumerate(zip(times, levels, strict=True))]  # fmt: skip
    a = row(half=0.2, repeats=tuple(own))
    b = row(half=0.2, p50=10.2, format="litert", engine="litert", repeats=tuple(slower))
    (pair,) = compare(single(a), single(b)).pairs
    assert (pair.method, pair.rounds, pair.verdict) == ("paired", 4, "slower")
    assert pair.ratio == pytest.approx(1.0215, abs=1e-4)
    assert "format onnx and litert" in pair.notes
    assert not matching.rounds_of(a.measurement, msgspec.structs.replace(b.measurement, device="adb:X"))


def test_measurements_made_one_after_the_other_are_not_taken_for_rounds() -> None:
    a = row(id="a", repeats=tuple(repeat(f"2026-03-01T10:0{n}:00+00:00", 10, 11) for n in range(3)))
    b = row(id="b", repeats=tuple(repeat(f"2026-03-01T10:0{n + 3}:00+00:00", 10, 11) for n in range(3)))
    assert matching.rounds_of(a.measurement, b.measurement) == []
    (pair,) = compare(single(a), single(b)).pairs
    assert pair.method == "intervals"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"device_name": "Pixel 7"}, "two devices: Linux x86-64 and Pixel 7"),
     ({"clock_regime": "pinned"}, "clocks were free and pinned"),
     ({"harness": "native"}, "two programs: python and native"),
     ({"harness_version": "0.2.0"}, "two versions of edgekit: 0.1.0 and 0.2.0"),
     ({"plan": Plan(min_runs=20)}, "two plans: min_runs 50 and 20"),
     ({"emulated": True}, "one is emulated"),
     ({"verdict": "throttled", "verdict_reasons": ("It was hot.",)}, "B is throttled: It was hot"),
     ({"verdict": "incomparable"}, "B is incomparable"),
     ({"p50_ms": None, "ci95_ms": None}, "how fast it is"),
     ({"id": "same"}, "same measurement")],
)  # fmt: skip
def test_what_may_not_be_compared_says_why(change: dict[str, Any], said: str) -> None:
    a = row(**({"id": "same"} if change == {"id": "same"} else {}))
    fine = (row("other"), row("other", p50=12.0))
    found = compare(sweep(a, fine[0]), sweep(row(**change), fine[1], id="s-b"))
    ok, pair = found.pairs
    assert ok.b.candidate.model == "other" and ok.verdict == "slower"
    assert pair.verdict == "not-comparable" and pair.ratio is None and pair.ci95 is None
    assert any(said in reason for reason in pair.reasons), pair.reasons
    with pytest.raises(IncomparableError, match="None of the 1 pairs"):
        compare(sweep(a), sweep(row(**change), id="s-b"))


def test_an_emulators_times_are_compared_only_when_asked_for() -> None:
    a, b = row(emulated=True), row(emulated=True, p50=12.0)
    with pytest.raises(IncomparableError, match="emulator"):
        compare(sweep(a), sweep(b, id="s-b"))
    pair = both(a, b, emulated=True)
    assert pair.verdict == "slower" and pair.notes == ("EMULATED: these times are no device's latency",)


def test_counted_instructions_are_exact_and_need_no_interval() -> None:
    a = row(p50=None, emulated=True, instructions=1_000_000, counter="instructions")
    b = row(p50=None, emulated=True, instructions=1_000_001, counter="instructions")
    pair = both(a, b)
    assert (pair.method, pair.verdict, pair.quantity, pair.p) == ("exact", "slower", "instructions", None)
    assert pair.ci95 == (1.000001, 1.000001) and (pair.a.counted, pair.b.counted) == (1_000_000, 1_000_001)
    assert both(a, row(p50=None, emulated=True, instructions=1_000_000)).verdict == "no-difference"


def test_what_else_differs_is_named_loudly_enough() -> None:
    found = compare(
        sweep(row(), row("two")), sweep(row(sha="b", os_build="13", runtime_version="1.23", verdict="noisy"),
                                        row("two", sha="c"), id="s-b"),
    )  # fmt: skip
    notes = {note.text: note.pairs for note in found.notes}
    assert notes == {"another file": 2, "ANOTHER OS BUILD: 12 and 13": 1, "another onnxruntime: 1.22 and 1.23": 1,
                     "B is noisy": 1}  # fmt: skip


def test_sizes_memory_and_loading_are_side_by_side() -> None:
    pair = both(row(bytes=1000, peak_rss_bytes=200, load_cold_ms=3.0, model_rss_bytes=0),
                row(bytes=900, peak_rss_bytes=300, load_cold_ms=3.0, model_rss_bytes=5, p90_ms=4.0))  # fmt: skip
    changes = {change.quantity: (change.a, change.b, change.ratio) for change in pair.changes}
    assert changes == {"size_bytes": (1000, 900, 0.9), "peak_rss_bytes": (200, 300, 1.5),
                       "load_cold_ms": (3.0, 3.0, 1.0), "model_rss_bytes": (0, 5, None)}  # fmt: skip


def test_accuracy_on_the_same_data_is_compared_with_its_doubt() -> None:
    def evaluation(sha: str, value: float | None, data: str = "d", created: str = "2026-01-01") -> Evaluation:
        ci = None if value is None else (value - 0.03, value + 0.04)
        return Evaluation(artifact_sha256=sha * 64, model="net", format="onnx", precision="fp32", dataset="digits",
                          dataset_sha256=data * 64, metric="top1", value=value, ci95=ci, samples=100,
                          created=created)  # fmt: skip

    a = sweep(row(sha="a"), evaluations=[evaluation("a", 0.9), evaluation("a", 0.5, created="2025-01-01")])
    b = sweep(row(sha="b", p50=9.0), id="s-b",
              evaluations=[evaluation("b", 0.8), evaluation("b", 0.1, data="e"), evaluation("b", None)])  # fmt: skip
    (change,) = [change for change in compare(a, b).pairs[0].changes if change.dataset]
    assert (change.quantity, change.a, change.b, change.dataset) == ("top1", 0.9, 0.8, "digits")
    assert change.interval == pytest.approx((-0.1 - math.hypot(0.03, 0.04), -0.1 + math.hypot(0.04, 0.03)))


# -- matching ----------------------------------------------------------------------------------------------------------


def labels(found: Comparison) -> list[tuple[str, str, str]]:
    return [(pair.b.candidate.label, pair.a.device, pair.b.device) for pair in found.pairs]


def test_candidates_are_matched_by_what_they_are_and_the_rest_is_listed() -> None:
    a = sweep(row("one"), row("two"), row("two", threads=2), row("gone", sha="f"))
    cell = SweepCell(sweep_id="s-b", key="k", model="gone", format="onnx", precision="fp32", threads=1, device="host",
                     state="failed", kind="convert", reason="it has no kernel")  # fmt: skip
    b = sweep(row("two", p50=20.0), row("one", p50=9.0, sha="b"), row("new"), id="s-b", unmeasured=[cell])
    found = compare(a, b)
    assert labels(found) == [("two onnx fp32, 1 thread", "host", "host"), ("one onnx fp32, 1 thread", "host", "host")]
    assert [(one.side.candidate.label, one.reason) for one in found.only_in_a] == [
        ("two onnx fp32, 2 threads", None), ("gone onnx fp32, 1 thread", "failed: it has no kernel")]  # fmt: skip
    assert [one.side.candidate.model for one in found.only_in_b] == ["new"]


def test_on_several_devices_each_is_matched_with_itself() -> None:
    def on(device: str, name: str, p50: float) -> Measured:
        return row(device=device, device_name=name, p50=p50, id=f"{device}{p50}")

    a = sweep(on("adb:1", "Pixel 7", 10.0), on("adb:2", "Pixel 7", 11.0), on("adb:3", "Pixel 8", 5.0))
    b = sweep(on("adb:3", "Pixel 8", 5.1), on("adb:2", "Pixel 7", 11.1), on("adb:9", "Pixel 7", 10.1),
              on("adb:4", "Pixel 9", 4.0), id="s-b")  # fmt: skip
    found = compare(a, b)
    assert sorted(item[1:] for item in labels(found)) == [("adb:1", "adb:9"), ("adb:2", "adb:2"), ("adb:3", "adb:3")]
    assert [note.text for note in found.notes] == ["another unit of the device: adb:1 and adb:9"]
    assert [one.side.device_name for one in found.only_in_b] == ["Pixel 9"]


def test_nothing_in_common_is_an_error_that_says_so() -> None:
    with pytest.raises(IncomparableError, match="no candidate in common: 1 in A, 1 in B") as caught:
        compare(sweep(row("one")), sweep(row("two"), id="s-b"))
    assert caught.value.code == 2 and caught.value.next_step


# -- many pairs --------------------------------------------------------------------------------------------------------


def test_the_geometric_mean_has_the_interval_of_the_mean() -> None:
    a = sweep(*(row(f"m{n}", p50=10.0, half=0.02) for n in range(4)))
    b = sweep(*(row(f"m{n}", p50=p50, half=0.02) for n, p50 in enumerate((20.0, 5.0, 11.0, 10.0))), id="s-b")
    mean = compare(a, b).geometric_mean
    assert mean is not None and (mean.pairs, mean.quantity) == (4, "p50_ms")
    assert mean.ratio == pytest.approx(1.1 ** (1 / 4))
    half = math.log(1.02) * math.sqrt(2) * 2 / 4
    assert mean.ci95 == pytest.approx((mean.ratio * math.exp(-half), mean.ratio * math.exp(half)))


def measured(random: np.random.Generator, model: str, factor: float = 1.0) -> Measured:
    """A candidate with Student's interval of three cold starts that differ by 1%, as a measurement states it."""
    logs = math.log(10 * factor) + 0.01 * random.standard_normal(3)
    half = student_t95(2) * float(logs.std(ddof=1)) / math.sqrt(3)
    middle = float(logs.mean())
    ends = (math.exp(middle - half), math.exp(middle + half))
    return row(model, p50=math.exp(middle), ci95_ms=ends, id=f"{model}-{random.random()}")


def test_of_many_equal_pairs_none_is_called_different_more_often_than_stated() -> None:
    random = np.random.default_rng(1)
    wrong = alone = 0
    for _ in range(200):
        runs = [sweep(*(measured(random, f"m{n}") for n in range(30)), id=name) for name in ("s-a", "s-b")]
        pairs = compare(*runs).pairs
        wrong += any(pair.verdict != "no-difference" for pair in pairs)
        alone += any(not pair.ci95[0] < 1 < pair.ci95[1] for pair in pairs if pair.ci95)
        for pair in pairs:
            if pair.reasons:
                assert pair.verdict == "no-difference" and "by chance" in pair.reasons[0]
    assert wrong <= 0.05 * 200
    assert alone > 0.10 * 200, "the pairs' own intervals are enough: the correction would not be needed"


def test_real_changes_among_many_pairs_are_found_and_hardly_any_other() -> None:
    random = np.random.default_rng(2)
    found, shares = 0, []
    for _ in range(100):
        a = sweep(*(measured(random, f"m{n}") for n in range(30)))
        b = sweep(*(measured(random, f"m{n}", 1.25 if n < 10 else 1.0) for n in range(30)), id="s-b")
        called = [pair for pair in compare(a, b).pairs if pair.verdict in ("slower", "faster")]
        false = [pair for pair in called if int(pair.b.candidate.model[1:]) >= 10]
        found += len(called) - len(false)
        shares.append(len(false) / len(called) if called else 0.0)
    assert found >= 0.95 * 10 * 100
    assert float(np.mean(shares)) <= 0.05


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    # Tabulated quantiles of Student's distribution (Abramowitz and Stegun, table 26.10).
    [(12.706, 1, 0.05), (63.657, 1, 0.01), (4.303, 2, 0.05), (31.598, 2, 0.001), (3.182, 3, 0.05), (2.776, 4, 0.05),
     (8.610, 4, 0.001), (2.228, 10, 0.05), (4.587, 10, 0.001), (2.042, 30, 0.05), (0.0, 5, 1.0)],
)  # fmt: skip
def test_students_distribution(t: float, freedom: int, p: float) -> None:
    assert chance.student_p(t, freedom) == pytest.approx(p, rel=2e-3)
    assert chance.student_p(-t, freedom) == chance.student_p(t, freedom)


@pytest.mark.parametrize("repeats", [(2, 2), (3, 3), (3, 9), (20, 5)])
def test_two_stated_intervals_give_welchs_test(repeats: tuple[int, int]) -> None:
    random = np.random.default_rng(sum(repeats))
    logs = [math.log(10 + 0.1 * side) + 0.01 * random.standard_normal(count) for side, count in enumerate(repeats)]
    runs = []
    for values in logs:
        middle, half = float(values.mean()), student_t95(len(values) - 1) * float(stats.sem(values))
        ends = (math.exp(middle - half), math.exp(middle + half))
        runs.append(row(p50=math.exp(middle), ci95_ms=ends, plan=Plan(repeats=len(values))).measurement)
    expected = float(stats.ttest_ind(*logs, equal_var=False).pvalue)
    assert expected * 0.999 <= chance.separate_p(*runs) <= expected * 1.3


def test_adjusted_probabilities_are_those_of_benjamini_and_hochberg() -> None:
    # The example of their paper, section 3.2: with 15 of them at 5%, the first four are called differences.
    paper = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
             0.7590, 1.0]  # fmt: skip
    found = chance.adjusted(paper)
    assert sum(p <= 0.05 for p in found) == 4
    assert found[:4] == pytest.approx([0.0015, 0.003, 0.0095, 0.035625])
    assert chance.adjusted(paper[::-1]) == found[::-1] and found == sorted(found)
    assert chance.adjusted([0.9, 0.8]) == [0.9, 0.9] and chance.adjusted([]) == []


def test_a_probability_and_its_interval_agree_at_the_edge() -> None:
    for rounds in (2, 3, 10):
        assert chance.paired_p(Ratio(1.1, 1.0, 1.21, rounds)) == pytest.approx(0.05, abs=2e-4)
    # Exact times, as a simulator has: equal ones are not different, others are.
    exact = row(half=0.0).measurement
    assert chance.separate_p(exact, exact) == 1.0
    assert chance.separate_p(exact, row(p50=10.1, half=0.0).measurement) == 0.0


def test_the_document_reads_back_as_it_was() -> None:
    found = compare(sweep(row(), row("two"), row("three")), sweep(row(p50=12.0), row("two", p50=10.0), id="s-b"))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found

from __future__ import annotations

import numpy as np
import pytest

from edgekit.choose.accuracy import from_evaluations
from edgekit.choose.comparable import MIN_SAMPLES
from edgekit.choose.quantities import half_width, written, written_with_doubt
from edgekit.choose.rows import MEMORY_SPREAD, make_rows, measured_quantity
from edgekit.measure import verdict
from edgekit.records import Measurement
from edgekit.selection import Measured, Quantity
from tests.unit.choose.made import artifact, evaluation, measured, measurement, quantity
from tests.unit.store.samples import make_repeat


def of(m: Measurement, name: str) -> Quantity:
    found = measured_quantity(m, name)
    assert found is not None
    return found


def test_the_median_has_the_measurements_own_interval() -> None:
    found = of(measurement("net", 10, 0.2), "p50_ms")
    assert (found.value, found.low, found.high, found.source) == (10, 9.8, 10.2, "measured")


def test_figures_that_were_not_measured_are_not_made_up() -> None:
    assert measured_quantity(measurement("net", ci95_ms=None), "p50_ms") is None
    assert measured_quantity(measurement("net", p99_ms=None), "p99_ms") is None
    assert measured_quantity(measurement("net"), "sram_bytes") is None


def test_counted_figures_are_exact() -> None:
    m = measurement("net", instructions=3_000_000, sram_bytes=65_536, flash_bytes=120_000)
    for name in ("instructions", "sram_bytes", "flash_bytes"):
        found = of(m, name)
        assert found.low == found.value == found.high and found.source == "counted"


def test_cycles_are_as_doubtful_as_the_time() -> None:
    found = of(measurement("net", 10, 0.5, cycles=1000), "cycles")
    assert (found.low, found.high) == pytest.approx((950, 1050))


def test_memory_measured_once_says_what_is_assumed() -> None:
    found = of(measurement("net", peak_rss_bytes=100_000_000, model_rss_bytes=10_000_000), "model_rss_bytes")
    assert found.high - found.value == pytest.approx(MEMORY_SPREAD * 100_000_000)
    assert found.note is not None and "assumed" in found.note


@pytest.mark.parametrize("share", [0.9, 0.99])
def test_the_interval_of_a_high_quantile_covers_it(share: float) -> None:
    """Of 400 measurements of one distribution, at least 95% have its true quantile inside."""
    generator = np.random.default_rng(7)
    truth = 10 + 2 * -np.log(1 - share)
    name = {0.9: "p90_ms", 0.99: "p99_ms"}[share]
    inside = 0
    for _ in range(400):
        runs = 10 + 2 * generator.exponential(size=600)
        p50, p90, p99 = np.percentile(runs, [50, 90, 99])
        middle = np.sort(runs)[[276, 324]]
        m = measurement("net", samples=600, p50_ms=p50, p90_ms=p90, p99_ms=p99, max_ms=runs.max(),
                        ci95_ms=(middle[0], middle[1]))  # fmt: skip
        found = of(m, name)
        inside += found.low <= truth <= found.high
    assert inside >= 380


def test_a_tail_is_less_certain_than_the_median_and_the_more_so_with_few_runs() -> None:
    many, few = (measurement("net", 10, 0.1, samples=samples) for samples in (5000, 60))
    width = {id(m): of(m, "p99_ms").high / of(m, "p99_ms").value for m in (many, few)}
    assert width[id(few)] > width[id(many)] > 1.01
    note = of(few, "p99_ms").note
    assert note is not None and "its upper end is the slowest run" in note
    assert of(few, "p99_ms").high == pytest.approx(16 * 1.01)


def test_cold_figures_need_their_repeats() -> None:
    m = measurement("net", first_ms=2.0, load_cold_ms=20.0)
    assert measured_quantity(m, "first_ms") is None
    repeats = tuple(make_repeat(index) for index in range(3))
    found = of(measurement("net", first_ms=13e-6, repeats=repeats), "first_ms")
    assert (found.low, found.value, found.high) == pytest.approx((13e-6, 13e-6, 13e-6))
    found = of(measurement("net", load_cold_ms=12e-6, repeats=repeats), "load_cold_ms")
    # The logarithms of 11, 12, 13 ns; Student's factor for two degrees of freedom.
    logs = np.log([11e-6, 12e-6, 13e-6])
    half = 4.3027 * logs.std(ddof=1) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((np.exp(logs.mean() - half), np.exp(logs.mean() + half)), rel=1e-4)


def test_emulated_times_are_refused_and_emulated_counts_are_not() -> None:
    one = measured("net", emulated=True, instructions=5000, device="virtual:cortex-m7")
    (row,) = make_rows([one], ["p50_ms", "instructions", "size_bytes"])
    assert set(row.quantities) == {"instructions", "size_bytes"}
    assert "--emulated" in row.missing["p50_ms"]
    (row,) = make_rows([one], ["p50_ms"], emulated=True)
    assert row.quantities["p50_ms"].value == 10


def test_a_row_has_what_is_known_of_the_file_and_its_accuracy() -> None:
    accuracies = from_evaluations([evaluation("net", 0.7)], ["top1", "top5"])
    files = [measured("net"), Measured(measurement=measurement("other"), artifact=artifact("other", bytes=7))]
    first, second = make_rows(files, ["top1", "size_bytes", "nonsense_ms"], accuracies)
    assert first.quantities["top1"].value == 0.7 and first.parity is True
    assert second.quantities["size_bytes"].value == 7
    (third,) = make_rows([measured("net", first_ms=2.0)], ["first_ms", "sram_bytes"])
    assert third.missing == {"first_ms": "its first_ms has no 95% interval",
                             "sram_bytes": "it was measured without sram_bytes"}  # fmt: skip
    assert second.missing["top1"] == "it has not been evaluated on test.npz"
    assert first.conditions.device_name == "A CPU" and first.candidate.engine == "litert"


def test_the_least_number_of_runs_is_the_verdicts() -> None:
    assert MIN_SAMPLES == verdict.MIN_SAMPLES


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("p50_ms", 9.876, "9.88 ms"), ("p50_ms", 123.4, "123.4 ms"), ("p50_ms", 0.1234, "0.123 ms"),
        ("size_bytes", 999, "999 B"), ("size_bytes", 12_345_678, "12.35 MB"), ("size_bytes", 3.2e9, "3.20 GB"),
        ("top1", 0.7512, "75.12%"), ("miou", 0.57321, "0.5732"), ("instructions", 12_345_678, "12.346 M"),
        ("instructions", 950, "950"),
    ],
)  # fmt: skip
def test_figures_for_people(name: str, value: float, text: str) -> None:
    assert written(name, value) == text


def test_doubt_for_people() -> None:
    assert written_with_doubt("p50_ms", quantity(9.8, 0.1)) == "9.80 ms (9.70 to 9.90 ms)"
    assert written_with_doubt("top1", quantity(0.75, 0.01)) == "75.00% (74.00 to 76.00%)"
    assert written_with_doubt("size_bytes", quantity(5_000_000)) == "5.00 MB"
    assert written_with_doubt("size_bytes", quantity(1e6, 1e5)) == "1.00 MB (900.0 KB to 1.10 MB)"
    assert half_width("top1", quantity(0.75, 0.012)) == "±1.2"
    assert half_width("p50_ms", quantity(10, 0.25)) == "±2.5%"
    assert half_width("size_bytes", quantity(10)) == ""

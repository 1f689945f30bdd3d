from __future__ import annotations

import msgspec
import pytest

from edgekit.records import Plan
from edgekit.selection import SweepCell
from edgekit.sweep.estimate import Estimate, words

PLAN = Plan(warmup_min_seconds=1.0, min_seconds=2.0, repeats=3)


def cell(name: str, device: str = "host", state: str = "pending") -> SweepCell:
    return msgspec.convert(
        {"sweep_id": "s", "key": f"{name}@{device}", "model": name, "format": "onnx", "precision": "fp32", "threads": 1,
         "device": device, "state": state}, SweepCell,
    )  # fmt: skip


def test_repeats_are_counted_and_settled_cells_are_not_waited_for() -> None:
    cells = [cell("a"), cell("b"), cell("c", state="measured"), cell("d", state="skipped"), cell("e", state="failed")]
    estimate = Estimate(cells, PLAN, {"a@host": 1}, ["host"])
    assert (estimate.left().done, estimate.left().total) == (4, 9)
    estimate.repeated("a@host", 10.0)
    assert (estimate.left().done, estimate.left().total) == (5, 9)
    estimate.ended("b@host")  # it failed: its repeats will not be made
    assert (estimate.left().done, estimate.left().total) == (5, 6)
    assert estimate.left().seconds == pytest.approx(1 * 10.0 + 2.0)
    estimate.repeated("a@host", 10.0)
    estimate.ended("a@host")
    assert (estimate.left().done, estimate.left().total, estimate.left().seconds) == (6, 6, 0.0)


def test_a_cell_that_was_not_to_be_done_when_it_began_counts_for_nothing() -> None:
    """Another process may ask for a failed cell again meanwhile."""
    estimate = Estimate([cell("a"), cell("b", state="failed")], PLAN, {}, ["host"])
    before = estimate.left()
    estimate.repeated("b@host", 100.0)
    estimate.ended("b@host")
    assert estimate.left() == before


def test_own_durations_count_before_those_of_the_device_and_these_before_the_plan() -> None:
    estimate = Estimate([cell("a"), cell("b"), cell("c", "phone")], PLAN, {}, ["host"])
    assert estimate.left().seconds == pytest.approx(2 * (3 * (1 + 2 + 2) + 2))
    estimate.repeated("a@host", 4.0)
    assert estimate.left().seconds == pytest.approx(2 * 4 + 2 + 3 * 4 + 2)
    estimate.repeated("b@host", 8.0)
    assert estimate.left().seconds == pytest.approx(2 * 4 + 2 + 2 * 8 + 2)
    estimate.repeated("c@phone", 100.0)
    assert estimate.left().seconds == pytest.approx(2 * 100 + 2)


def test_what_is_here_waits_for_conversions_and_each_other_the_others_don_t() -> None:
    estimate = Estimate([cell("a"), cell("a", "virtual:x"), cell("a", "phone")], PLAN, {}, ["host", "virtual:x"])
    estimate.conversions_left = 2
    assert estimate.left().seconds == pytest.approx(2 * 20 + 2 * 17)
    estimate.converted(5.0)
    assert estimate.left().seconds == pytest.approx(5 + 2 * 17)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "about 5 s"), (12, "about 10 s"), (89, "about 90 s"), (90, "about 2 min"), (1500, "about 25 min"),
     (5400, "about 1.5 h"), (36000, "about 10.0 h")],
)  # fmt: skip
def test_durations_in_words(seconds: float, text: str) -> None:
    assert words(seconds) == text

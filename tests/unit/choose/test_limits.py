from __future__ import annotations

import pytest

from edgekit.choose.limits import figure_name, parse_constraint, parse_limit
from edgekit.errors import UsageError
from edgekit.selection import Constraint


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("p50_ms", "10ms", 10), ("p50_ms", "10", 10), ("p99_ms", "0.5s", 500), ("p50_ms", "250us", 0.25),
        ("size_bytes", "50MB", 50e6), ("size_bytes", "64KiB", 65536), ("size_bytes", "64 kib", 65536),
        ("sram_bytes", "1.5MiB", 1.5 * 2**20), ("flash_bytes", "1000", 1000), ("peak_rss_bytes", "2GB", 2e9),
        ("instructions", "30M", 30e6), ("cycles", "1.5k", 1500),
        ("top1", "75%", 0.75), ("top1", "0.75", 0.75), ("top1", "75", 0.75), ("top5", "0.5%", 0.005),
        ("accuracy", "100%", 1.0), ("miou", "0.57", 0.57), ("miou", "57", 57), ("miou", "57%", 0.57),
    ],
)  # fmt: skip
def test_limits_have_the_units_that_people_write(name: str, text: str, value: float) -> None:
    assert parse_limit(name, text, "--max") == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p50_ms", "10MB"), ("p50_ms", "fast"), ("p50_ms", "-1"), ("p50_ms", "nan"), ("p50_ms", "1e400"),
        ("p50_ms", ""), ("size_bytes", "10ms"), ("size_bytes", "5%"), ("top1", "1"), ("top1", "101"), ("top1", "130%"),
        ("top1", "75ms"), ("instructions", "3MiB"), ("p50_ms", "9" * 50), ("miou", "3ms"),
    ],
)  # fmt: skip
def test_what_is_no_limit_or_may_mean_two_is_refused(name: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_limit(name, text, "--max-x")
    assert caught.value.where == "--max-x" and caught.value.next_step


def test_one_may_be_a_percent_or_all() -> None:
    with pytest.raises(UsageError, match="1% or all"):
        parse_limit("top1", "1", "--min-top1")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("latency", "p90_ms"), ("Latency", "p90_ms"), ("p50", "p50_ms"), ("size", "size_bytes"),
        ("memory", "model_rss_bytes"), ("accuracy", "miou"), ("top-1", "top1"), ("TOP1", "top1"), ("mIoU", "mIoU"),
        ("metrics.py:iou", "metrics.py:iou"),
    ],
)  # fmt: skip
def test_what_people_call_the_figures(text: str, name: str) -> None:
    assert figure_name(text, latency="p90", metric="miou") == name


def test_no_name_is_refused_and_the_names_are_listed() -> None:
    with pytest.raises(UsageError) as caught:
        figure_name("p50 ms; rm", where="--minimize")
    assert "p50_ms" in caught.value.next_step


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("p90_ms<=12", Constraint(quantity="p90_ms", sense="<=", limit=12)),
        ("top1 >= 75%", Constraint(quantity="top1", sense=">=", limit=0.75)),
        ("latency ≤ 0.01s", Constraint(quantity="p50_ms", sense="<=", limit=10)),
        ("size<=4MB", Constraint(quantity="size_bytes", sense="<=", limit=4e6)),
    ],
)
def test_a_condition(text: str, made: Constraint) -> None:
    assert parse_constraint(text) == made


@pytest.mark.parametrize("text", ["p90_ms<12", "p90_ms=12", "p90_ms", "<=12", "p90_ms<=", "a<=b<=3", "p90_ms<=12ms<=3"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_constraint(text)

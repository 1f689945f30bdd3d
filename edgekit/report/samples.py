"""Samples reduced to what a plot can show, by rules that the page states."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.records import DeviceState, Repeat
from edgekit.report.data import RunShape, StatePoint
from edgekit.store.query import microseconds

# Values of a distribution that are drawn, from the smallest run to the largest.
ECDF_POINTS = 101
# Runs in order that are drawn of one repeat; of more, the smallest and the largest of each of so many stretches.
SERIES_RUNS = 300
STRETCHES = 150
_DIGITS = 5

QUANTILES_RULE = f"A distribution is drawn through {ECDF_POINTS} of the quantiles of every run."
RULE = (
    f"{QUANTILES_RULE} Of a repeat with more than {SERIES_RUNS} runs, the runs in order are the smallest and the "
    f"largest of each of {STRETCHES} equal stretches."
)

Values = NDArray[np.float64]


def shape(repeat: Repeat) -> RunShape | None:
    """The runs of one repeat: milliseconds, or what was counted where there is no time; None without any."""
    values = np.asarray(repeat.samples_ns, np.float64) / 1e6 if repeat.samples_ns else np.asarray(repeat.counts, float)
    if not len(values):
        return None
    low, p5, p25, p50, p75, p95, p99, high = (
        _short(value) for value in np.percentile(values, [0, 5, 25, 50, 75, 95, 99, 100])
    )
    ecdf = np.percentile(values, np.linspace(0, 100, ECDF_POINTS), method="inverted_cdf")
    series, thinned = _series(values)
    return RunShape(
        started=repeat.started, runs=len(values), low=low, p5=p5, p25=p25, p50=p50, p75=p75, p95=p95, p99=p99,
        high=high, ecdf=tuple(_short(value) for value in ecdf), series=series, thinned=thinned,
    )  # fmt: skip


def states(repeats: Sequence[Repeat]) -> tuple[StatePoint, ...]:
    """The device before and after each repeat, in time order."""
    found = []
    for number, repeat in enumerate(repeats, 1):
        spent = sum(repeat.samples_ns) + sum(repeat.warmup_ns)
        spent += repeat.load_cold_ns + repeat.load_warm_ns + repeat.first_ns
        start = microseconds(repeat.started)
        found.append(_state(repeat.state_before, start, "before", number))
        found.append(_state(repeat.state_after, start + spent // 1000, "after", number))
    return tuple(found)


def thin(points: Sequence[StatePoint], limit: int) -> list[StatePoint]:
    """At most ``limit`` of them, evenly spaced, the first and the last always among them."""
    if len(points) <= limit:
        return list(points)
    places = sorted({round(step * (len(points) - 1) / (limit - 1)) for step in range(limit)})
    return [points[place] for place in places]


def _series(values: Values) -> tuple[tuple[tuple[int, float], ...], bool]:
    if len(values) <= SERIES_RUNS:
        return tuple((place + 1, _short(value)) for place, value in enumerate(values)), False
    edges = np.linspace(0, len(values), STRETCHES + 1).astype(int)
    places: list[int] = []
    for start, end in pairwise(edges.tolist()):
        part = values[start:end]
        places += sorted({start + int(part.argmin()), start + int(part.argmax())})
    return tuple((place + 1, _short(values[place])) for place in places), True


def _short(value: Any) -> float:
    """Without digits that no plot shows."""
    return float(f"{float(value):.{_DIGITS}g}")


def _state(state: DeviceState, time_us: int, when: Any, repeat: int) -> StatePoint:
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=time_us)
    temperatures = state.temperatures_c or {}
    return StatePoint(
        time=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        when=when,
        repeat=repeat,
        temperature_c=max(temperatures.values()) if temperatures else None,
        frequency_mhz=median(state.frequencies_khz) / 1000 if state.frequencies_khz else None,
        load_1min=state.load_1min,
        throttle_count=state.throttle_count,
        thermal_status=state.thermal_status,
        battery_percent=state.battery_percent,
    )

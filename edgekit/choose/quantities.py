"""The figures that candidates are chosen by: their names, units and scales, and how they are written for people.

Every other name is an accuracy metric: ``topK`` is a share from 0 to 1, any other is in its own unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgekit.selection import Direction, Quantity

Unit = Literal["ms", "bytes", "count"]


@dataclass(frozen=True)
class Figure:
    """``time`` figures are no device's latency where the device is emulated; ``word`` is what people call it."""

    unit: Unit
    word: str
    time: bool = False


FIGURES: dict[str, Figure] = {
    "p50_ms": Figure("ms", "median latency", time=True),
    "p90_ms": Figure("ms", "p90 latency", time=True),
    "p99_ms": Figure("ms", "p99 latency", time=True),
    "first_ms": Figure("ms", "first inference", time=True),
    "load_cold_ms": Figure("ms", "cold load", time=True),
    "peak_rss_bytes": Figure("bytes", "peak memory of the process"),
    "model_rss_bytes": Figure("bytes", "memory"),
    "size_bytes": Figure("bytes", "size"),
    "sram_bytes": Figure("bytes", "SRAM"),
    "flash_bytes": Figure("bytes", "flash"),
    "instructions": Figure("count", "instructions"),
    "cycles": Figure("count", "cycles", time=True),
}

# What people type -> the name; latency and accuracy also depend on --latency and --metric.
ALIASES: dict[str, str] = {
    "p50": "p50_ms", "p90": "p90_ms", "p99": "p99_ms", "first": "first_ms", "load": "load_cold_ms",
    "size": "size_bytes", "memory": "model_rss_bytes", "sram": "sram_bytes", "flash": "flash_bytes",
    "top-1": "top1", "top-5": "top5",
}  # fmt: skip


def is_accuracy(name: str) -> bool:
    """Whether it is an accuracy metric, which no measurement on a device gives."""
    return name not in FIGURES


def is_share(name: str) -> bool:
    """Whether it is a share of samples, written in percent."""
    return re.fullmatch(r"top\d+|acc(uracy)?", name) is not None


def is_time(name: str) -> bool:
    """Whether it is a time, or follows from one."""
    return name in FIGURES and FIGURES[name].time


def on_log_scale(name: str) -> bool:
    """Times are compared by ratio, everything else by difference."""
    return is_time(name)


def usual_direction(name: str) -> Direction:
    """Times, memory and counts are better small; accuracies large."""
    return "minimize" if name in FIGURES else "maximize"


def directions(given: Mapping[str, Direction], names: tuple[str, ...]) -> dict[str, Direction]:
    """What is better for each name: as it was asked for, else as usual."""
    return {name: given.get(name, usual_direction(name)) for name in names}


def word(name: str) -> str:
    """The figure's name for people."""
    return FIGURES[name].word if name in FIGURES else name


def written(name: str, value: float) -> str:
    """One value with its unit."""
    if is_share(name):
        return f"{value * 100:.2f}%"
    unit = FIGURES[name].unit if name in FIGURES else None
    if unit == "ms":
        return f"{_digits(value)} ms"
    if unit == "bytes":
        return _bytes(value)
    if unit == "count":
        return f"{value / 1e6:,.3f} M" if abs(value) >= 1e5 else f"{value:,.0f}"
    return f"{value:.4g}"


def written_with_doubt(name: str, quantity: Quantity) -> str:
    """``9.84 ms (9.71 to 9.98)``; only the value where it is exact."""
    value = written(name, quantity.value)
    if quantity.low == quantity.high:
        return value
    low, high = (written(name, bound) for bound in (quantity.low, quantity.high))
    unit = re.search(r"( [A-Za-z]+|%)$", high)
    shared = unit is not None and low.endswith(unit[0])
    return f"{value} ({low[: -len(unit[0])] if unit and shared else low} to {high})"


def half_width(name: str, quantity: Quantity) -> str:
    """``±1.3%`` of the value, or ``±1.3`` points for a share; nothing where it is exact."""
    half = (quantity.high - quantity.low) / 2
    if half == 0:
        return ""
    if is_share(name):
        return f"±{half * 100:.1f}"
    return f"±{half / abs(quantity.value):.1%}" if quantity.value else f"±{half:.3g}"


def written_limit(name: str, limit: float) -> str:
    """A limit, with as few digits as it was given."""
    if is_share(name):
        return f"{limit * 100:.6g}%"
    if name in FIGURES and FIGURES[name].unit == "ms":
        return f"{limit:.6g} ms"
    return written(name, limit)


def _digits(value: float) -> str:
    """Three significant digits or more: enough to see on which side of a limit a figure is."""
    size = abs(value)
    return f"{value:.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3}f}"


def _bytes(value: float) -> str:
    for unit in ("B", "KB", "MB"):
        if abs(value) < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{_digits(value)} {unit}"
        value /= 1000
    return f"{_digits(value)} GB"

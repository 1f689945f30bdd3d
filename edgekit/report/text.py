"""Figures and records as words, the same on every part of the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from edgekit.choose import quantities
from edgekit.records import Measurement
from edgekit.report.data import Candidate, Rank
from edgekit.selection import Conditions, Quantity

DASH = "–"
EMULATED = "emulated: not a device's latency"
RANKS: dict[Rank, str] = {
    "chosen": "chosen",
    "tie": "can't be told from the chosen one",
    "undecided": "undecided: the data don't say whether it meets the constraints",
    "front": "on the front: none certainly beats it",
    "dominated": "certainly beaten by another one",
    "unplaced": "not placed: left out of the choice, or its accuracy is not known",
    "unusable": "not usable: see its verdict",
}


def significant(value: float | None, digits: int = 3) -> str:
    """A figure with so many significant digits; with an exponent only if very small; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.{digits - 1}e}".replace("e-0", "e-")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)) + 1e-12))
    return f"{value:,.{decimals}f}"


def amount(value: float | None, unit: str) -> str:
    """``3.21 ms``, ``12.3 M instructions``."""
    if value is None:
        return DASH
    if unit == "ms":
        return f"{significant(value)} ms"
    return f"{value / 1e6:,.3f} M {unit}" if value >= 1e5 else f"{value:,.0f} {unit}"


def span(low: float, high: float, unit: str) -> str:
    """``3.21 to 3.45 ms``."""
    if unit == "ms":
        return f"{between(significant(low), significant(high))} ms"
    return between(amount(low, unit), amount(high, unit))


def size(count: float | None) -> str:
    """Bytes in decimal units."""
    if count is None:
        return DASH
    value = float(count)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{significant(value)} {unit}"
        value /= 1000
    return f"{significant(value)} GB"


def is_share(metric: str | None) -> bool:
    """Whether a metric is a share from 0 to 1 that is shown in percent."""
    return metric is not None and quantities.is_share(metric)


def accuracy(value: float | None, metric: str | None) -> str:
    """A value of a metric."""
    if value is None:
        return DASH
    return f"{value:.2%}" if is_share(metric) else significant(value, 4)


def between(low: str, high: str) -> str:
    """The two ends of an interval."""
    return f"{low} to {high}"


def interval(quantity: Quantity | None, unit: str) -> str:
    """The 95% interval of a time or a count."""
    if quantity is None or quantity.low == quantity.high:
        return DASH
    return span(quantity.low, quantity.high, unit)


def verdict(measurement: Measurement) -> str:
    """The verdict, and that the device is not a real one."""
    return f"{measurement.verdict}, emulated" if measurement.emulated else measurement.verdict


def device(conditions: Conditions) -> str:
    """The device of a group, in a few words."""
    return f"{conditions.device_name} (emulated)" if conditions.emulated else conditions.device_name


def conditions_lines(conditions: Conditions) -> list[tuple[str, str]]:
    """(name, fact) of all under what a group was measured."""
    plan = conditions.plan
    return [
        ("Device", device(conditions)),
        ("Processor", conditions.soc or "not told"),
        ("System", conditions.os_build or "not told"),
        ("Clocks", conditions.clock_regime),
        ("Harness", f"{conditions.harness} {conditions.harness_version}"),
        ("Warm-up", f"≥ {plan.warmup_min_runs} runs and ≥ {plan.warmup_min_seconds:g} s, until steady, "
                    f"≤ {plan.warmup_max_seconds:g} s"),
        ("Timed", f"≥ {plan.min_runs} runs and ≥ {plan.min_seconds:g} s, ≤ {plan.max_seconds:g} s, in each of "
                  f"{plan.repeats} cold repeat{'s' if plan.repeats != 1 else ''}"),
    ]  # fmt: skip


def labels(measurements: Sequence[Measurement]) -> list[str]:
    """A short name for each, without what is the same for all; like ones get their device, then their id."""
    precisions = {m.precision for m in measurements}
    threads = {m.threads for m in measurements}
    found = []
    for m in measurements:
        parts = [m.model, m.format]
        parts += [m.precision] if len(precisions) > 1 else []
        parts += [f"{m.threads} thread{'s' if m.threads != 1 else ''}"] if len(threads) > 1 else []
        found.append(" · ".join(parts))
    return _told_apart(_told_apart(found, [f"on {m.device}" for m in measurements]), [m.id[:8] for m in measurements])


def _told_apart(names: Sequence[str], by: Sequence[str]) -> list[str]:
    again = {name for name, count in Counter(names).items() if count > 1}
    return [f"{name} · {more}" if name in again else name for name, more in zip(names, by, strict=True)]


def same_for_all(candidates: Sequence[Candidate]) -> list[str]:
    """What the short names leave out."""
    if not candidates:
        return []
    said = []
    precisions = {c.measurement.precision for c in candidates}
    threads = {c.measurement.threads for c in candidates}
    if len(precisions) == 1:
        said.append(f"precision {precisions.pop()}")
    if len(threads) == 1:
        count = threads.pop()
        said.append(f"{count} thread{'s' if count != 1 else ''}")
    return said

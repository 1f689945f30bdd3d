"""What a person writes for a bound or an aim: ``10ms``, ``50MB``, ``75%``, ``p90_ms<=12``, ``latency``."""

from __future__ import annotations

import math
import re

from edgekit.choose.quantities import ALIASES, FIGURES, is_share
from edgekit.errors import UsageError
from edgekit.selection import Constraint, Direction, Objective, Sense

_NAME = re.compile(r"[A-Za-z][\w.@:/-]{0,127}", re.ASCII)
_NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-zµ]*|%)")
_TIMES = {"": 1.0, "ms": 1.0, "s": 1e3, "us": 1e-3, "µs": 1e-3}
_SIZES = {"": 1.0, "b": 1.0}
for _power, _letter in enumerate("kmg", 1):
    _SIZES |= {_letter: 1e3**_power, f"{_letter}b": 1e3**_power, f"{_letter}ib": 1024.0**_power}
_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_DIRECTIONS: dict[str, Direction] = {"maximize": "maximize", "minimize": "minimize"}
_UNITS = {"ms": (_TIMES, "10ms or 0.5s"), "bytes": (_SIZES, "50MB or 64KiB"), "count": (_COUNTS, "3000000 or 3M")}


def figure_name(text: str, *, latency: str = "p50", metric: str = "top1", where: str = "") -> str:
    """The figure that ``text`` names.

    Args:
        latency: the percentile that ``latency`` stands for: p50, p90 or p99.
        metric: the metric that ``accuracy`` stands for.

    Raises:
        UsageError: it is no name.
    """
    plain = text.strip()
    if not _NAME.fullmatch(plain):
        raise UsageError(f"{text[:80]!r} names no figure.", where=where, next_step=_known())
    lower = plain.lower()
    if lower == "latency":
        return f"{latency}_ms"
    if lower == "accuracy":
        return metric
    if lower in ALIASES or lower in FIGURES:
        return ALIASES.get(lower, lower)
    return lower if is_share(lower) else plain


def _known() -> str:
    return f"The figures are latency, memory, size, accuracy, {', '.join(FIGURES)}, top1 or a metric of yours."


def parse_limit(name: str, text: str, where: str) -> float:
    """A bound of the figure ``name`` in its own unit: ms, bytes, a count, a share from 0 to 1, or a plain number.

    MB is 10^6 bytes and MiB 2^20. A share is written with a percent sign, or as 0.75, or as 75.

    Raises:
        UsageError: it is no such number, or may mean two.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None or len(text) > 40:
        raise UsageError(f"{text[:40]!r} is no bound for {name}.", where=where, next_step=f"For example {_like(name)}.")
    number, unit = float(match[1]), match[2]
    if not math.isfinite(number):
        raise UsageError(f"{text[:40]!r} is not finite.", where=where, next_step=f"For example {_like(name)}.")
    if name not in FIGURES:
        if unit not in ("", "%"):
            raise UsageError(f"{name} has no unit {unit}.", where=where, next_step=f"For example {_like(name)}.")
        share = number / 100 if unit else _share(name, number, where)
        if is_share(name) and share > 1:
            raise UsageError(f"{text} is more than all.", where=where, next_step=f"For example {_like(name)}.")
        return share
    units, _ = _UNITS[FIGURES[name].unit]
    if unit.lower() not in units:
        raise UsageError(f"{name} has no unit {unit}.", where=where, next_step=f"For example {_like(name)}.")
    return number * units[unit.lower()]


def _share(metric: str, value: float, where: str) -> float:
    """The share that a plain number means, as 0.75; above 1 it is percent.

    Raises:
        UsageError: it is 1, which may be either, or no share at all.
    """
    if not is_share(metric):
        return value
    if value == 1 or not 0 <= value <= 100:
        what = "may be 1% or all of them" if value == 1 else "is no share"
        raise UsageError(f"{metric}: {value:g} {what}.", where=where, next_step="Write it with a percent sign: 75%.")
    return value / 100 if value > 1 else value


def _like(name: str) -> str:
    if name not in FIGURES:
        return "75%" if is_share(name) else "0.5"
    return _UNITS[FIGURES[name].unit][1]


def parse_objective(text: str) -> Objective:
    """``maximize top1``, ``minimize latency`` and the like.

    Raises:
        UsageError: it is nothing of the kind.
    """
    way, _, name = text.strip().partition(" ")
    if way not in _DIRECTIONS:
        raise UsageError(f"{text[:80]!r} is no objective.", where="objectives",
                         next_step="For example 'maximize top1' or 'minimize latency'.")  # fmt: skip
    return Objective(quantity=figure_name(name, where="objectives"), direction=_DIRECTIONS[way])


def parse_constraint(text: str, *, latency: str = "p50", metric: str = "top1", where: str = "--require") -> Constraint:
    """``p90_ms<=12``, ``top1 >= 75%`` and the like.

    Raises:
        UsageError: it is nothing of the kind.
    """
    match = re.fullmatch(r"([^<>=]{1,128})(<=|>=|≤|≥|<|>|==?)(.{1,64})", text.strip())
    if match is None or match[2] in ("<", ">", "=", "=="):
        raise UsageError(f"{text[:80]!r} is no condition.", where=where,
                         next_step='A condition has <= or >=, in quotes: --require "p90_ms<=12".')  # fmt: skip
    name = figure_name(match[1], latency=latency, metric=metric, where=where)
    sense: Sense = "<=" if match[2] in ("<=", "≤") else ">="
    return Constraint(quantity=name, sense=sense, limit=parse_limit(name, match[3], where))

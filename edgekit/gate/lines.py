"""What the gate says of one quantity of one model, and how figures that are not timed are judged."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal

from edgekit.gate.decide import Decision, State
from edgekit.records import Artifact, DeviceParity, Parity, Record

Result = Literal["ok", "same-file", "regressed", "over-budget", "undecided", "not-checked"]
Unit = Literal["ms", "bytes", "count", "value", "share", "parity"]
_OF_LIMIT: dict[State, Result] = {"over": "over-budget", "ok": "ok"}
FAILING: tuple[Result, ...] = ("regressed", "over-budget")
# A change by exactly what is tolerated passes, whatever the rounding.
ROUNDING = 1e-9


class Line(Record, frozen=True, kw_only=True):
    """One quantity: against the baseline (``tolerance``), against a limit of its own (``limit``), or only shown.

    ``baseline``, ``now`` and ``limit`` are in ``unit``. ``change`` with its 95% interval ``ci95`` (for memory: what its
    passes differ by at most) is a share of the baseline, for accuracies the difference itself. ``rounds`` counts the
    interleaved rounds of the pass that decided, ``passes`` the passes.
    """

    quantity: str
    unit: Unit
    result: Result
    baseline: float | None = None
    now: float | None = None
    change: float | None = None
    ci95: tuple[float, float] | None = None
    tolerance: float | None = None
    limit: float | None = None
    rounds: int | None = None
    passes: int = 1
    note: str | None = None

    @property
    def failing(self) -> bool:
        """Whether it fails the gate."""
        return self.result in FAILING


class ModelReport(Record, frozen=True, kw_only=True):
    """What the gate says of one model. ``measurements`` are the ids of what was kept in the store."""

    name: str
    artifact: Artifact
    baseline_sha256: str
    device_parity: DeviceParity
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    measurements: tuple[str, ...] = ()

    @property
    def same_file(self) -> bool:
        """Whether the candidate is the baseline's file, byte by byte."""
        return self.artifact.sha256 == self.baseline_sha256

    @property
    def failing(self) -> tuple[Line, ...]:
        """The lines that fail the gate."""
        return tuple(line for line in self.lines if line.failing)

    @property
    def undecided(self) -> tuple[Line, ...]:
        """The lines that the data don't decide."""
        return tuple(line for line in self.lines if line.result == "undecided")


def parity_line(parity: Parity, device: DeviceParity) -> Line:
    """Parity was required before, or could not be checked."""
    if parity.passed or device.passed:
        return Line(quantity="parity", unit="parity", result="ok", now=parity.max_abs)
    return Line(quantity="parity", unit="parity", result="not-checked", note=parity.reason or device.reason)


def same(quantity: str, unit: Unit, value: float | None = None) -> Line:
    """A quantity that can't have changed."""
    return Line(quantity=quantity, unit=unit, result="same-file", baseline=value, now=value, change=0.0)


def exact_change(quantity: str, unit: Unit, baseline: float, now: float, tolerance: float) -> Line:
    """A figure without noise against the baseline's; more is worse."""
    change = now / baseline - 1 if baseline else (0.0 if not now else float("inf"))
    result: Result = "regressed" if change > tolerance + ROUNDING else "ok"
    return Line(quantity=quantity, unit=unit, result=result, baseline=baseline, now=now, change=change,
                ci95=(change, change), tolerance=tolerance)  # fmt: skip


def exact_limit(quantity: str, unit: Unit, now: float, limit: float) -> Line:
    """A figure without noise against its limit."""
    return Line(quantity=quantity, unit=unit, result="over-budget" if now > limit else "ok", now=now, limit=limit)


def timed(decision: Decision) -> Line:
    """A latency, in milliseconds."""
    check, found, passes = decision.check, decision.found, len(decision.passes)
    note = None
    if passes > 1 and decision.state not in ("regressed", "over"):
        note = "it failed in a first pass, and not in a second one"
    name = check.name
    if check.limit_ms is not None:
        result = _OF_LIMIT.get(found.state, "undecided")
        return Line(quantity=name, unit="ms", result=result, now=found.now_ms[0], limit=check.limit_ms,
                    rounds=found.rounds, passes=passes, note=note)  # fmt: skip
    ratio = found.ratio
    assert ratio is not None and check.tolerance is not None and found.state != "over"
    return Line(
        quantity=name, unit="ms", result=found.state, baseline=found.baseline_ms, now=found.now_ms[0],
        change=ratio.ratio - 1, ci95=(ratio.low - 1, ratio.high - 1), tolerance=check.tolerance, rounds=found.rounds,
        passes=passes, note=note,
    )  # fmt: skip


def memory_change(quantity: str, baseline: Sequence[int], now: Sequence[int], tolerance: float) -> Line:
    """Memory of some passes of each file: more only if the medians say so and no pass of the two overlaps."""
    base, new = median(baseline), median(now)
    change = new / base - 1
    low, high = min(now) / max(baseline) - 1, max(now) / min(baseline) - 1
    result: Result = "ok" if change <= tolerance else "regressed" if low > 0 else "undecided"
    return Line(quantity=quantity, unit="bytes", result=result, baseline=base, now=new, change=change,
                ci95=(low, high), tolerance=tolerance)  # fmt: skip


def memory_limit(quantity: str, now: Sequence[int], limit: float) -> Line:
    """Memory of some passes against its limit: over it only if every pass is."""
    result: Result = "over-budget" if min(now) > limit else "ok" if max(now) <= limit else "undecided"
    return Line(quantity=quantity, unit="bytes", result=result, now=median(now), limit=limit)

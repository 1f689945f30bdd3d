"""From a measurement and what is known of its file to one row of the comparison.

Where a figure's 95% interval comes from:

* ``p50_ms``: the measurement's own.
* ``p90_ms``, ``p99_ms``: no interval is stored. It is that of a quantile of so many samples (R. S. Woodruff, Confidence
  intervals for medians and other position measures, J. Am. Stat. Assoc. 47 (1952)), read off the stored quantiles with
  exponential tails between them, and widened by the median's own relative interval, which holds what differs between
  cold starts. Beyond the slowest run nothing is known: with fewer than about 400 runs p99's upper end is that run's.
* ``first_ms``, ``load_cold_ms``: Student's, on the logarithms of the cold repeats; only with their samples at hand.
* ``cycles``: the median latency's relative interval; counted instructions are exact.
* memory of a process: measured once, so that its spread is taken to be :data:`MEMORY_SPREAD`.
* ``size_bytes``, ``sram_bytes``, ``flash_bytes``: exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from edgekit.choose.accuracy import Accuracies
from edgekit.choose.quantities import is_accuracy, is_time
from edgekit.harness.state import COLD_CACHE
from edgekit.measure.student import student_t95
from edgekit.records import Measurement, Record, Verdict
from edgekit.selection import CandidateKey, Conditions, Measured, Quantity

_Z = 1.959963984540054
# As a share of the process's peak. Eight fresh passes each of two runtimes on a Linux host were all within 0.3% of
# their median; the rest is for systems that were not tried.
MEMORY_SPREAD = 0.01
_EMULATED = "its device is emulated, whose time is no device's latency (--emulated takes it all the same)"
_COLD_NOTE = "the interval is Student's over {} cold repeats"
_COLD = ("first_ms", "load_cold_ms")
MEMORY = ("peak_rss_bytes", "model_rss_bytes")


class Row(Record, frozen=True, kw_only=True):
    """One candidate on one device. ``missing`` says why a figure is not in ``quantities``.

    ``parity`` is null where the file was not checked against its model; ``samples`` counts the timed runs or counts.
    """

    candidate: CandidateKey
    device: str
    conditions: Conditions
    quantities: dict[str, Quantity]
    missing: dict[str, str]
    verdict: Verdict
    verdict_reasons: tuple[str, ...]
    measurement_id: str
    created: str
    parity: bool | None
    parity_reason: str | None = None
    weights: str = ""
    samples: int = 0
    superseded: int = 0


def make_rows(
    measured: Sequence[Measured], names: Sequence[str], accuracies: Accuracies | None = None, *, emulated: bool = False
) -> list[Row]:
    """One row each.

    Args:
        names: the figures to give; those of no measurement are accuracy metrics, which ``accuracies`` has to know.
        emulated: take the times of emulated devices as well.
    """
    return [_row(one, names, accuracies, emulated) for one in measured]


def conditions_of(measurement: Measurement) -> Conditions:
    """What has to be equal for two measurements to be comparable."""
    names = ("device_name", "soc", "os_build", "emulated", "clock_regime", "harness", "harness_version", "plan")
    return Conditions(**{name: getattr(measurement, name) for name in names})


def candidate_of(measurement: Measurement) -> CandidateKey:
    """Which candidate was measured."""
    names = ("model", "format", "precision", "threads", "engine", "artifact_sha256")
    return CandidateKey(**{name: getattr(measurement, name) for name in names})


def _row(one: Measured, names: Sequence[str], accuracies: Accuracies | None, emulated: bool) -> Row:
    m, artifact = one.measurement, one.artifact
    quantities: dict[str, Quantity] = {}
    missing: dict[str, str] = {}
    accuracy = accuracies.of(artifact) if accuracies else None
    for name in names:
        if is_accuracy(name):
            found = accuracy.quantities.get(name) if accuracy else None
            reason = accuracy.reason(name) if accuracy else f"no {name} is known"
        elif m.emulated and is_time(name) and not emulated:
            found, reason = None, _EMULATED
        elif name == "size_bytes":
            found, reason = _exact(artifact.bytes), ""
        else:
            known = getattr(m, name, None) is not None
            reason = f"its {name} has no 95% interval" if known else f"it was measured without {name}"
            found = measured_quantity(m, name)
        if found is None:
            missing[name] = reason
        else:
            quantities[name] = found
    return Row(
        candidate=candidate_of(m), device=m.device, conditions=conditions_of(m), quantities=quantities, missing=missing,
        verdict=m.verdict, verdict_reasons=m.verdict_reasons, measurement_id=m.id, created=m.created,
        parity=artifact.parity.passed, parity_reason=artifact.parity.reason, weights=artifact.weights,
        samples=m.samples, superseded=one.superseded,
    )  # fmt: skip


def measured_quantity(m: Measurement, name: str) -> Quantity | None:
    """The figure ``name`` of a measurement with its interval, see the head of this module; None if it has none."""
    value = getattr(m, name, None)
    if value is None:
        return None
    if name in ("instructions", "sram_bytes", "flash_bytes"):
        return _exact(value)
    if name in MEMORY:
        note = f"measured once; ±{MEMORY_SPREAD:.0%} of the process's peak is assumed"
        half = MEMORY_SPREAD * (m.peak_rss_bytes or value)
        return Quantity(value=value, low=max(0.0, value - half), high=value + half, source="measured", note=note)
    if name in _COLD:
        return _cold(m, name, value)
    if m.ci95_ms is None or not m.p50_ms or m.ci95_ms[0] <= 0:
        return None
    below, above = m.ci95_ms[0] / m.p50_ms, m.ci95_ms[1] / m.p50_ms
    if name == "p50_ms":
        return Quantity(value=value, low=m.ci95_ms[0], high=m.ci95_ms[1], source="measured")
    if name == "cycles":
        note = "its interval is the median latency's, in proportion"
        return Quantity(value=value, low=value * below, high=value * above, source="counted", note=note)
    low, high, note = _tail(m, {"p90_ms": 0.9, "p99_ms": 0.99}[name])
    return Quantity(
        value=value, low=min(value, low * below), high=max(value, high * above), source="measured", note=note
    )


def _exact(value: float) -> Quantity:
    return Quantity(value=value, low=value, high=value, source="counted")


def _tail(m: Measurement, share: float) -> tuple[float, float, str]:
    """The ends of the interval of a quantile of the runs, and how it was come by."""
    runs = max(1, m.samples)
    half = _Z * math.sqrt(share * (1 - share) / runs)
    slowest = max(1 - 0.5 / runs, 0.995)
    known = ((0.5, m.p50_ms), (0.9, m.p90_ms), (0.99, m.p99_ms), (slowest, m.max_ms))
    steps = [(-math.log(1 - at), value) for at, value in known if value is not None]
    note = f"the interval is that of a quantile of {m.samples} runs, widened by the median's"
    if share + half > slowest:
        note += "; its upper end is the slowest run"
    low, high = (_between(steps, -math.log(1 - min(at, slowest))) for at in (share - half, share + half))
    return low, high, note


def _between(steps: Sequence[tuple[float, float]], at: float) -> float:
    """The value at ``at`` on straight lines between the steps."""
    for (left, low), (right, high) in pairwise(steps):
        if at <= right and right > left:
            return low + (high - low) * max(0.0, at - left) / (right - left)
    return steps[-1][1]


def _cold(m: Measurement, name: str, value: float) -> Quantity | None:
    """The median over the cold repeats with Student's interval; None with fewer than two of them at hand."""
    if name == "first_ms":
        taken = [repeat.first_ns for repeat in m.repeats]
    else:
        taken = [repeat.load_cold_ns for repeat in m.repeats if COLD_CACHE not in repeat.state_before.missing]
    logs = [math.log(one / 1e6) for one in taken if one]
    if len(logs) < 2:
        return None
    middle = math.fsum(logs) / len(logs)
    spread = math.sqrt(math.fsum((one - middle) ** 2 for one in logs) / (len(logs) - 1))
    half = student_t95(len(logs) - 1) * spread / math.sqrt(len(logs))
    low, high = min(value, math.exp(middle - half)), max(value, math.exp(middle + half))
    return Quantity(value=value, low=low, high=high, source="measured", note=_COLD_NOTE.format(len(logs)))


def needs_repeats(names: Sequence[str]) -> bool:
    """Whether a figure among them can only be had from measurements that were read with their samples."""
    return any(name in names for name in _COLD)

"""What a page is made from, and nothing else: the same record gives the same page, byte by byte.

Samples are in it reduced (:mod:`edgekit.report.samples`), so that its size follows the number of candidates.
"""

from __future__ import annotations

from typing import Literal

from edgekit.records import SCHEMA, Artifact, Evaluation, Measurement, Profile, Record
from edgekit.selection import Choice, Conditions, Excluded, Quantity, Sweep, SweepCell

Rank = Literal["chosen", "tie", "undecided", "front", "dominated", "unplaced", "unusable"]


class RunShape(Record, frozen=True, kw_only=True):
    """The timed runs of one repeat, in milliseconds (or in counted events, see ``Candidate.unit``).

    The figures are those of every run. ``ecdf`` has the values at evenly spaced shares of the runs, from the smallest
    to the largest; ``series`` has (number of the run, value) in the order of the runs, thinned if ``thinned``.
    """

    started: str
    runs: int
    low: float
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    p99: float
    high: float
    ecdf: tuple[float, ...]
    series: tuple[tuple[int, float], ...]
    thinned: bool = False


class StatePoint(Record, frozen=True, kw_only=True):
    """The device right before a repeat or right after it; null is what it does not tell.

    ``time`` is UTC ISO 8601; that of the end is the start plus the time of the loading and the runs.
    ``temperature_c`` is that of the hottest sensor, ``frequency_mhz`` the median over the cores.
    """

    time: str
    when: Literal["before", "after"]
    repeat: int
    temperature_c: float | None = None
    frequency_mhz: float | None = None
    load_1min: float | None = None
    throttle_count: int | None = None
    thermal_status: int | None = None
    battery_percent: float | None = None


class Candidate(Record, frozen=True, kw_only=True):
    """One measured file: ``measurement`` has no samples, they are in ``runs``.

    ``unit`` is ``ms``, or what was counted (``instructions``, ``cycles``) where there is no time. ``group`` is the
    place in ``ReportData.groups`` of the conditions it was measured under. ``accuracy`` is that of
    ``ReportData.metric``.
    """

    label: str
    measurement: Measurement
    artifact: Artifact
    group: int
    rank: Rank
    unit: str = "ms"
    cost: Quantity | None = None
    accuracy: Quantity | None = None
    superseded: int = 0
    runs: tuple[RunShape, ...] = ()
    states: tuple[StatePoint, ...] = ()


class ReportData(Record, frozen=True, kw_only=True):
    """Everything on one page.

    ``asked`` says in words which results were taken, ``omitted`` counts those that fit but are over the limit.
    ``metric`` and ``dataset`` name the accuracy that is plotted, null if none is known. ``groups`` are the conditions
    that occur: only candidates of one group are compared.
    """

    schema: int = SCHEMA
    title: str
    created: str
    version: str
    asked: str
    candidates: tuple[Candidate, ...]
    groups: tuple[Conditions, ...]
    omitted: int = 0
    metric: str | None = None
    dataset: str | None = None
    evaluations: tuple[Evaluation, ...] = ()
    profiles: tuple[Profile, ...] = ()
    sweep: Sweep | None = None
    cells: tuple[SweepCell, ...] = ()
    choice: Choice | None = None
    excluded: tuple[Excluded, ...] = ()

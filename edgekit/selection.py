"""Records of what a sweep measured and of what was chosen from it.

A quantity carries its unit in its name (``p50_ms``, ``size_bytes``, ``top1``); accuracies are shares from 0 to 1.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgekit.records import SCHEMA, Artifact, ClockRegime, Measurement, Plan, Record

CellState = Literal["pending", "measured", "failed", "skipped"]
Direction = Literal["minimize", "maximize"]
Sense = Literal["<=", ">="]
Source = Literal["measured", "counted", "evaluated", "csv", "published"]
Status = Literal["chosen", "tie", "undecided", "none"]


class Sweep(Record, frozen=True, kw_only=True):
    """One run over a grid of candidates. ``grid`` is the grid as canonical JSON, ``grid_sha256`` its digest."""

    schema: int = SCHEMA
    id: str
    name: str
    created: str
    grid: str
    grid_sha256: str


class SweepCell(Record, frozen=True, kw_only=True):
    """One candidate on one device in a sweep.

    ``key`` is unique in its sweep. ``pending`` cells are not complete, but may have a measurement with some repeats.
    ``failed`` and ``skipped`` ones have a ``reason``, and a failed one the ``kind`` of its error (edgekit.errors).
    """

    sweep_id: str
    key: str
    model: str
    format: str
    precision: str
    threads: int
    device: str
    state: CellState = "pending"
    kind: str | None = None
    reason: str | None = None
    artifact_sha256: str | None = None
    measurement_id: str | None = None


class Measured(Record, frozen=True, kw_only=True):
    """The newest measurement of one candidate, without samples, and the file that was measured.

    ``superseded`` counts the older ones of the same candidate on the same device under the same regime.
    """

    measurement: Measurement
    artifact: Artifact
    superseded: int = 0


class CandidateKey(Record, frozen=True, kw_only=True):
    """What can be chosen: a converted file, run by its runtime with so many threads."""

    model: str
    format: str
    precision: str
    threads: int
    engine: str
    artifact_sha256: str

    @property
    def label(self) -> str:
        """For people."""
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{self.model} {self.format} {self.precision}, {threads}"


class Quantity(Record, frozen=True, kw_only=True):
    """A figure with its 95% interval; an exact one has an interval of no width. ``note`` says where it comes from.

    Two candidates whose figures have the same ``evidence`` have one and the same figure, so that it can't be in doubt
    that they are equal: one file's accuracy, run by one thread and by four.
    """

    value: float
    low: float
    high: float
    source: Source
    note: str | None = None
    evidence: str | None = None


class Constraint(Record, frozen=True, kw_only=True):
    """A bound that a candidate has to meet."""

    quantity: str
    sense: Sense
    limit: float


class Objective(Record, frozen=True, kw_only=True):
    """What is to be made small or large; earlier objectives count before later ones."""

    quantity: str
    direction: Direction


class Conditions(Record, frozen=True, kw_only=True):
    """Under what the compared rows were measured: rows are comparable if all of this is equal."""

    device_name: str
    soc: str | None
    os_build: str | None
    emulated: bool
    clock_regime: ClockRegime
    harness: str
    harness_version: str
    plan: Plan


class Standing(Record, frozen=True, kw_only=True):
    """One candidate with its figures: over all devices, and on each. ``unmet`` names constraints not certainly met."""

    candidate: CandidateKey
    quantities: dict[str, Quantity]
    devices: dict[str, dict[str, Quantity]]
    measurements: dict[str, str]
    verdicts: dict[str, str]
    unmet: tuple[str, ...] = ()


class Excluded(Record, frozen=True, kw_only=True):
    """One thing that was left out of the comparison, and why; ``count`` rows of the store."""

    candidate: str
    reason: str
    device: str | None = None
    measurement_id: str | None = None
    count: int = 1


class Shortfall(Record, frozen=True, kw_only=True):
    """How far a candidate is from certainly meeting a constraint: ``by`` is a share of the limit.

    ``value`` is the figure itself. Where it keeps the limit and only its interval reaches over it, ``by`` is what the
    end of the interval misses it by. ``device`` is the worst one, of several.
    """

    candidate: CandidateKey
    quantity: str
    value: float
    limit: float
    by: float
    device: str | None = None


class Penalty(Record, frozen=True, kw_only=True):
    """What it costs on device ``used_on`` to ship the candidate that is best on device ``chosen_on``.

    ``share`` is how much worse the first objective is than that of the device's own best, as a share of the latter,
    with its 95% interval; null, with a ``reason``, where it can't be said. ``broken`` are the constraints it misses.
    """

    chosen_on: str
    used_on: str
    candidate: str | None
    quantity: str
    share: float | None
    interval: tuple[float, float] | None = None
    broken: tuple[str, ...] = ()
    reason: str | None = None


class Choice(Record, frozen=True, kw_only=True):
    """What to ship, and why.

    ``status``: ``chosen`` one candidate is certainly best; ``tie`` those in ``ties`` can't be told from ``choice`` by
    the data; ``undecided`` the data don't say whether those in ``undecided``, which would be better, meet the
    constraints (there may be ``ties`` as well); ``none`` no candidate certainly meets them (``choice`` is null,
    ``undecided`` may meet them, ``nearest`` says by how much they are missed).
    ``front`` holds the candidates that no other one dominates by the figures of the objectives and the constraints,
    whether they meet the latter or not. ``choice`` and ``ties`` are of the front.
    """

    schema: int = SCHEMA
    status: Status
    choice: Standing | None
    ties: tuple[Standing, ...] = ()
    undecided: tuple[Standing, ...] = ()
    front: tuple[Standing, ...] = ()
    dominated: tuple[Standing, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    reasons: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    objectives: tuple[Objective, ...] = ()
    conditions: dict[str, Conditions] = msgspec.field(default_factory=dict)
    nearest: tuple[Shortfall, ...] = ()
    penalties: tuple[Penalty, ...] = ()

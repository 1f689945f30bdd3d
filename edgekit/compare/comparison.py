"""Records of a comparison of two runs. A run is a sweep or one measurement; A is the baseline, B the new one."""

from __future__ import annotations

from typing import Literal

from edgekit.records import SCHEMA, Record
from edgekit.selection import CandidateKey

RunKind = Literal["sweep", "measurement"]
PairVerdict = Literal["faster", "slower", "no-difference", "not-comparable"]
Method = Literal["paired", "intervals", "exact"]


class RunInfo(Record, frozen=True, kw_only=True):
    """One of the two runs: ``store`` is where it was read from, ``candidates`` how many were measured in it."""

    kind: RunKind
    id: str
    name: str
    created: str
    store: str
    candidates: int


class Side(Record, frozen=True, kw_only=True):
    """One candidate as one run measured it. ``counted`` is the median count of a microcontroller, see ``Pair``."""

    candidate: CandidateKey
    artifact_bytes: int
    measurement_id: str
    created: str
    device: str
    device_name: str
    os_build: str | None
    runtime_version: str
    verdict: str
    p50_ms: float | None
    ci95_ms: tuple[float, float] | None
    counted: int | None


class Change(Record, frozen=True, kw_only=True):
    """One further quantity in both runs, in the unit of its name. ``ratio`` is B's to A's, null if A's is 0.

    Of accuracies, which are of one ``dataset`` and ``metric``, ``interval`` is the 95% interval of B's less A's, null
    where one of the two has none.
    """

    quantity: str
    a: float
    b: float
    ratio: float | None
    dataset: str | None = None
    interval: tuple[float, float] | None = None


class Pair(Record, frozen=True, kw_only=True):
    """One candidate in both runs.

    ``ratio`` is B's ``quantity`` (``p50_ms``; ``cycles`` or ``instructions`` where there is no time) to A's, with its
    own 95% interval, null where it may not be formed. ``method``: ``paired`` from ``rounds`` interleaved rounds,
    ``intervals`` from the two stated intervals, ``exact`` from counts. ``p`` is how often equal candidates would come
    out so far apart, ``p_adjusted`` the same adjusted for the number of pairs (:mod:`edgekit.compare.chance`).
    ``verdict`` says what B is. ``reasons`` say why not more could be said, ``notes`` what else differs.
    """

    a: Side
    b: Side
    verdict: PairVerdict
    quantity: str | None = None
    ratio: float | None = None
    ci95: tuple[float, float] | None = None
    method: Method | None = None
    rounds: int = 0
    p: float | None = None
    p_adjusted: float | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


class Single(Record, frozen=True, kw_only=True):
    """A candidate that one run alone has; ``reason`` says what became of it in the other, where that is known."""

    side: Side
    reason: str | None = None


class Mean(Record, frozen=True, kw_only=True):
    """Geometric mean of the ratios of ``pairs`` pairs, with its 95% interval."""

    quantity: str
    ratio: float
    ci95: tuple[float, float]
    pairs: int


class Note(Record, frozen=True, kw_only=True):
    """Something that differs between the runs in ``pairs`` of the pairs."""

    text: str
    pairs: int


class Comparison(Record, frozen=True, kw_only=True):
    """Run A and run B (``runs``, in that order) side by side; the slowest change first."""

    schema: int = SCHEMA
    runs: tuple[RunInfo, RunInfo]
    pairs: tuple[Pair, ...]
    only_in_a: tuple[Single, ...] = ()
    only_in_b: tuple[Single, ...] = ()
    geometric_mean: Mean | None = None
    notes: tuple[Note, ...] = ()

    @property
    def comparable(self) -> tuple[Pair, ...]:
        """The pairs that have a ratio."""
        return tuple(pair for pair in self.pairs if pair.ratio is not None)

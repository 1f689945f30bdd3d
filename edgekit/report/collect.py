"""From the store to :class:`edgekit.report.data.ReportData`; samples are read a few measurements at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from edgekit.choose.ask import device_names
from edgekit.choose.rows import conditions_of
from edgekit.errors import UsageError
from edgekit.records import Evaluation, Measurement, Record
from edgekit.report import samples, text
from edgekit.report.data import Candidate, Rank, ReportData
from edgekit.report.front import ranks, usable
from edgekit.selection import Choice, Conditions, Measured, Quantity, Standing, Sweep
from edgekit.store.query import CandidateQuery, Query
from edgekit.store.store import Store
from edgekit.version import __version__

# A repeat can have 10^5 runs and more: so many measurements' samples are in memory at once.
_AT_ONCE = 8


class Asked(Record, frozen=True, kw_only=True):
    """Which results go onto the page; ``devices`` are specs or names, none means all of them.

    ``limit`` bounds the candidates; the newest are taken.
    """

    sweep: str | None = None
    devices: tuple[str, ...] = ()
    model: str | None = None
    since: str | None = None
    limit: int = 200

    def words(self, sweep: Sweep | None) -> str:
        """For people."""
        parts = [f"sweep {sweep.name} of {sweep.created[:16].replace('T', ' ')} UTC" if sweep else "all stored results"]
        parts += [f"on {' and '.join(self.devices)}"] if self.devices else []
        parts += [f"models {self.model}"] if self.model else []
        parts += [f"since {self.since}"] if self.since else []
        return ", ".join(parts)


def collect(store: Store, asked: Asked, created: str, choice: Choice | None = None) -> ReportData:
    """All that the store knows of the newest measurement of each candidate.

    Args:
        created: when the page is made, UTC ISO 8601.
        choice: what was chosen from the same candidates, if anything was.

    Raises:
        UsageError: nothing fits, or there is no such sweep.
        StoreError: the store can't be read.
    """
    sweep = store.sweep(asked.sweep) if asked.sweep else None
    cells = tuple(store.cells(sweep.id)) if sweep else ()
    found = _standings(store, asked, sweep)
    if not found and not cells:
        raise UsageError(
            f"No stored measurement fits: {asked.words(sweep)}.", where=store.where,
            next_step="List what there is with edgekit results; edgekit deploy or edgekit sweep makes more.",
        )  # fmt: skip
    newest = sorted(found, key=lambda one: (one.measurement.created, one.measurement.id), reverse=True)[: asked.limit]
    groups = tuple(_groups(newest))
    candidates = _candidates(store, newest, groups)
    shas = sorted({one.artifact.sha256 for one in newest})
    evaluations = tuple(store.evaluations_of(shas, sorted({one.artifact.model for one in newest})))
    metric, dataset = _plotted(evaluations, choice)
    candidates = _ranked(_accurate(candidates, evaluations, metric, dataset, choice), metric, choice)
    return ReportData(
        title=sweep.name if sweep else "Measurements",
        created=created,
        version=__version__,
        asked=asked.words(sweep),
        candidates=tuple(candidates),
        groups=groups,
        omitted=len(found) - len(newest),
        metric=metric,
        dataset=dataset,
        evaluations=evaluations,
        profiles=tuple(store.profiles(shas)),
        sweep=sweep,
        cells=cells,
        choice=choice,
        excluded=choice.excluded if choice else (),
    )


def _standings(store: Store, asked: Asked, sweep: Sweep | None) -> list[Measured]:
    found: dict[str, Measured] = {}
    names: list[str | None] = [name for device in asked.devices for name in device_names(device)]
    for device in names or [None]:
        query = CandidateQuery(
            device=device, model=asked.model, since=asked.since, sweep_id=sweep.id if sweep else None
        )
        found |= {one.measurement.id: one for one in store.standings(query)}
    return list(found.values())


def _groups(found: Sequence[Measured]) -> list[Conditions]:
    """The conditions that occur, those of the most candidates first."""
    counts = Counter(msgspec.json.encode(conditions_of(one.measurement)) for one in found)
    ordered = sorted(counts, key=lambda key: (-counts[key], key))
    return [msgspec.json.decode(key, type=Conditions) for key in ordered]


def _candidates(store: Store, found: Sequence[Measured], groups: Sequence[Conditions]) -> list[Candidate]:
    labels = dict(zip((one.measurement.id for one in found), text.labels([one.measurement for one in found]),
                      strict=True))  # fmt: skip
    of_id = {one.measurement.id: one for one in found}
    made = []
    for full in _with_samples(store, list(of_id)):
        one = of_id[full.id]
        shapes = (samples.shape(repeat) for repeat in full.repeats)
        unit = "ms" if full.p50_ms is not None or full.counter is None else full.counter
        made.append(
            Candidate(
                label=labels[full.id],
                measurement=msgspec.structs.replace(full, repeats=()),
                artifact=one.artifact,
                group=groups.index(conditions_of(full)),
                rank="unusable",
                unit=unit,
                cost=cost_of(full),
                superseded=one.superseded,
                runs=tuple(shape for shape in shapes if shape is not None),
                states=samples.states(full.repeats),
            )
        )
    return made


def _with_samples(store: Store, ids: Sequence[str]) -> Iterator[Measurement]:
    for start in range(0, len(ids), _AT_ONCE):
        some = tuple(ids[start : start + _AT_ONCE])
        yield from store.measurements(Query(ids=some, with_samples=True, limit=None))


def cost_of(m: Measurement) -> Quantity | None:
    """The median time with its interval, or the exact count of a device that has no time."""
    if m.p50_ms is not None:
        low, high = m.ci95_ms or (m.p50_ms, m.p50_ms)
        return Quantity(value=m.p50_ms, low=low, high=high, source="measured")
    counted = m.instructions if m.instructions is not None else m.cycles
    if counted is None:
        return None
    return Quantity(value=float(counted), low=float(counted), high=float(counted), source="counted")


def _plotted(evaluations: Sequence[Evaluation], choice: Choice | None) -> tuple[str | None, str | None]:
    """(metric, dataset's sha256) to plot: what was asked for, else what most files were evaluated on."""
    asked: list[str] = []
    if choice is not None:
        asked = [one.quantity for one in choice.objectives] + [one.quantity for one in choice.constraints]
    known = Counter(
        (e.metric, e.dataset_sha256) for e in evaluations if e.value is not None and e.artifact_sha256 is not None
    )
    for name in asked:
        if _known_to(choice, name):
            return name, None
    if not known:
        return None, None
    return min(known, key=lambda key: (-known[key], key))


def _known_to(choice: Choice | None, name: str) -> bool:
    """Whether a quantity is an accuracy: it comes from evaluations, the user's table or publications."""
    if choice is None:
        return False
    standings = (*choice.front, *choice.dominated, *choice.ties, *choice.undecided)
    sources = {one.quantities[name].source for one in standings if name in one.quantities}
    return bool(sources & {"evaluated", "csv", "published"})


def _accurate(
    candidates: Sequence[Candidate],
    evaluations: Sequence[Evaluation],
    metric: str | None,
    dataset: str | None,
    choice: Choice | None,
) -> list[Candidate]:
    """The candidates with their accuracy: the choice's own figure, so that page and choice agree, or the store's."""
    known: dict[str, Quantity] = {}
    if dataset is None and choice is not None and metric is not None:
        for one in (choice.choice, *choice.front, *choice.dominated, *choice.ties, *choice.undecided):
            if one is not None and metric in one.quantities:
                known |= dict.fromkeys(one.measurements.values(), one.quantities[metric])
        return [msgspec.structs.replace(c, accuracy=known.get(c.measurement.id)) for c in candidates]
    for e in evaluations:
        if e.artifact_sha256 and (e.metric, e.dataset_sha256) == (metric, dataset) and e.value is not None:
            low, high = e.ci95 or (e.value, e.value)
            known[e.artifact_sha256] = Quantity(value=e.value, low=low, high=high, source="evaluated", note=e.dataset,
                                               evidence=f"{e.dataset_sha256} {e.artifact_sha256}")  # fmt: skip
    return [msgspec.structs.replace(c, accuracy=known.get(c.artifact.sha256)) for c in candidates]


def _ranked(candidates: Sequence[Candidate], metric: str | None, choice: Choice | None) -> list[Candidate]:
    own = ranks(candidates, metric)
    if choice is not None:
        chosen = _chosen_ranks(choice)
        own = [chosen.get(c.measurement.id, "unplaced") if usable(c) else "unusable" for c in candidates]
    made = [msgspec.structs.replace(candidate, rank=rank) for candidate, rank in zip(candidates, own, strict=True)]
    order = {"chosen": 0, "tie": 1, "undecided": 2}
    return sorted(made, key=lambda c: (c.group, order.get(c.rank, 3), c.cost.value if c.cost else 1e300, c.label))


def _chosen_ranks(choice: Choice | None) -> dict[str, Rank]:
    if choice is None:
        return {}
    found: dict[str, Rank] = {}
    parts: tuple[tuple[Rank, tuple[Standing, ...]], ...] = (
        ("dominated", choice.dominated), ("front", choice.front), ("undecided", choice.undecided),
        ("tie", choice.ties), ("chosen", (choice.choice,) if choice.choice else ()),
    )  # fmt: skip
    for rank, standings in parts:
        for standing in standings:
            found |= dict.fromkeys(standing.measurements.values(), rank)
    return found

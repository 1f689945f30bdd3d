"""A question to the store: reads the rows that it is about, and has them judged."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.choose.accuracy import Accuracies, from_evaluations, published
from edgekit.choose.accuracy_csv import Table, read_table
from edgekit.choose.choose import choose
from edgekit.choose.combine import Across
from edgekit.choose.quantities import FIGURES, is_accuracy
from edgekit.choose.rows import make_rows, needs_repeats
from edgekit.device import profiles
from edgekit.device.host import SPEC as HOST
from edgekit.device.mcu import boards
from edgekit.errors import UsageError
from edgekit.records import Artifact, Record
from edgekit.selection import Choice, Constraint, Measured, Objective
from edgekit.store.query import CandidateQuery, Query
from edgekit.store.store import Store

EVALUATIONS, PUBLISHED = "evaluations", "published"
# Shown beside the figures that were asked for, where they are known.
SHOWN = (
    "p50_ms", "p90_ms", "instructions", "cycles", "model_rss_bytes", "sram_bytes", "flash_bytes", "size_bytes",
)  # fmt: skip
_RECENT = 500


class ChooseRequest(Record, frozen=True, kw_only=True):
    """What to choose from, and by what.

    ``devices`` are specs, device names or profile names; nothing is opened. Without one it is the only device that has
    measurements. ``accuracy`` is ``evaluations``, ``published`` or the path of a CSV file; if null, evaluations.
    ``model`` and ``since`` are as in :class:`edgekit.store.query.Query`; ``sweep`` is a sweep's name or id.
    """

    devices: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    objectives: tuple[Objective, ...] = ()
    accuracy: str | None = None
    dataset: str | None = None
    model_stands_in: bool = False
    model: str | None = None
    since: str | None = None
    sweep: str | None = None
    across: Across = "worst"
    weights: dict[str, float] | None = None
    strict: bool = False
    emulated: bool = False


def answer(request: ChooseRequest, store: Store) -> Choice:
    """What the store says about the request.

    Raises:
        UsageError: nothing was measured there, no accuracy is known, or the request contradicts itself.
        IncomparableError: nothing of what was measured can be compared.
        StoreError: the store can't be read.
    """
    objectives, constraints = request.objectives, request.constraints
    asked = tuple(dict.fromkeys([*(one.quantity for one in objectives), *(one.quantity for one in constraints)]))
    measured = {device: _measured(device, request, store) for device in _devices(request, store)}
    if needs_repeats(asked):
        measured = {device: _with_repeats(some, store) for device, some in measured.items()}
    artifacts = {one.artifact.sha256: one.artifact for some in measured.values() for one in some}
    metrics = [name for name in asked if is_accuracy(name)]
    if not metrics and (request.accuracy or request.dataset or request.model_stands_in):
        raise UsageError(
            "Neither a limit nor an objective is an accuracy, so none is needed.",
            where="--accuracy",
            next_step="Leave --accuracy, --dataset and --model-stands-in out, or add --maximize top1.",
        )
    accuracies = _accuracies(request, metrics, list(artifacts.values()), store) if metrics else None
    names = tuple(dict.fromkeys((*asked, *SHOWN)))
    rows = {d: make_rows(some, names, accuracies, emulated=request.emulated) for d, some in measured.items()}
    choice = choose(
        rows, constraints, objectives, across=request.across, weights=request.weights, strict=request.strict
    )
    if accuracies is None:
        return choice
    notes = [*accuracies.notes, *_unmeasured(accuracies, list(artifacts.values()))]
    return msgspec.structs.replace(choice, reasons=(*choice.reasons, *notes))


def device_names(spec: str) -> tuple[str, ...]:
    """What measurements of the device may call it: the spec itself, and for a profile's name what such a device says.

    An Android device is called by its manufacturer's name and its model, as in its own properties; a board by its
    profile's label, whatever port it was on.

    Raises:
        UsageError: a profile of the user's can't be used.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", spec) or spec == HOST:
        return (spec,)
    board = next((board for board in boards.known() if board.name == spec.replace("-", "_")), None)
    if board is not None:
        return tuple(dict.fromkeys((spec, board.spec, board.label)))
    profile = next((profile for profile in profiles.known() if profile.name == spec), None)
    if profile is None:
        return (spec,)
    maker = profile.label.split()[0]
    makers = (maker, maker.lower(), maker.upper())
    named = [f"{one} {model}" for model in profile.match.model for one in makers]
    return tuple(dict.fromkeys((spec, profile.label, *named, *profile.match.model)))


def _devices(request: ChooseRequest, store: Store) -> tuple[str, ...]:
    """The devices asked for, or the only one there is."""
    if request.devices:
        if len(set(request.devices)) < len(request.devices):
            raise UsageError("A device is named twice.", where="--device", next_step="Name it once.")
        return request.devices
    if request.sweep is not None:
        sweep_id = store.sweep(request.sweep).id
        there = dict.fromkeys(one.measurement.device for one in store.standings(CandidateQuery(sweep_id=sweep_id)))
    else:
        newest = store.measurements(Query(limit=_RECENT))
        there = dict.fromkeys(one.device for one in newest)
        if len(there) == 1 and len(newest) == _RECENT:
            # Older ones may be of another device; this reads more, and is seldom needed.
            there |= dict.fromkeys(one.measurement.device for one in store.standings())
    if len(there) == 1:
        return tuple(there)
    if not there:
        raise UsageError("There are no measurements to choose from.", where=store.where,
                         next_step="edgekit sweep measures many candidates, edgekit deploy one.")  # fmt: skip
    raise UsageError(f"There are measurements on {len(there)} devices: {', '.join(there)}.", where="--device",
                     next_step="Name one with --device, or several to choose for all of them.")  # fmt: skip


def _measured(device: str, request: ChooseRequest, store: Store) -> list[Measured]:
    """Everything that was measured on the device and fits the request."""
    sweep_id = store.sweep(request.sweep).id if request.sweep is not None else None
    found: dict[str, Measured] = {}
    for name in device_names(device):
        query = CandidateQuery(device=name, model=request.model, since=request.since, sweep_id=sweep_id)
        for one in store.standings(query):
            found.setdefault(one.measurement.id, one)
    if not found:
        raise _nothing_measured(device, request, store)
    return list(found.values())


def _nothing_measured(device: str, request: ChooseRequest, store: Store) -> UsageError:
    filters = [f"--{name} {value}" for name in ("model", "since", "sweep") if (value := getattr(request, name))]
    fitting = f" that fits {' '.join(filters)}" if filters else ""
    there = dict.fromkeys(f"{one.device} ({one.device_name})" for one in store.measurements(Query(limit=_RECENT)))
    known = f" The store has measurements on {', '.join(list(there)[:5])}." if there else ""
    return UsageError(
        f"Nothing measured on {device}{fitting} is in the store.", where=store.where,
        next_step=f"edgekit sweep --device {device} measures many candidates, edgekit deploy one.{known}",
    )  # fmt: skip


def _with_repeats(measured: Sequence[Measured], store: Store) -> list[Measured]:
    """The same measurements with their samples."""
    ids = tuple(one.measurement.id for one in measured)
    full = {one.id: one for one in store.measurements(Query(ids=ids, with_samples=True, limit=None))}
    return [msgspec.structs.replace(one, measurement=full[one.measurement.id]) for one in measured]


def _accuracies(
    request: ChooseRequest, metrics: Sequence[str], artifacts: Sequence[Artifact], store: Store
) -> Accuracies:
    """The one source of accuracies that was asked for."""
    source = request.accuracy or EVALUATIONS
    if source != EVALUATIONS and (request.dataset or request.model_stands_in):
        raise UsageError("--dataset and --model-stands-in are for stored evaluations.", where="--accuracy",
                         next_step="Leave them out, or take --accuracy evaluations.")  # fmt: skip
    if source == PUBLISHED:
        _only_known(metrics, ("top1",), "Only top1 is published.", "Evaluate on your data, or give a CSV file.")
        return published()
    if source != EVALUATIONS:
        table = read_table(Path(source))
        _only_known(metrics, table.metrics, f"{table.path} has the metrics {', '.join(table.metrics)}.",
                    "Name one of them, or add a column.")  # fmt: skip
        return table
    stored = store.evaluations_of([one.sha256 for one in artifacts], sorted({one.model for one in artifacts}))
    found = from_evaluations(stored, metrics, dataset=request.dataset, model_stands_in=request.model_stands_in)
    if found is not None:
        return found
    there = sorted({one.metric for one in stored if one.artifact_sha256 in {a.sha256 for a in artifacts}})
    said = f"They were evaluated by {', '.join(there)}." if there else "None of them was evaluated."
    _only_known(metrics, (), said, "edgekit evaluate FILE --data DATA measures it; --accuracy FILE.csv takes your own "
                "figures, --accuracy published the zoo's published top1.")  # fmt: skip
    raise AssertionError("metrics are never empty here")


def _only_known(metrics: Sequence[str], known: Sequence[str], said: str, next_step: str) -> None:
    """Refuse metrics that the source can't have."""
    for metric in metrics:
        if metric not in known:
            near = difflib.get_close_matches(metric, (*FIGURES, *known, "latency", "memory", "size"), n=2)
            hint = f"Did you mean {' or '.join(near)}? " if near and metric not in ("top1", "top5") else ""
            raise UsageError(f"No {metric} of these candidates is known. {said}", where="--accuracy",
                             next_step=f"{hint}{next_step}", near=near)  # fmt: skip


def _unmeasured(accuracies: Accuracies, artifacts: Sequence[Artifact]) -> list[str]:
    """Models that a table names and nobody measured: perhaps they are spelled in another way."""
    if not isinstance(accuracies, Table):
        return []
    unknown = accuracies.unknown(artifacts)
    if not unknown:
        return []
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return [f"In {accuracies.path}, but not measured here: {', '.join(unknown[:5])}{more}."]

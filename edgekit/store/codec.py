"""Records to rows and back, exactly."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy.engine import RowMapping

from edgekit.errors import StoreError
from edgekit.records import Artifact, DeviceState, Evaluation, Measurement, Profile, Record, Repeat
from edgekit.selection import Sweep, SweepCell
from edgekit.store.query import microseconds

_R = TypeVar("_R", bound=Record)


def pack(nanoseconds: Sequence[int]) -> bytes:
    """Little-endian int64, one after another."""
    return struct.pack(f"<{len(nanoseconds)}q", *nanoseconds)


def unpack(blob: bytes) -> tuple[int, ...]:
    """The inverse of :func:`pack`."""
    return struct.unpack(f"<{len(blob) // 8}q", blob)


def artifact_row(artifact: Artifact) -> dict[str, Any]:
    """The columns of ``artifacts``."""
    names = ("sha256", "exported_sha256", "model", "format", "precision", "bytes")
    return {**{name: getattr(artifact, name) for name in names}, "record": _json(artifact)}


def measurement_row(measurement: Measurement) -> dict[str, Any]:
    """The columns of ``measurements``: the record without its repeats, which have a table of their own."""
    names = (
        "id", "artifact_sha256", "model", "format", "precision", "device", "device_name", "engine", "verdict",
        "emulated", "clock_regime", "threads", "samples", "p50_ms", "p90_ms", "p99_ms", "first_ms", "load_cold_ms",
        "load_warm_ms", "peak_rss_bytes",
    )  # fmt: skip
    row = {name: getattr(measurement, name) for name in names}
    row["created_us"] = _created(measurement.created, f"measurement {measurement.id}")
    return {**row, "record": _json(msgspec.structs.replace(measurement, repeats=()))}


def repeat_row(measurement_id: str, index: int, repeat: Repeat) -> dict[str, Any]:
    """The columns of ``repeats``."""
    names = ("started", "load_cold_ns", "load_warm_ns", "first_ns", "overhead_ns", "timed_out", "warmup_stable")
    return {
        **{name: getattr(repeat, name) for name in names},
        "measurement_id": measurement_id,
        "repeat_index": index,
        "state_before": _json(repeat.state_before),
        "state_after": _json(repeat.state_after),
        "sample_count": len(repeat.samples_ns),
        "samples": pack(repeat.samples_ns),
        "warmup": pack(repeat.warmup_ns),
        "counts": pack(repeat.counts) if repeat.counts else None,
    }


def evaluation_row(evaluation: Evaluation) -> dict[str, Any]:
    """The columns of ``evaluations`` but its id, which the database gives."""
    names = (
        "artifact_sha256", "model", "format", "precision", "dataset", "dataset_sha256", "metric", "value", "samples",
    )  # fmt: skip
    low, high = evaluation.ci95 or (None, None)
    return {
        **{name: getattr(evaluation, name) for name in names},
        "created_us": _created(evaluation.created, f"evaluation of {evaluation.model}"),
        "ci95_low": low,
        "ci95_high": high,
        "record": _json(evaluation),
    }


def profile_row(profile: Profile, created: str) -> dict[str, Any]:
    """The columns of ``profiles`` but its id, which the database gives."""
    names = ("artifact_sha256", "device", "threads")
    row = {name: getattr(profile, name) for name in names}
    return {**row, "created_us": _created(created, f"profile of {profile.model}"), "record": _json(profile)}


def sweep_row(sweep: Sweep) -> dict[str, Any]:
    """The columns of ``sweeps`` but its number, which the database gives."""
    return {"id": sweep.id, "name": sweep.name, "grid_sha256": sweep.grid_sha256, "record": _json(sweep)}


def cell_row(cell: SweepCell) -> dict[str, Any]:
    """The columns of ``sweep_cells`` but its number, which the database gives."""
    # A key may be longer than what databases index.
    key = hashlib.sha256(cell.key.encode()).hexdigest()
    row = {name: getattr(cell, name) for name in ("sweep_id", "state", "measurement_id")}
    return {**row, "key_sha256": key, "record": _json(cell)}


def to_artifact(record: str) -> Artifact:
    """An artifact from its JSON."""
    return _decode(record, Artifact)


def to_measurement(record: str, repeats: Sequence[Repeat] = ()) -> Measurement:
    """A measurement from its JSON and its repeats."""
    return msgspec.structs.replace(_decode(record, Measurement), repeats=tuple(repeats))


def to_evaluation(record: str) -> Evaluation:
    """An evaluation from its JSON."""
    return _decode(record, Evaluation)


def to_profile(record: str) -> Profile:
    """A profile from its JSON."""
    return _decode(record, Profile)


def to_sweep(record: str) -> Sweep:
    """A sweep from its JSON."""
    return _decode(record, Sweep)


def to_cell(record: str) -> SweepCell:
    """A cell of a sweep from its JSON."""
    return _decode(record, SweepCell)


def to_repeat(row: RowMapping) -> Repeat:
    """A repeat from its row.

    Raises:
        StoreError: there are not as many samples as were saved.
    """
    samples = unpack(row["samples"])
    if len(samples) != row["sample_count"]:
        raise _damaged(f"repeat {row['repeat_index']} of measurement {row['measurement_id']}")
    names = ("started", "load_cold_ns", "load_warm_ns", "first_ns", "overhead_ns", "timed_out", "warmup_stable")
    return Repeat(
        samples_ns=samples,
        warmup_ns=unpack(row["warmup"]),
        counts=unpack(row["counts"]) if row["counts"] else (),
        state_before=_decode(row["state_before"], DeviceState),
        state_after=_decode(row["state_after"], DeviceState),
        **{name: row[name] for name in names},
    )


def _json(record: Record) -> str:
    return msgspec.json.encode(record).decode()


def _decode(record: str, kind: type[_R]) -> _R:
    try:
        return msgspec.json.decode(record, type=kind)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _damaged(f"{kind.__name__.lower()} record ({error})") from error


def _created(moment: str, what: str) -> int:
    try:
        return microseconds(moment)
    except (ValueError, OverflowError) as error:
        raise StoreError(
            f"The time of the {what} is not an ISO 8601 time: '{moment}'.", where="created",
            next_step="Save it with its time of creation, such as 2026-01-31T18:00:00+00:00.",
        ) from error  # fmt: skip


def _damaged(what: str) -> StoreError:
    return StoreError(
        f"The store's {what} is damaged.", where="results store",
        next_step="Restore the store from a backup, or measure again into a new one (EDGEKIT_STORE).",
    )  # fmt: skip

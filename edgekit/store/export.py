"""Measurements as JSON, CSV and Parquet, also under the names that other tools' readers know.

``field_names``:

- ``edgekit``: the names of the ``measurement`` record; CSV and Parquet flatten what is nested.
- ``aihub``: Qualcomm AI Hub's profile, ``execution_summary``, in whole microseconds and bytes. Its
  ``estimated_inference_time`` is the fastest run, as it is there.
- ``litert``: LiteRT's ``BenchmarkResult`` message, in milliseconds; its ``mb`` are 2**20 bytes.

A field that needs the samples (a mean, p5, p95, the list of runs) is null if the measurement was read without them.
A file appears whole or not at all.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit import whole_file
from edgekit.errors import MissingExtraError, StoreError, UsageError
from edgekit.records import SCHEMA, Measurement

FieldNames = Literal["edgekit", "aihub", "litert"]
Row = dict[str, Any]

# The columns of one measurement, in order, with the type each has in CSV and Parquet.
_EDGEKIT: dict[str, type] = {
    "id": str, "created": str, "model": str, "format": str, "precision": str, "device": str, "device_name": str,
    "os_build": str, "soc": str, "engine": str, "runtime_version": str, "harness_version": str, "harness": str,
    "verdict": str,
    "verdict_reasons": str, "emulated": bool, "clock_regime": str, "threads": int, "affinity": str, "samples": int,
    "p50_ms": float, "p90_ms": float, "p99_ms": float, "trimmed_mean_ms": float, "min_ms": float, "max_ms": float,
    "ci95_low_ms": float, "ci95_high_ms": float, "repeat_spread": float, "first_ms": float, "load_cold_ms": float,
    "load_warm_ms": float, "overhead_ns": int, "peak_rss_bytes": int, "model_rss_bytes": int,
    "counter": str, "instructions": int, "cycles": int, "sram_bytes": int, "flash_bytes": int,
    "footprint_static_bytes": int, "footprint_arena_bytes": int, "footprint_stack_bytes": int,
    "footprint_flash_bytes": int,
    "plan_warmup_min_runs": int, "plan_warmup_min_seconds": float, "plan_warmup_max_seconds": float,
    "plan_min_runs": int, "plan_min_seconds": float, "plan_max_seconds": float, "plan_repeats": int,
    "artifact_sha256": str, "schema": int,
}  # fmt: skip
_NAMED: dict[str, type] = {"id": str, "created": str, "model": str, "format": str, "precision": str, "device": str}
_AIHUB: dict[str, type] = {
    **_NAMED,
    "execution_summary.estimated_inference_time": int,
    "execution_summary.estimated_inference_peak_memory": int,
    "execution_summary.first_load_time": int,
    "execution_summary.warm_load_time": int,
    "execution_summary.all_inference_times": str,
}
_LITERT: dict[str, type] = {
    **_NAMED,
    **{
        f"latency_metrics.{name}_ms": float
        for name in ("init", "first_inference", "average_warm_up", "avg", "min", "max", "stddev", "median", "p5", "p95")
    },
    "memory_metrics.peak_mem_mb": float,
    "misc_metrics.num_runs": int,
    "misc_metrics.num_warmup_runs": int,
}
_COLUMNS: dict[FieldNames, dict[str, type]] = {"edgekit": _EDGEKIT, "aihub": _AIHUB, "litert": _LITERT}


def documents(measurements: Sequence[Measurement], field_names: FieldNames = "edgekit") -> list[Row]:
    """One JSON-ready object per measurement, nested as the named tool nests it.

    Raises:
        UsageError: ``field_names`` is not one of the three.
    """
    makers: dict[str, Callable[[Measurement], Row]] = {"edgekit": _edgekit, "aihub": _aihub, "litert": _litert}
    if field_names not in makers:
        raise UsageError(
            f"There are no field names '{field_names}'.", where="--field-names", next_step=f"Use {', '.join(makers)}."
        )
    return [makers[field_names](measurement) for measurement in measurements]


def rows(measurements: Sequence[Measurement], field_names: FieldNames = "edgekit") -> list[Row]:
    """One flat object per measurement; every row has the same columns. Nested names are joined with a dot."""
    found = [_flat(document) for document in documents(measurements, field_names)]
    return [{name: _cell(row.get(name)) for name in _COLUMNS[field_names]} for row in found]


def to_json(measurements: Sequence[Measurement], path: Path, field_names: FieldNames = "edgekit") -> Path:
    """Writes ``{"schema": 1, "measurements": [...]}``, with every sample that was read."""
    document = {"schema": SCHEMA, "measurements": documents(measurements, field_names)}
    return _write(path, msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def to_csv(measurements: Sequence[Measurement], path: Path, field_names: FieldNames = "edgekit") -> Path:
    """Writes UTF-8 CSV with a header (RFC 4180).

    Text that a spreadsheet would run as a formula gets a leading apostrophe (OWASP, CSV Injection).
    """
    text = io.StringIO(newline="")
    found = rows(measurements, field_names)
    writer = csv.DictWriter(text, list(_COLUMNS[field_names]))
    writer.writeheader()
    writer.writerows({name: _no_formula(value) for name, value in row.items()} for row in found)
    return _write(path, text.getvalue().encode())


def to_parquet(measurements: Sequence[Measurement], path: Path, field_names: FieldNames = "edgekit") -> Path:
    """Writes the rows of :func:`rows` as Parquet, typed also where a column is empty.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "Parquet files need the Python package 'pyarrow', which is not installed.",
            where="--export", next_step="Run: pip install \"edgekit[parquet]\" (or export .csv or .json).",
        ) from error  # fmt: skip
    types = {str: pyarrow.string(), bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    found = rows(measurements, field_names)
    schema = pyarrow.schema([(name, types[kind]) for name, kind in _COLUMNS[field_names].items()])
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found, schema=schema), buffer)
    return _write(path, buffer.getvalue())


# How a file is written, by the end of its name.
WRITERS: dict[str, Callable[[Sequence[Measurement], Path, FieldNames], Path]] = {
    ".json": to_json,
    ".csv": to_csv,
    ".parquet": to_parquet,
}


def export(measurements: Sequence[Measurement], path: Path, field_names: FieldNames = "edgekit") -> Path:
    """Writes the measurements in the form that the end of the file's name says.

    Raises:
        UsageError: it is none of .json, .csv and .parquet.
        StoreError: the file can't be written.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise UsageError(
            f"Results can't be exported as '{path.name}'.", where="--export",
            next_step=f"End the name with {', '.join(WRITERS)}.",
        )  # fmt: skip
    return writer(measurements, path, field_names)


def _edgekit(measurement: Measurement) -> Row:
    document: Row = msgspec.to_builtins(measurement)
    return document


def _aihub(measurement: Measurement) -> Row:
    runs = [round(sample / 1000) for repeat in measurement.repeats for sample in repeat.samples_ns]
    return {
        **_named(measurement),
        "execution_summary": {
            "estimated_inference_time": _microseconds(measurement.min_ms),
            "estimated_inference_peak_memory": measurement.peak_rss_bytes,
            "first_load_time": _microseconds(measurement.load_cold_ms),
            "warm_load_time": _microseconds(measurement.load_warm_ms),
            "all_inference_times": runs or None,
        },
    }


def _litert(measurement: Measurement) -> Row:
    runs = sorted(sample / 1e6 for repeat in measurement.repeats for sample in repeat.samples_ns)
    warmup = [sample / 1e6 for repeat in measurement.repeats for sample in repeat.warmup_ns]
    peak = measurement.peak_rss_bytes
    return {
        **_named(measurement),
        "latency_metrics": {
            "init_ms": measurement.load_cold_ms,
            "first_inference_ms": measurement.first_ms,
            "average_warm_up_ms": statistics.fmean(warmup) if warmup else None,
            "avg_ms": statistics.fmean(runs) if runs else None,
            "min_ms": measurement.min_ms,
            "max_ms": measurement.max_ms,
            "stddev_ms": statistics.stdev(runs) if len(runs) > 1 else None,
            "median_ms": measurement.p50_ms,
            "p5_ms": _percentile(runs, 5),
            "p95_ms": _percentile(runs, 95),
        },
        "memory_metrics": {"peak_mem_mb": None if peak is None else peak / 2**20},
        "misc_metrics": {"num_runs": measurement.samples, "num_warmup_runs": len(warmup) if runs else None},
    }


def _named(measurement: Measurement) -> Row:
    return {name: getattr(measurement, name) for name in _NAMED}


def _microseconds(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds * 1000)


def _percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Linear interpolation between the two nearest samples (Hyndman and Fan 1996, type 7, as LiteRT's tool does)."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _flat(document: Mapping[str, Any]) -> Row:
    row: Row = {}
    for name, value in document.items():
        if name in ("plan", "footprint"):
            row.update({f"{name}_{key}": item for key, item in (value or {}).items()})
        elif name == "ci95_ms":
            row["ci95_low_ms"], row["ci95_high_ms"] = value or (None, None)
        elif isinstance(value, Mapping):
            row.update({f"{name}.{key}": item for key, item in value.items()})
        else:
            row[name] = value
    return row


def _cell(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return "; ".join(str(item) for item in value)
    return value


def _no_formula(value: object) -> object:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return value


def _write(path: Path, content: bytes) -> Path:
    try:
        whole_file.write(path, content)
    except OSError as error:
        raise StoreError(
            f"The results can't be written: {error.strerror or error}.", where=str(path),
            next_step="Choose a file in a folder that exists, that you can write to and that has room.",
        ) from error  # fmt: skip
    return path

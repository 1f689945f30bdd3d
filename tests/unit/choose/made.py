"""Rows, measurements and files as the store gives them, with figures of the test's choosing."""

from __future__ import annotations

import hashlib
from typing import Any

from edgekit.choose.rows import Row
from edgekit.records import Artifact, Evaluation, Measurement, Parity, Plan
from edgekit.selection import CandidateKey, Conditions, Measured, Quantity

HERE = Conditions(
    device_name="Pixel", soc="GS201", os_build="14", emulated=False, clock_regime="free", harness="native",
    harness_version="0.1.0", plan=Plan(),
)  # fmt: skip


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def quantity(value: float, half: float = 0.0, **changes: Any) -> Quantity:
    """A figure whose interval reaches ``half`` to both sides."""
    return Quantity(**{"value": value, "low": value - half, "high": value + half, "source": "measured", **changes})


def key(model: str, **changes: Any) -> CandidateKey:
    fields = {"model": model, "format": "litert", "precision": "fp32", "threads": 1, "engine": "litert"}
    return CandidateKey(**{**fields, "artifact_sha256": digest(model), **changes})


def row(model: str, quantities: dict[str, Any], device: str = "pixel7", **changes: Any) -> Row:
    """A row; figures are quantities, or (value, half the interval)."""
    made = {name: one if isinstance(one, Quantity) else quantity(*one) for name, one in quantities.items()}
    fields: dict[str, Any] = {
        "candidate": key(model), "device": device, "conditions": HERE, "quantities": made, "missing": {},
        "verdict": "ok", "verdict_reasons": (), "measurement_id": f"{model}@{device}",
        "created": "2026-03-01T10:00:00+00:00", "parity": True, "samples": 150,
    }  # fmt: skip
    return Row(**{**fields, **changes})


def artifact(model: str, **changes: Any) -> Artifact:
    fields: dict[str, Any] = {
        "sha256": digest(model), "bytes": 4_000_000, "format": "litert", "precision": "fp32", "path": f"{model}.tflite",
        "model": model, "exported_sha256": None, "parity": Parity(passed=True),
    }  # fmt: skip
    return Artifact(**{**fields, **changes})


def measurement(model: str, p50: float = 10.0, half: float = 0.1, **changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "id": digest(f"{model}{p50}{sorted(changes.items())}")[:32], "created": "2026-03-01T10:00:00+00:00",
        "artifact_sha256": digest(model), "model": model, "format": "litert", "precision": "fp32", "device": "host",
        "device_name": "A CPU", "os_build": "Linux", "soc": None, "engine": "litert", "runtime_version": "2.3",
        "harness_version": "0.1.0", "verdict": "ok", "samples": 600, "p50_ms": p50, "p90_ms": p50 * 1.1,
        "p99_ms": p50 * 1.3, "min_ms": p50 * 0.9, "max_ms": p50 * 1.6, "ci95_ms": (p50 - half, p50 + half),
        "first_ms": p50 * 2, "load_cold_ms": 20.0, "peak_rss_bytes": 90_000_000, "model_rss_bytes": 30_000_000,
    }  # fmt: skip
    return Measurement(**{**fields, **changes})


def measured(model: str, p50: float = 10.0, half: float = 0.1, **changes: Any) -> Measured:
    return Measured(measurement=measurement(model, p50, half, **changes), artifact=artifact(model))


def evaluation(model: str, value: float | None, half: float = 0.01, **changes: Any) -> Evaluation:
    fields: dict[str, Any] = {
        "artifact_sha256": digest(model), "model": model, "format": "litert", "precision": "fp32",
        "dataset": "test.npz", "dataset_sha256": digest("test.npz"), "metric": "top1", "value": value,
        "ci95": None if value is None else (value - half, value + half), "samples": 1000,
        "created": "2026-03-01T10:00:00+00:00",
    }  # fmt: skip
    return Evaluation(**{**fields, **changes})

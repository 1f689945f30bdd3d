from __future__ import annotations

from typing import Any

from edgekit.records import Artifact, DeviceState, Measurement, Parity, Plan, Repeat

ARTIFACT = Artifact(
    sha256="a" * 64, bytes=1234, format="executorch", precision="fp32", path="net.pte", model="timm:mobilenetv2_100",
    exported_sha256="e" * 64, parity=Parity(passed=True, max_abs=1e-6, samples=8), rewrites=("fold_batch_norm",),
)  # fmt: skip


def make_repeat(index: int = 0, count: int = 60) -> Repeat:
    """A repeat whose samples differ from those of every other index; some don't fit in 32 bits."""
    return Repeat(
        samples_ns=tuple(5_000_000_000 + 1000 * index + k for k in range(count)),
        warmup_ns=(9_000_000 + index, 2**62),
        load_cold_ns=11 + index, load_warm_ns=12, first_ns=13, overhead_ns=14, timed_out=False, warmup_stable=True,
        started=f"2026-03-0{index + 1}T10:00:00+00:00",
        state_before=DeviceState(temperatures_c={"cpu": 41.125}, frequencies_khz=(2_000_000, 1), missing=("battery",)),
        state_after=DeviceState(load_1min=0.1, charging=True),
    )  # fmt: skip


def make_measurement(**changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "id": "m-0001", "created": "2026-03-01T10:00:00.123456+00:00", "artifact_sha256": "a" * 64,
        "model": "timm:mobilenetv2_100", "format": "executorch", "precision": "fp32", "device": "host",
        "device_name": "Linux x86-64", "os_build": None, "soc": None, "engine": "executorch",
        "runtime_version": "1.5.0", "harness_version": "0.1.0", "verdict": "noisy", "verdict_reasons": ("load", "x"),
        "affinity": (0, 1), "samples": 120, "p50_ms": 0.1 + 0.2, "p90_ms": 1 / 3, "min_ms": 0.0004, "max_ms": 9.5,
        "ci95_ms": (0.29, 0.31), "first_ms": 3.5, "load_cold_ms": 21.25, "load_warm_ms": 4.0,
        "peak_rss_bytes": 3 * 2**20, "plan": Plan(min_runs=60), "repeats": (make_repeat(0), make_repeat(1)),
    }  # fmt: skip
    return Measurement(**{**fields, **changes})

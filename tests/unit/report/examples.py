"""A store with everything that a report can show: made by the product's own stages from invented samples."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from edgekit.measure.stats import summarise
from edgekit.measure.verdict import judge
from edgekit.records import (
    Artifact,
    DeviceState,
    Divergence,
    Evaluation,
    Footprint,
    Measurement,
    OpTime,
    Parity,
    Plan,
    Profile,
    Repeat,
)
from edgekit.selection import Sweep, SweepCell
from edgekit.store.store import Store

PLAN = Plan(min_runs=50, min_seconds=0.0, repeats=3)
START = datetime(2026, 1, 31, 12, 0, tzinfo=timezone.utc)
# What a model's file could be called by somebody who means ill, and what plotly.js and HTML would make of it.
HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"><a href='https://example.org'>x</a>\u2028$ink"
# (name, median in ms, top1, bytes)
MODELS = (
    ("small_net", 2.0, 0.61, 2_100_000),
    ("middle_net", 4.0, 0.70, 5_200_000),
    ("large_net", 8.0, 0.66, 9_900_000),
    (HOSTILE, 16.0, 0.75, 21_000_000),
)
HOST: dict[str, Any] = {"device": "host", "device_name": "Bench machine", "soc": "Example CPU", "os_build": "Debian 12"}
PHONE: dict[str, Any] = {
    "device": "virtual:phone-arm64", "device_name": "Virtual phone", "soc": None, "os_build": "Linux 6",
    "emulated": True, "harness": "native",
}  # fmt: skip
BOARD: dict[str, Any] = {
    "device": "virtual:cortex-m7", "device_name": "MPS2 board", "soc": "Cortex-M7", "os_build": None, "emulated": True,
    "harness": "mcu",
}  # fmt: skip


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def artifact(model: str, format_name: str, size: int = 4_000_000, **more: Any) -> Artifact:
    parity = Parity(passed=True, max_abs=3e-6, cosine=0.9999999, psnr_db=120.5, top1_agreement=1.0, samples=8)
    fields: dict[str, Any] = {
        "sha256": sha(f"{model} {format_name}"), "bytes": size, "format": format_name, "precision": "fp32",
        "path": f"{format_name}.bin", "model": model, "exported_sha256": sha(model), "parity": parity, **more,
    }  # fmt: skip
    return Artifact(**fields)


def repeat(samples_ns: Sequence[int], minute: float, *, state: bool = True, counts: Sequence[int] = ()) -> Repeat:
    def at(hot: float) -> DeviceState:
        if not state:
            return DeviceState(missing=("temperatures_c",))
        return DeviceState(frequencies_khz=(2_400_000, 2_400_000), temperatures_c={"cpu": 41.5 + hot, "skin": 30.0},
                           throttle_count=3, load_1min=0.25 + hot / 10)  # fmt: skip

    return Repeat(
        samples_ns=tuple(samples_ns), warmup_ns=(2_000_000,) * 5, load_cold_ns=30_000_000, load_warm_ns=9_000_000,
        first_ns=4_000_000, overhead_ns=40, timed_out=False, warmup_stable=True,
        started=(START + timedelta(minutes=minute)).isoformat(), state_before=at(minute % 3), state_after=at(minute % 3
        + 2), counts=tuple(counts),
    )  # fmt: skip


def times(median_ms: float, seed: int, *, runs: int = 120, spread: float = 0.01) -> list[int]:
    draw = random.Random(seed)
    return [max(1, round(1e6 * median_ms * draw.lognormvariate(0, spread))) for _ in range(runs)]


def measurement(made: Artifact, place: dict[str, Any], median_ms: float, number: int, **more: Any) -> Measurement:
    """Three repeats around a median; ``more`` may be samples' ``spread`` and ``runs`` and any field."""
    look = {name: more.pop(name) for name in ("spread", "runs") if name in more}
    drifts = more.pop("medians", (1.0, 1.0, 1.0))
    repeats = tuple(
        repeat(times(median_ms * drift, number * 10 + place_, **look), number * 3 + place_)
        for place_, drift in enumerate(drifts)
    )
    summary = summarise([one.samples_ns for one in repeats])
    verdict, reasons = judge(repeats, summary, PLAN)
    fields: dict[str, Any] = {
        "id": sha(f"measurement {number} {made.sha256}")[:32], "created": repeats[0].started,
        "artifact_sha256": made.sha256, "model": made.model, "format": made.format, "precision": made.precision,
        "engine": {"onnx": "onnxruntime"}.get(made.format, made.format), "runtime_version": "1.0",
        "harness_version": "0.1.0", "verdict": verdict, "verdict_reasons": reasons, "plan": PLAN, "repeats": repeats,
        "first_ms": 4.0, "load_cold_ms": 30.0, "load_warm_ms": 9.0, "peak_rss_bytes": 60_000_000,
        "model_rss_bytes": 20_000_000, **place,
        **{name: getattr(summary, name) for name in ("samples", "p50_ms", "p90_ms", "p99_ms", "trimmed_mean_ms",
           "min_ms", "max_ms", "ci95_ms", "repeat_spread")}, **more,
    }  # fmt: skip
    return Measurement(**fields)


def counted(made: Artifact, number: int) -> Measurement:
    """A virtual board's: instructions and no time."""
    repeats = tuple(repeat((), number * 3 + place, state=False, counts=(31_000_000,) * 3) for place in range(3))
    footprint = Footprint(static_bytes=9_000, arena_bytes=120_000, stack_bytes=3_000, flash_bytes=700_000)
    return Measurement(
        id=sha(f"counted {number}")[:32], created=repeats[0].started, artifact_sha256=made.sha256, model=made.model,
        format="mcu", precision="int8", engine="edgekit-mcu", runtime_version="0.1", harness_version="0.1.0",
        verdict="ok", plan=PLAN, repeats=repeats, samples=9, counter="instructions", instructions=31_000_000,
        footprint=footprint, sram_bytes=footprint.sram_bytes, flash_bytes=700_000, **BOARD,
    )  # fmt: skip


def profile(made: Artifact) -> Profile:
    ops = tuple(
        OpTime(name=f"conv_{place}<b>", type="Conv" if place % 3 else "Add", unit="XNNPACK" if place % 2 else "CPU",
               p50_ms=2.0 / (place + 1), share=0.4 / (place + 1))
        for place in range(22)
    )  # fmt: skip
    return Profile(artifact_sha256=made.sha256, model=made.model, format=made.format, device="host",
                   engine=made.format, runtime_version="1.0", threads=1, runs=20, total_ms=5.0, ops=ops,
                   note="Times of single operators include the profiler's own.")  # fmt: skip


def evaluation(made: Artifact, value: float) -> Evaluation:
    return Evaluation(artifact_sha256=made.sha256, model=made.model, format=made.format, precision=made.precision,
                      dataset="photographs", dataset_sha256=sha("photographs"), metric="top1", value=value,
                      ci95=(value - 0.01, value + 0.01), samples=2000, created=START.isoformat())  # fmt: skip


def fill(store: Store, *, accuracy: bool = True) -> Sweep:
    """Candidates of every kind, under three sets of conditions; the sweep has those on the host."""
    sweep = Sweep(id=sha("sweep")[:32], name="nightly <1>", created=START.isoformat(), grid="{}", grid_sha256=sha("g"))
    store.add_sweep(sweep)
    number, cells = 0, []
    for model, median_ms, top1, size in MODELS:
        for format_name in ("executorch", "litert", "onnx"):
            number += 1
            made = artifact(model, format_name, size + number)
            store.add_artifact(made)
            odd = {"medians": (1.0, 1.4, 1.1)} if number == 5 else {}
            found = measurement(made, HOST, median_ms * (1 + number / 50), number, **odd)
            cells.append(cell(sweep, made, "pending"))
            store.add_cells(cells[-1:])
            store.save_cell(cell(sweep, made, "measured", measurement_id=found.id, artifact_sha256=made.sha256), found)
            if accuracy and number % 4:
                store.save_evaluation(evaluation(made, top1))
            if number < 3:
                store.save_profile(profile(made), START.isoformat())
    store.add_cells([
        cell(sweep, artifact("odd_net", "coreml"), "failed", kind="convert", reason="no such operator: <frob & co>"),
        cell(sweep, artifact("odd_net", "mcu"), "skipped", reason="does not fit into 320 KB"),
        cell(sweep, artifact("late_net", "onnx"), "pending"),
    ])  # fmt: skip
    _elsewhere(store)
    return sweep


def _elsewhere(store: Store) -> None:
    """What does not belong with the rest: emulators, a throttled run, a file that failed parity."""
    for number, format_name in enumerate(("executorch", "litert"), 30):
        made = artifact("small_net", format_name)
        store.save_measurement(measurement(made, PHONE, 30.0 + number, number))
    board = artifact("tiny_net", "mcu", 700_000, precision="int8",
                     parity=Parity(passed=True, bit_equal=True, samples=4))  # fmt: skip
    store.add_artifact(board)
    store.save_measurement(counted(board, 40))
    wrong = artifact("wrong_net", "litert", parity=Parity(
        passed=False, max_abs=1.25, cosine=0.2, samples=8,
        first_divergence=Divergence(tensor="add_3", op="aten.add", module="blocks.3", source="net.py:7", max_abs=1.0,
                                    cosine=0.3)))  # fmt: skip
    store.add_artifact(wrong)
    hot = measurement(wrong, HOST, 5.0, 50, verdict="throttled", verdict_reasons=("Repeat 2 became 12.0% slower.",))
    store.save_measurement(hot)


def cell(sweep: Sweep, made: Artifact, state: Any, **more: Any) -> SweepCell:
    fields: dict[str, Any] = {
        "sweep_id": sweep.id, "key": sha(f"{made.model} {made.format}")[:16], "model": made.model,
        "format": made.format, "precision": made.precision, "threads": 1, "device": "host", "state": state, **more,
    }  # fmt: skip
    return SweepCell(**fields)

"""The job and result documents that every harness speaks (Python on the host; native runner, Swift and MCU agent).

A job says which file to run, with which engine, on which inputs, and by which plan. The harness verifies the file's
sha256 and its own version before it loads anything, and answers with one result document. Tensors travel as .npy
files with a leading axis over the samples. Golden bytes of both documents live in ``tests/golden``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgekit.records import Counter, DeviceState, Footprint, OpTime, Plan, Record, TensorSpec

JOB_SCHEMA = 1

Mode = Literal["describe", "outputs", "measure", "memory", "profile"]
Engine = Literal["executorch", "litert", "onnxruntime", "edgekit-mcu", "litert-reference"]

# The runtime that executes each artifact format. Core ML has no runtime outside Apple's systems.
ENGINE_OF_FORMAT: dict[str, Engine] = {
    "executorch": "executorch",
    "litert": "litert",
    "onnx": "onnxruntime",
    "mcu": "edgekit-mcu",
}


# What the native runner runs; it is the same program on the host, on phones and on Linux boards.
NATIVE_ENGINES: tuple[Engine, ...] = ("executorch", "litert")


class Job(Record, frozen=True, kw_only=True):
    """One run of one artifact in one fresh process.

    ``inputs`` holds one .npy path per model input, in the model's order. ``outputs_dir``, if given, receives
    ``output_K.npy`` for every model output (mode ``outputs``). Mode ``describe`` only loads the file and answers the
    inputs that it states. In the timed modes the first sample is the input.
    """

    schema: int = JOB_SCHEMA
    harness_version: str
    mode: Mode
    engine: Engine
    artifact: str
    artifact_sha256: str
    inputs: tuple[str, ...]
    outputs_dir: str | None = None
    threads: int = 1
    affinity: tuple[int, ...] | None = None
    plan: Plan = Plan()


class Counted(Record, frozen=True, kw_only=True):
    """What a microcontroller counted: per timed run (or per profiled one), and the memory that it needed."""

    counter: Counter
    per_run: tuple[int, ...]
    footprint: Footprint | None = None


class JobResult(Record, frozen=True, kw_only=True):
    """What the harness found. Fields that the mode does not produce stay empty."""

    schema: int = JOB_SCHEMA
    harness: str
    harness_version: str
    engine: Engine
    runtime_version: str
    threads: int
    load_cold_ns: int = 0
    load_warm_ns: int = 0
    first_ns: int = 0
    warmup_ns: tuple[int, ...] = ()
    warmup_stable: bool = False
    samples_ns: tuple[int, ...] = ()
    overhead_ns: int = 0
    timed_out: bool = False
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[str, ...] = ()
    baseline_rss_bytes: int = 0
    peak_rss_bytes: int = 0
    started: str = ""
    state_before: DeviceState = DeviceState()
    state_after: DeviceState = DeviceState()
    ops: tuple[OpTime, ...] = ()
    note: str | None = None
    counted: Counted | None = None


class JobFailure(Record, frozen=True, kw_only=True):
    """The harness could not do the job; ``kind`` is one of edgekit.errors' kinds."""

    schema: int = JOB_SCHEMA
    kind: str
    message: str
    where: str = ""
    next_step: str = ""


Answer = JobResult | JobFailure


class Envelope(Record, frozen=True, kw_only=True):
    """The file that a harness writes: exactly one of the two."""

    result: JobResult | None = None
    failure: JobFailure | None = None


def encode(document: msgspec.Struct) -> bytes:
    """Canonical JSON bytes of a document: sorted keys, so that golden bytes are stable."""
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1)

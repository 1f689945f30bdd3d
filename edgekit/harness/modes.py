"""What the harness does in the child process: describe, outputs, measure, memory and profile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgekit.errors import RuntimeCrashError, UsageError
from edgekit.harness import memory
from edgekit.harness.clock import Clock, monotonic_clock
from edgekit.harness.engines.base import Array, EngineRunner, runtime_call
from edgekit.harness.loop import overhead_ns, timed_loop
from edgekit.harness.state import COLD_CACHE, read_state
from edgekit.job import Job, JobResult, Mode
from edgekit.records import TensorSpec

_MEMORY_RUNS = 3


def run_mode(job: Job, engine: EngineRunner, blank: JobResult) -> JobResult:
    """Do the job with an engine that is imported but has no model yet.

    Args:
        blank: a result with the fields that every mode answers.

    Raises:
        UsageError: the inputs can't be read or don't fit the model.
        RuntimeCrashError: the runtime refused the file or failed on it.
    """
    return _MODES[job.mode](job, engine, blank)


def run_describe(job: Job, engine: EngineRunner, blank: JobResult) -> JobResult:
    """The file's own inputs; refuses a file whose inputs have no fixed shape."""
    engine.load(Path(job.artifact), job.threads)
    inputs = []
    for spec in engine.specs():
        if None in spec.shape:
            raise UsageError(
                f"Input {spec.name} has no fixed shape: {spec.shape}.",
                where=job.artifact,
                next_step="Convert the model with fixed shapes.",
            )
        shape = tuple(size for size in spec.shape if size is not None)
        inputs.append(TensorSpec(name=spec.name, shape=shape, dtype=spec.dtype))
    return msgspec.structs.replace(blank, inputs=tuple(inputs), note=engine.note)


def run_outputs(job: Job, engine: EngineRunner, blank: JobResult) -> JobResult:
    """Run every sample; write one ``output_K.npy`` stack per model output, samples first."""
    if job.outputs_dir is None:
        raise UsageError("A job of mode outputs names no outputs_dir.", where=job.artifact)
    stacks = open_inputs(job.inputs)
    engine.load(Path(job.artifact), job.threads)
    folder = Path(job.outputs_dir)
    written: list[Any] = []
    for index in range(len(stacks[0])):
        values = _infer(engine, [stack[index] for stack in stacks], job)
        if index == 0:
            written = [_create(folder, k, len(stacks[0]), value) for k, value in enumerate(values)]
        for k, value in enumerate(values):
            if value.shape != written[k].shape[1:] or value.dtype != written[k].dtype:
                raise RuntimeCrashError(
                    f"Output {k} of sample {index} is {value.dtype} {value.shape}, unlike that of sample 0.",
                    where=job.artifact,
                    next_step="edgekit compares outputs of one fixed shape; convert the model with fixed shapes.",
                )
            written[k][index] = value
    paths = tuple(str(_finish(folder, k, stack)) for k, stack in enumerate(written))
    return msgspec.structs.replace(blank, outputs=paths, note=engine.note)


def run_measure(job: Job, engine: EngineRunner, blank: JobResult) -> JobResult:
    """One cold repeat: cold load, first inference, warm load, warm-up, timed runs; every sample is kept."""
    clock, clock_note = monotonic_clock()
    path, inputs = Path(job.artifact), _first_sample(job)
    evicted = memory.evict(path)
    cold = _timed(clock, lambda: engine.load(path, job.threads))
    engine.bind(inputs)
    with runtime_call("run the model", path):
        first = _timed(clock, engine.run)
    warm = _timed(clock, lambda: engine.load(path, job.threads))
    engine.bind(inputs)
    before = read_state()
    if not evicted:
        before = msgspec.structs.replace(before, missing=(*before.missing, COLD_CACHE))
    with runtime_call("run the model", path):
        timed = timed_loop(engine.run, job.plan, clock)
    return msgspec.structs.replace(
        blank,
        load_cold_ns=cold if evicted else 0,
        load_warm_ns=warm,
        first_ns=first,
        warmup_ns=timed.warmup_ns,
        warmup_stable=timed.warmup_stable,
        samples_ns=timed.samples_ns,
        timed_out=timed.timed_out,
        overhead_ns=overhead_ns(clock),
        state_before=before,
        state_after=read_state(),
        note=_join(engine.note, clock_note, timed.note),
    )


def run_memory(job: Job, engine: EngineRunner, blank: JobResult) -> JobResult:
    """Resident memory before the model is loaded, and its peak over one load and three inferences."""
    inputs = _first_sample(job)
    memory.settle_heap()
    baseline = memory.resident_bytes()
    was_reset = memory.reset_peak()
    engine.load(Path(job.artifact), job.threads)
    engine.bind(inputs)
    with runtime_call("run the model", job.artifact):
        for _ in range(_MEMORY_RUNS):
            engine.run()
    peak, note = memory.peak_bytes(was_reset)
    return msgspec.structs.replace(
        blank, baseline_rss_bytes=baseline, peak_rss_bytes=peak, note=_join(engine.note, note)
    )


def run_profile(job: Job, engine: EngineRunner, blank: JobResult) -> JobResult:
    """Per-operator times over ``plan.min_runs`` runs; ``samples_ns`` holds the whole time of each of them."""
    engine.load(Path(job.artifact), job.threads)
    engine.bind(_first_sample(job))
    found = engine.profile(job.plan.min_runs)
    note = _join(engine.note, found.note if found.note != engine.note else None)
    return msgspec.structs.replace(blank, ops=found.ops, samples_ns=found.totals_ns, note=note)


_MODES: dict[Mode, Callable[[Job, EngineRunner, JobResult], JobResult]] = {
    "describe": run_describe,
    "outputs": run_outputs,
    "measure": run_measure,
    "memory": run_memory,
    "profile": run_profile,
}


def open_inputs(paths: Sequence[str]) -> list[Array]:
    """Memory-map the input stacks, one per model input, each with the same number of samples in front.

    Raises:
        UsageError: a file is missing or no numeric .npy, the numbers of samples differ, or there is no sample.
    """
    stacks = [_open_stack(path) for path in paths]
    counts = {len(stack) for stack in stacks}
    if len(counts) != 1 or counts == {0}:
        raise UsageError(
            f"The input files hold {sorted(counts)} samples; every one needs the same number, at least 1.",
            where=", ".join(paths),
            next_step="Give one .npy stack per model input, samples on the first axis.",
        )
    return stacks


def _open_stack(path: str) -> Array:
    try:
        stack: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"The inputs can't be read: {error}", where=path, next_step="Give a .npy file.") from error
    if not isinstance(stack, np.ndarray) or stack.ndim == 0:
        raise UsageError(f"{path} is not a stack of samples.", where=path, next_step="Add a leading sample axis.")
    return stack


def _first_sample(job: Job) -> list[Array]:
    return [np.array(stack[0]) for stack in open_inputs(job.inputs)]


def _infer(engine: EngineRunner, inputs: list[Array], job: Job) -> list[Array]:
    engine.bind(inputs)
    with runtime_call("run the model", job.artifact):
        engine.run()
        return engine.outputs()


def _create(folder: Path, k: int, count: int, like: Array) -> Any:
    part = _part(folder, k)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stack = np.lib.format.open_memmap(part, mode="w+", dtype=like.dtype, shape=(count, *like.shape))
        if hasattr(os, "posix_fallocate"):
            # Reserved now, because a full disk would show later as a SIGBUS in the middle of a copy.
            with part.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, part.stat().st_size)
    except OSError as error:
        raise UsageError(
            f"The outputs can't be written: {error}",
            where=str(folder),
            next_step="Choose a directory that can be written and has room.",
        ) from error
    return stack


def _part(folder: Path, k: int) -> Path:
    return folder / f"output_{k}.npy.part"


def _finish(folder: Path, k: int, stack: Any) -> Path:
    # The final name appears only once every sample is in the file.
    stack.flush()
    return _part(folder, k).replace(folder / f"output_{k}.npy")


def _timed(clock: Clock, action: Callable[[], object]) -> int:
    begin = clock()
    action()
    return clock() - begin


def _join(*notes: str | None) -> str | None:
    return " ".join(note for note in notes if note) or None


def now_utc() -> str:
    """The time now as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def pin(affinity: tuple[int, ...]) -> None:
    """Bind this process, and the threads it starts from now on, to these cores.

    Raises:
        UsageError: the system can't bind processes, or keeps one of these cores from this process.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("This system can't bind a process to cores.", where=str(affinity), next_step="Ask for none.")
    allowed = os.sched_getaffinity(0)
    if not affinity or not set(affinity) <= allowed:
        raise UsageError(
            f"Cores {sorted(affinity)} were asked for, but this process may only use {sorted(allowed)}.",
            where="affinity",
            next_step="Choose among the cores that the process may use.",
        )
    os.sched_setaffinity(0, affinity)

"""One format in one process: convert, publish the file, judge it, and name what diverges.

The process is forked from the one that exported the program, so that torch and the program are there already; where
fork is not available it loads both itself. It may crash, leak or print as the converters please: its output goes to a
log file, its result through a pipe.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgekit.convert import backend as backends
from edgekit.convert import entries, events, judge, parity, placement, speedups
from edgekit.convert import request as keys
from edgekit.convert.cache import Cache
from edgekit.convert.failure import translate
from edgekit.convert.files.constants import precision_of
from edgekit.convert.files.verify import verify
from edgekit.convert.mcu import exact
from edgekit.convert.mil.failures import NotEvaluated
from edgekit.errors import ConvertError, EdgekitError, UsageError
from edgekit.export import rewrites
from edgekit.export.rewrites.graph import origin_of
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.harness.orphan import die_with_parent
from edgekit.records import Artifact, Divergence, Exported, Parity

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgekit.export.provenance import NodeOrigin

Emit = Callable[[events.Event], None]
_SYNTHETIC = keys.CalibrationRequest()
Located = tuple[Divergence | None, list[str]]

_ONLY_CLASSES = "every value is within its tolerance, but classes of nearly equal score changed places"


@dataclass(frozen=True)
class Task:
    """What one worker is to do: convert, or judge ``file``, which was converted before.

    ``program`` is null in a process that was not forked: it is loaded then.
    """

    info: backends.BackendInfo
    exported: Exported
    precision: str
    cache: Cache
    check_parity: bool
    program: ExportedProgram | None
    origins: Mapping[str, NodeOrigin] | None
    file: str | None = None
    calibration: keys.CalibrationRequest = _SYNTHETIC
    calibration_identity: str = ""


def main(task: Task, emit_bytes: Callable[[bytes], None], log: str) -> None:
    """Entry point of the process: everything that happens ends as an event."""
    emit: Emit = lambda event: emit_bytes(events.encode(event))  # noqa: E731 - a named function would only wrap it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a half-written entry is removed
    die_with_parent(signal.SIGTERM)
    redirect_output(log)
    # A process of multiprocessing ends without its atexit functions, by which coremltools removes its copy of the
    # model.
    tempfile.tempdir = os.environ["TMPDIR"] = str(Path(log).parent)
    try:
        run(task, emit)
    except EdgekitError as known:
        emit(events.Failed(error=known.to_dict(), format=task.info.name, traceback=traceback.format_exc()))
    except MemoryError:
        emit(events.Failed(error=backends.out_of_memory(task.info).to_dict(), format=task.info.name))
    except Exception as failure:  # noqa: BLE001 - the process boundary: a defect of ours must still reach the user in words
        defect = ConvertError(f"{task.info.name} failed: {failure!r}", next_step="This is a defect; please report it.")
        emit(events.Failed(error=defect.to_dict(), format=task.info.name, traceback=traceback.format_exc()))


def redirect_output(log: str) -> None:
    """Send this process's stdout and stderr, C++ code's included, to the log file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), line_buffering=True)
    sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), line_buffering=True)


def run(task: Task, emit: Emit) -> None:
    """Convert unless the cache has the file, then judge it unless that was done before."""
    artifact = _described(task, Path(task.file)) if task.file is not None else _from_cache_or_converted(task, emit)
    judged = _judge(task, artifact, emit)
    emit(events.ArtifactReady(artifact=msgspec.structs.replace(artifact, parity=judged)))


def _described(task: Task, path: Path) -> Artifact:
    """The record of a file that was converted before.

    Raises:
        RuntimeCrashError: it is damaged.
    """
    verify(task.info.name, path)
    found = placement.read(task.info.name, path)
    return Artifact(
        sha256=sha256_of(path),
        bytes=bytes_of(path),
        format=task.info.name,
        precision=task.precision or precision_of(task.info.name, path),
        path=str(path),
        model=task.exported.name,
        exported_sha256=None,
        parity=parity.not_checked("not compared yet"),
        **msgspec.structs.asdict(found),
    )


def _from_cache_or_converted(task: Task, emit: Emit) -> Artifact:
    key = keys.artifact_key(task.exported.sha256, task.info, task.precision, task.calibration_identity)
    started = time.monotonic()
    emit(events.Progress(stage="convert", state="started", format=task.info.name))
    with task.cache.lock("artifacts", key):
        artifact = entries.find_artifact(
            task.cache, task.exported, task.info, task.precision, task.calibration_identity
        )
        if artifact is None:
            artifact = _convert(task, key)
    seconds = time.monotonic() - started
    emit(events.Progress(stage="convert", state="finished", format=task.info.name, seconds=seconds))
    return artifact


def _convert(task: Task, key: str) -> Artifact:
    started = time.monotonic()
    program, origins, applied = _rewritten(task)
    name = backends.file_name(task.exported.name, task.info, task.precision)
    with task.cache.producing("artifacts", key) as directory:
        path = directory / name
        _prepare()
        try:
            conversion = _backend(task).convert(program, task.precision, path)
        except (EdgekitError, OSError, MemoryError):
            raise
        except Exception as failure:  # converters raise anything; it leaves as a typed error
            raise translate(failure, task.info.name, program, origins) from failure
        artifact = Artifact(
            sha256=sha256_of(path),
            bytes=bytes_of(path),
            format=task.info.name,
            precision=task.precision,
            path=name,
            model=task.exported.name,
            exported_sha256=task.exported.sha256,
            parity=parity.not_checked("not compared yet"),
            converter=", ".join(f"{k} {v}" for k, v in backends.versions(task.info).items()),
            rewrites=task.exported.rewrites + applied,
            **msgspec.structs.asdict(conversion),
            convert_seconds=round(time.monotonic() - started, 3),
            convert_peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            weights=task.exported.weights,
        )
        entries.write(directory / "artifact.json", artifact)
    final = task.cache.path("artifacts", key) / name
    return msgspec.structs.replace(artifact, path=str(final))


def _backend(task: Task) -> backends.Backend:
    if not task.info.calibrated:
        return backends.instantiate(task.info)
    from edgekit.quantize.calibration import load_calibration

    asked, exported = task.calibration, task.exported
    if asked.source is None and not exported.weights.startswith("random"):
        raise UsageError(
            f"Quantising trained weights ({exported.weights}) needs calibration data: on generated inputs the accuracy "
            "of a trained model is lost.",
            where="--calibration",
            next_step="Give tens of real inputs with --calibration PATH, or --calibration synthetic to try it out.",
        )
    source = None if asked.source in (None, keys.SYNTHETIC) else Path(asked.source)
    return backends.instantiate(
        task.info, load_calibration(exported.inputs, source, exported.preprocess, limit=asked.limit)
    )


def _prepare() -> None:
    import torch

    torch.set_num_threads(1)
    speedups.install()


def _program(task: Task) -> tuple[ExportedProgram, Mapping[str, NodeOrigin]]:
    if task.program is not None and task.origins is not None:
        return task.program, task.origins
    from edgekit.export.archive import load_program

    return load_program(task.cache.path("programs", task.exported.sha256))


def _rewritten(task: Task) -> tuple[ExportedProgram, Mapping[str, NodeOrigin], tuple[str, ...]]:
    """The program as this backend gets it, its nodes' origins, and the backend's own rewrites that changed it."""
    program, origins = _program(task)
    applied = rewrites.apply_all(program, task.info.rewrites_of or task.info.name)
    made = {n.name: origin_of(n) for n in program.graph.nodes if n.name not in origins}
    known = {name: origins[source] for name, source in made.items() if source in origins}
    return program, {**origins, **known}, applied


def _judge(task: Task, artifact: Artifact, emit: Emit) -> Parity:
    settled = entries.settled_parity(task.cache, artifact, task.exported, task.check_parity)
    if settled is not None:
        return settled
    key = entries.parity_key(artifact, task.exported)
    started = time.monotonic()
    emit(events.Progress(stage="parity", state="started", format=task.info.name))
    with task.cache.lock("parity", key):
        judged = entries.find_parity(task.cache, artifact, task.exported)
        if judged is None:
            judged = _compare(task, artifact, key, emit)
    state: events.State = "failed" if judged.passed is False else "finished"
    emit(events.Progress(stage="parity", state=state, format=task.info.name, seconds=time.monotonic() - started))
    return judged


def _compare(task: Task, artifact: Artifact, key: str, emit: Emit) -> Parity:
    golden = task.exported.golden
    inputs = [np.load(path, mmap_mode="r") for path in golden.inputs]
    reference = [np.load(path) for path in golden.outputs]
    with task.cache.producing("parity", key) as directory:
        try:
            actual = judge.outputs(task.info.name, Path(artifact.path), inputs)
        except NotEvaluated as gap:
            judged = parity.not_checked(gap.message, golden)
            entries.write(directory / "parity.json", judged)
            return judged
        judged = parity.compare(actual, reference, artifact.precision, golden.sha256)
        if task.info.calibrated:
            judged = exact.judged(judged, Path(artifact.path), inputs)
        elif judged.passed is False and [a.shape for a in actual] == [r.shape for r in reference]:
            divergence, notes = None, [_ONLY_CLASSES]
            if not parity.only_classes_differ(actual, reference, parity.TOLERANCES[artifact.precision]):
                emit(events.Progress(stage="locate", state="started", format=task.info.name))
                divergence, notes = _located(task, artifact, inputs, actual, _worst_sample(actual, reference))
            reason = "; ".join([judged.reason or "", *notes])
            judged = msgspec.structs.replace(judged, first_divergence=divergence, reason=reason)
        for index, stack in enumerate(actual):
            np.save(directory / f"output_{index}.npy", stack, allow_pickle=False)
        entries.write(directory / "parity.json", judged)
    return judged


def _worst_sample(actual: Sequence[Any], reference: Sequence[Any]) -> int:
    errors = [
        np.abs(a.astype(np.float64) - r).reshape(len(r), -1).max(axis=1) for a, r in zip(actual, reference, strict=True)
    ]
    return int(np.nan_to_num(np.max(errors, axis=0), nan=np.inf).argmax())


def _located(task: Task, artifact: Artifact, inputs: Sequence[Any], actual: Sequence[Any], worst: int) -> Located:
    """What is wrong with a file that failed, on the sample with the largest error."""
    from edgekit.convert import locate
    from edgekit.convert.traced import Case

    program, origins, _ = _rewritten(task)
    sample = [np.asarray(stack[worst]) for stack in inputs]
    tolerance = parity.TOLERANCES[artifact.precision]
    case = Case(program, origins, artifact.format, Path(artifact.path), sample, tolerance)

    def convert(changed: ExportedProgram, path: Path) -> None:
        _prepare()
        backends.instantiate(task.info).convert(changed, artifact.precision, path)

    def run(path: Path) -> list[Any]:
        return [stack[0] for stack in judge.outputs(task.info.name, path, [value[None] for value in sample])]

    return locate.explain(case, [stack[worst] for stack in actual], convert, run, foreign=task.file is not None)

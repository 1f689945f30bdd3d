"""The conversion process: ``python -m edgekit.convert.session``, one per call that has something to convert.

Reads a ConvertRequest as JSON from standard input, loads and exports the model once, makes the golden data, and runs
one worker per format. Writes events as JSON lines to standard output; everything that libraries print goes to a log.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edgekit.convert import backend as backends
from edgekit.convert import entries, events, schedule, worker
from edgekit.convert import request as keys
from edgekit.convert.cache import Cache
from edgekit.errors import EdgekitError
from edgekit.export.inputs import golden_inputs
from edgekit.harness.orphan import die_with_parent
from edgekit.model.dependencies import recording
from edgekit.model.request import LoadRequest
from edgekit.records import Exported

if TYPE_CHECKING:
    from edgekit.export.export import ExportedModel
    from edgekit.model.load import Model

Emit = Callable[[events.Event], None]
R = TypeVar("R")


def main() -> int:
    """The conversion process."""
    return serve(keys.ConvertRequest, run)


def serve(kind: type[R], work: Callable[[R, Emit, Path], None]) -> int:
    """Run one request of ``kind``, read from standard input, in a directory for its logs and temporary files.

    Every failure is an event, so the exit status only says that the process itself worked.
    """
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    # Else a worker that outlives this process would keep the caller waiting for more events.
    os.register_at_fork(after_in_child=channel.close)

    def emit(event: events.Event) -> None:
        channel.write(events.encode(event) + b"\n")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    die_with_parent(signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as logs:
        worker.redirect_output(str(Path(logs) / "session.log"))
        try:
            work(msgspec.json.decode(sys.stdin.buffer.read(), type=kind), emit, Path(logs))
        except EdgekitError as error:
            emit(events.Failed(error=error.to_dict(), traceback=traceback.format_exc()))
        except BrokenPipeError:  # the caller is gone; what was finished is in the cache
            return 0
        except Exception as failure:  # noqa: BLE001 - the process boundary: a defect of ours must still reach the user in words
            defect = EdgekitError(f"edgekit failed: {failure!r}", next_step="This is a defect; please report it.")
            emit(events.Failed(error=defect.to_dict(), traceback=traceback.format_exc()))
    return 0


def run(request: keys.ConvertRequest, emit: Emit, logs: Path) -> None:
    """Export if needed, then convert what is asked for."""
    cache = Cache(Path(request.cache))
    exported = entries.find_exported(cache, request)
    program: Any = None
    origins: Any = None
    save: Callable[[], None] = lambda: None  # noqa: E731 - replaced below when there is something to save
    if exported is None or cache.lookup("programs", exported.sha256) is None:
        exported, model = _export(request, cache, emit)
        program, origins = model.program, model.origins
        sha256 = exported.sha256
        save = lambda: _save_program(cache, sha256, model)  # noqa: E731 - captures this call's model
    emit(events.ExportedReady(exported=exported))
    if program is None:
        from edgekit.export.archive import load_program

        program, origins = load_program(cache.path("programs", exported.sha256))
    files = request.files or (None,) * len(request.formats)
    tasks = [
        worker.Task(
            info=info,
            exported=exported,
            precision=request.precision if file else info.precision(request.precision),
            cache=cache,
            check_parity=request.check_parity,
            program=program,
            origins=origins,
            file=file,
            calibration=request.calibration,
            calibration_identity=keys.calibration_identity(request, exported, info),
        )
        for info, file in zip(map(backends.lookup, request.formats), files, strict=True)
    ]
    limits = schedule.Limits(request.jobs, request.memory_limit_bytes)
    schedule.run(tasks, limits, emit, logs, between=save)


def timed(emit: Emit, stage: events.Stage, work: Callable[[], Any]) -> Any:
    """Do a stage of the work, with an event at its beginning and its end."""
    started = time.monotonic()
    emit(events.Progress(stage=stage, state="started"))
    done = work()
    emit(events.Progress(stage=stage, state="finished", seconds=time.monotonic() - started))
    return done


def _export(request: keys.ConvertRequest, cache: Cache, emit: Emit) -> tuple[Exported, ExportedModel]:
    key = keys.source_key(request)
    with recording() as recorder:
        model: Model = timed(emit, "load", lambda: load_model(request.load))
    from edgekit.export.export import export

    made: ExportedModel = timed(emit, "export", lambda: export(model))
    exported = timed(emit, "golden", lambda: _golden(request, cache, model, made))
    source = entries.Source(exported=exported, dependencies=recorder.dependencies())
    with cache.lock("sources", key), cache.producing("sources", key) as directory:
        entries.write(directory / "source.json", source)
    return exported, made


def load_model(request: LoadRequest) -> Model:
    """Load the model in a process that forks its workers."""
    import torch

    # One thread: the workers are forked from this process, and OpenMP's threads do not survive a fork.
    torch.set_num_threads(1)
    from edgekit.model.load import load

    return load(request)


def _golden(request: keys.ConvertRequest, cache: Cache, model: Model, made: ExportedModel) -> Exported:
    from edgekit.export import golden

    asked = request.golden
    directory = Path(asked.directory) if asked.directory else None
    inputs, source = golden_inputs(
        made.inputs, directory=directory, preprocess=model.preprocess, count=asked.count, seed=asked.seed
    )
    outputs = golden.golden_outputs(made.eager, inputs)
    if request.check_parity:
        golden.check_meaningful(outputs, model.name)
    sha256 = golden.digest(inputs, outputs)
    entry = cache.ensure("golden", sha256, lambda work: golden.write_golden(work, inputs, outputs))
    record = golden.describe(entry, sha256, inputs, outputs, source)
    return Exported(
        sha256=made.sha256,
        name=model.name,
        spec=request.load.spec,
        weights=model.weights,
        inputs=made.inputs,
        outputs=made.outputs,
        parameters=made.parameters,
        program=str(cache.path("programs", made.sha256)),
        golden=record,
        preprocess=model.preprocess,
        rewrites=made.rewrites,
        torch_version=_torch_version(),
        warnings=model.warnings + made.warnings,
    )


def _torch_version() -> str:
    import torch

    return str(torch.__version__)


def _save_program(cache: Cache, sha256: str, model: ExportedModel) -> None:
    """Keep the program for later calls; done while the first workers already convert."""
    from edgekit.export.archive import save_program

    cache.ensure("programs", sha256, lambda directory: save_program(directory, model.program, model.origins))


if __name__ == "__main__":
    sys.exit(main())

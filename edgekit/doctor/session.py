"""The doctor's process: ``python -m edgekit.doctor.session``. Loads and exports the model, then examines side by side.

Reads a DoctorRequest as JSON from standard input and writes events as JSON lines to standard output, as the conversion
process does (:mod:`edgekit.convert.session`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.convert import backend as backends
from edgekit.convert import events, schedule
from edgekit.convert.cache import Cache
from edgekit.convert.session import Emit, load_model, serve, timed
from edgekit.doctor.request import DoctorRequest
from edgekit.export.inputs import golden_inputs
from edgekit.records import Exported, Golden

if TYPE_CHECKING:
    from edgekit.export.export import ExportedModel
    from edgekit.model.load import Model


def main() -> int:
    """The doctor's process."""
    return serve(DoctorRequest, run)


def run(request: DoctorRequest, emit: Emit, directory: Path, start_method: str | None = None) -> None:
    """Load, export, and examine the model and each backend in a process of its own."""
    model: Model = timed(emit, "load", lambda: load_model(request.load))
    from edgekit.doctor import worker
    from edgekit.export.export import export

    made: ExportedModel = timed(emit, "export", lambda: export(model, rewritten=False))
    inputs, source = golden_inputs(
        made.inputs,
        directory=Path(request.golden.directory) if request.golden.directory else None,
        preprocess=model.preprocess,
        count=request.golden.count,
        seed=request.golden.seed,
    )
    exported = _described(request, model, made, source)
    emit(events.ExportedReady(exported=exported))
    cache = Cache(directory / "cache")
    samples = _samples(inputs)
    infos = [*([worker.MODEL] if request.model else []), *(backends.lookup(name) for name in request.formats)]
    tasks = [
        worker.Task(
            info,
            exported,
            request.precision,
            cache,
            False,
            made.program,
            made.origins,
            samples=samples,
            alone=request.jobs < 2,
        )
        for info in infos
    ]
    limits = schedule.Limits(request.jobs, request.memory_limit_bytes)
    save: Callable[[], None] = lambda: None  # noqa: E731 - a forked worker has the program already
    if sys.platform != "linux" or start_method not in (None, "fork"):
        save = lambda: _save(cache, made)  # noqa: E731 - captures this call's program
    schedule.run(tasks, limits, emit, directory, between=save, start_method=start_method, work=worker.main)


def _samples(stacks: Any) -> tuple[tuple[Any, ...], ...]:
    import torch

    return tuple(tuple(torch.from_numpy(stack[index].copy()) for stack in stacks) for index in range(len(stacks[0])))


def _described(request: DoctorRequest, model: Model, made: ExportedModel, source: str) -> Exported:
    import torch

    return Exported(
        sha256=made.sha256,
        name=model.name,
        spec=request.load.spec,
        weights=model.weights,
        inputs=made.inputs,
        outputs=made.outputs,
        parameters=made.parameters,
        program="",
        golden=Golden(sha256="", count=request.golden.count, source=source, inputs=(), outputs=()),
        preprocess=model.preprocess,
        torch_version=str(torch.__version__),
        warnings=(*model.warnings, *made.warnings),
    )


def _save(cache: Cache, made: ExportedModel) -> None:
    from edgekit.export.archive import save_program

    cache.ensure("programs", made.sha256, lambda directory: save_program(directory, made.program, made.origins))


if __name__ == "__main__":
    sys.exit(main())

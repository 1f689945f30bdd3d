"""PyTorch in a process of its own: ``python -m edgekit.evaluate.eager JOB.json ANSWER.json``.

Importing this module does not import torch; only the worker does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import edgekit.version
from edgekit.errors import DeadlineError, EdgekitError, ModelError
from edgekit.model.request import LoadRequest
from edgekit.records import Record

_LOG_BYTES = 4000


class EagerJob(Record, frozen=True, kw_only=True):
    """Run a model on stacked .npy inputs and write ``output_K.npy`` into ``outputs_dir``."""

    request: LoadRequest
    inputs: tuple[str, ...]
    outputs_dir: str
    threads: int | None = None


class EagerResult(Record, frozen=True, kw_only=True):
    """The .npy stacks, one per model output, in the model's order."""

    outputs: tuple[str, ...]
    torch_version: str


class EagerAnswer(Record, frozen=True, kw_only=True):
    """What the worker writes: a result, or an error's document."""

    result: EagerResult | None = None
    error: dict[str, Any] | None = None


def run(job: EagerJob, *, timeout_s: float | None = None) -> EagerResult:
    """Runs the job in a child process; it keeps the working directory, where the user's packages may be.

    Raises:
        ModelError: the model can't be loaded, fails on a sample, or brings its process down.
        UsageError: the inputs don't fit the model.
        DeadlineError: it took longer than ``timeout_s`` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-eager-") as name:
        folder = Path(name)
        (folder / "job.json").write_bytes(msgspec.json.encode(job))
        answer = folder / "answer.json"
        command = [sys.executable, "-m", "edgekit.evaluate.eager", str(folder / "job.json"), str(answer)]
        # The model's own code may print; that must not reach the caller's standard output.
        with (folder / "log").open("wb") as log:
            code = _supervise(command, log.fileno(), job, timeout_s)
        if not answer.is_file():
            raise _crash(job, code, (folder / "log").read_bytes())
        found = msgspec.json.decode(answer.read_bytes(), type=EagerAnswer)
    if found.result is None:
        raise EdgekitError.from_dict(found.error or {})
    return found.result


def _supervise(command: Sequence[str], log: int, job: EagerJob, timeout_s: float | None) -> int:
    process = subprocess.Popen(
        command, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(
            f"PyTorch did not finish within {timeout_s:g} s.", where=job.request.spec,
            next_step="Allow more time, or evaluate fewer samples.",
        ) from error  # fmt: skip
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment() -> dict[str, str]:
    # This edgekit first; the working directory is on the path of ``python -m`` anyway.
    root = str(Path(edgekit.version.__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": root if not inherited else root + os.pathsep + inherited}


def _crash(job: EagerJob, code: int, log: bytes) -> ModelError:
    lines = [line for line in log[-_LOG_BYTES:].decode(errors="replace").splitlines() if line.strip()][-5:]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    tail = f" Its last lines: {' | '.join(lines)}" if lines else ""
    return ModelError(
        f"The process that runs the model in PyTorch {how}.{tail}", where=job.request.spec,
        next_step="Check that the model runs by itself in Python; a kill may mean that memory ran out.",
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """The worker: reads the job, writes the answer; 0 whenever it wrote one."""
    job = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=EagerJob)
    try:
        answer = EagerAnswer(result=_execute(job))
    except EdgekitError as error:
        answer = EagerAnswer(error=error.to_dict())
    part = Path(arguments[1] + ".part")
    part.write_bytes(msgspec.json.encode(answer))
    part.replace(arguments[1])
    return 0


def _execute(job: EagerJob) -> EagerResult:
    from edgekit.model.load import load

    model = load(job.request)
    import numpy as np
    import torch

    if job.threads is not None:
        torch.set_num_threads(job.threads)
    stacks = [np.load(path, mmap_mode="r", allow_pickle=False) for path in job.inputs]
    from edgekit.evaluate.data import check_stacks
    from edgekit.export.export import reference
    from edgekit.export.golden import golden_outputs

    check_stacks(stacks, model.inputs, job.request.spec)
    try:
        outputs = golden_outputs(reference(model), stacks)
    except RuntimeError as error:  # what torch raises for anything that goes wrong inside an operator
        lines = str(error).strip().splitlines()
        raise ModelError(
            f"The model fails on a sample: {lines[0] if lines else error}", where=job.request.spec,
            next_step="Check that the data is what the model was trained on.",
        ) from error  # fmt: skip
    paths = [str(Path(job.outputs_dir) / f"output_{index}.npy") for index in range(len(outputs))]
    for path, stack in zip(paths, outputs, strict=True):
        np.save(path, stack, allow_pickle=False)
    return EagerResult(outputs=tuple(paths), torch_version=str(torch.__version__))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

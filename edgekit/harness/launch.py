"""Run a job in a child process of its own, and turn whatever happens to it into a result or a typed error."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import edgekit.version
from edgekit.errors import ERRORS, DeadlineError, DeviceError, EdgekitError, RuntimeCrashError
from edgekit.job import Envelope, Job, JobResult, encode

# The most of the child's output that is kept: its end, where a crash says why.
_LOG_BYTES = 64 * 1024
_LOG_LINES = 8
# Made here, before there are threads: two that make a type's decoder at the same time crash msgspec 0.22.
_ENVELOPE = msgspec.json.Decoder(Envelope)


def run_job(job: Job, *, timeout_s: float | None = None, program: Sequence[str] | None = None) -> JobResult:
    """Run ``job`` in a fresh process group and answer its result.

    ``program`` is the start of the harness's command line, this Python's by default; the job's file and the answer's
    are added to it. Paths in the job may be relative to the current directory. The child is killed, with everything
    it started, on timeout and on any exception here (Ctrl-C is raised again).

    Raises:
        DeadlineError: no answer within ``timeout_s`` seconds.
        RuntimeCrashError: the child died, by a signal or otherwise, or the runtime refused the file.
        MissingExtraError: the runtime is not installed.
        EdgekitError: whatever else the harness answered; see :mod:`edgekit.errors`.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-job-") as name:
        folder = Path(name)
        envelope = folder / "envelope.json"
        (folder / "job.json").write_bytes(encode(_absolute(job)))
        start = program or (sys.executable, "-m", "edgekit.harness")
        command = [*start, str(folder / "job.json"), str(envelope)]
        code, log = _supervise(command, folder, job, timeout_s)
        if not envelope.is_file():
            raise _crash(job, code, log)
        document = envelope.read_bytes()
    return read_answer(document, job)


def read_answer(document: bytes, job: Job) -> JobResult:
    """The result in an envelope, wherever it was written.

    Raises:
        EdgekitError: the failure that the envelope holds.
        DeviceError: it is no envelope of this version's.
    """
    return _result(_decode(document, job), job)


def _absolute(job: Job) -> Job:
    return msgspec.structs.replace(
        job,
        artifact=os.path.abspath(job.artifact),
        inputs=tuple(os.path.abspath(path) for path in job.inputs),
        outputs_dir=None if job.outputs_dir is None else os.path.abspath(job.outputs_dir),
    )


def _supervise(command: Sequence[str], folder: Path, job: Job, timeout_s: float | None) -> tuple[int, str]:
    """Run to the end; the exit code (negative: the signal) and the end of the output."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        log = _follow(process, deadline)
        return process.wait(_left(deadline)), log.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(
            f"{job.engine} gave no answer within {timeout_s:g} s (mode {job.mode}).",
            where=job.artifact,
            next_step="Allow more time, or measure fewer runs.",
            timeout_s=timeout_s,
        ) from error
    finally:
        if process.poll() is None:
            _kill_group(process)
        if process.stdout is not None:
            process.stdout.close()


def _follow(process: subprocess.Popen[bytes], deadline: float | None) -> bytes:
    """Read the child's output until it closes, keeping its end. Blocks: this process stays off the cores meanwhile."""
    assert process.stdout is not None
    kept = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = _left(deadline)
            if not selector.select(left):
                raise subprocess.TimeoutExpired(process.args, left or 0.0)
            chunk = os.read(process.stdout.fileno(), _LOG_BYTES)
            if not chunk:
                return kept
            kept = (kept + chunk)[-_LOG_BYTES:]


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended in between
    process.wait()


def _environment() -> dict[str, str]:
    # The child starts in a directory of its own, so it must be told where this edgekit is imported from.
    root = str(Path(edgekit.version.__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": root if not inherited else root + os.pathsep + inherited}


def _crash(job: Job, code: int, log: str) -> RuntimeCrashError:
    lines = [line for line in log.splitlines() if line.strip()][-_LOG_LINES:]
    name = _signal_name(-code) if code < 0 else None
    how = f"was killed by {name}" if name else f"ended with exit code {code} and no answer"
    tail = f" Its last lines: {' | '.join(lines)[-2000:]}" if lines else ""
    memory = " SIGKILL is also what a system short of memory sends." if name == "SIGKILL" else ""
    return RuntimeCrashError(
        f"The {job.engine} process {how} (mode {job.mode}).{memory}{tail}",
        where=job.artifact,
        next_step="Convert the model again; if that crashes too, the file trips a fault of this runtime version.",
        engine=job.engine,
        signal=name,
        log=lines,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _decode(document: bytes, job: Job) -> Envelope:
    try:
        return _ENVELOPE.decode(document)
    except msgspec.DecodeError as error:
        raise DeviceError(
            f"The {job.engine} harness answered what this edgekit does not understand: {error}",
            where=job.artifact,
            next_step="Install the same version of edgekit on both sides.",
        ) from error


def _result(answer: Envelope, job: Job) -> JobResult:
    if answer.failure is not None:
        failure = answer.failure
        kind = ERRORS.get(failure.kind, EdgekitError)
        raise kind(failure.message, where=failure.where, next_step=failure.next_step)
    if answer.result is None:
        raise RuntimeCrashError(f"The {job.engine} harness answered nothing.", where=job.artifact)
    if answer.result.harness_version != edgekit.version.__version__:
        raise DeviceError(
            f"The answer is from harness {answer.result.harness_version}, this is {edgekit.version.__version__}.",
            where=job.artifact,
            next_step="Install the same version of edgekit on both sides.",
        )
    return answer.result

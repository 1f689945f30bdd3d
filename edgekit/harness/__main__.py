"""``python -m edgekit.harness JOB.json ENVELOPE.json``: do one job, write one answer, exit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from edgekit.errors import DeviceError, EdgekitError, RuntimeCrashError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.harness.orphan import die_with_parent
from edgekit.job import Envelope, Job, JobFailure, JobResult, encode
from edgekit.version import __version__


def main(arguments: list[str]) -> int:
    """Read the job, do it, write the envelope. The exit code is 0 whenever an answer was written."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m edgekit.harness JOB.json ENVELOPE.json\n")
        return 2
    job_file, envelope_file = Path(arguments[0]), Path(arguments[1])
    die_with_parent()  # an edgekit that is killed must not leave a measurement running
    _write(envelope_file, answer(job_file.read_bytes()))
    return 0


def answer(document: bytes) -> Envelope:
    """Do the job in ``document``; a failure becomes a document too."""
    try:
        return Envelope(result=_execute(_read_job(document)))
    except EdgekitError as error:
        return Envelope(failure=_failure(error))
    # The process boundary: whatever else went wrong must reach the parent as a document, not as a dead child.
    except Exception as error:  # noqa: BLE001 - the boundary said above
        unexpected = RuntimeCrashError(f"The harness failed: {type(error).__name__}: {error}", where="harness")
        sys.excepthook(type(error), error, error.__traceback__)
        return Envelope(failure=_failure(unexpected))


def _read_job(document: bytes) -> Job:
    try:
        version = msgspec.json.decode(document)["harness_version"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise UsageError(f"The job is not a job document: {error}", where="job") from error
    if version != __version__:
        raise DeviceError(
            f"The job is for harness {version}, but this harness is {__version__}.",
            where="harness",
            next_step="Install the same version of edgekit on both sides.",
        )
    try:
        return msgspec.json.decode(document, type=Job)
    except msgspec.ValidationError as error:
        raise UsageError(f"The job is not valid: {error}", where="job") from error


def _execute(job: Job) -> JobResult:
    _verify(job)
    # numpy and the runtimes are imported only for a job that is going to run.
    from edgekit.harness import modes
    from edgekit.harness.engines.create import create
    from edgekit.harness.engines.table import runtime_version

    if job.affinity is not None:
        modes.pin(job.affinity)
    engine = create(job.engine)
    blank = JobResult(
        harness="python",
        harness_version=__version__,
        engine=job.engine,
        runtime_version=runtime_version(job.engine),
        threads=job.threads,
        started=modes.now_utc(),
    )
    return modes.run_mode(job, engine, blank)


def _verify(job: Job) -> None:
    found = sha256_of(Path(job.artifact))
    if found != job.artifact_sha256:
        raise DeviceError(
            f"The artifact's sha256 is {found[:16]}…, but the job is for {job.artifact_sha256[:16]}….",
            where=job.artifact,
            next_step="The file changed since it was converted: convert it again.",
        )
    if job.threads < 1 or (not job.inputs and job.mode != "describe"):
        raise UsageError("A job needs at least one input file and one thread.", where=job.artifact)


def _failure(error: EdgekitError) -> JobFailure:
    return JobFailure(kind=error.kind, message=error.message, where=error.where, next_step=error.next_step)


def _write(path: Path, envelope: Envelope) -> None:
    # Renamed into place, so that a reader sees a whole answer or none.
    part = path.with_name(path.name + ".part")
    part.write_bytes(encode(envelope))
    part.replace(path)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # The answer is written. Unloading a runtime can take seconds, or crash, and can't change a number any more.
    os._exit(code)

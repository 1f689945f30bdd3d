"""One job on the device: documents there, the native runner started, the answer and the outputs back, nothing left.

A run has a folder of its own, named after this computer, so that what an interrupted edgekit left running can be told
from another computer's measurement.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit import paths
from edgekit.device.adb.shell import Result, printable
from edgekit.device.adb.storage import ROOT
from edgekit.device.runner_files import PLACE
from edgekit.errors import DeadlineError, DeviceError, EdgekitError, RuntimeCrashError
from edgekit.harness.launch import read_answer
from edgekit.job import Job, JobResult, encode

if TYPE_CHECKING:
    from edgekit.device.adb.phone import AdbDevice

_RUNS = f"{ROOT}/runs"
# 200,000 samples of ten digits for warm-up and timed runs, and the states.
_MAX_ENVELOPE = 16 << 20
_MAX_OUTPUT = 1 << 30
_MAX_LOG = 256 << 10
_LOG_LINES = 8
_LINE = 300
_START_ALLOWANCE_S = 30.0
_UNBOUNDED_S = 3600.0

# The log is bounded on the way back: only its end is wanted.
_START = """
cd "$1" && shift || exit 125
"$@" > log 2>&1 < /dev/null
code=$?
tail -c 65536 log
exit $code
"""
# Ends the process group's members by their folder: a process id alone may meanwhile belong to another program.
_STOP = """
for d in "$1"/"$2"*; do
[ -d "$d" ] || continue
for p in /proc/[0-9]*; do
case "$(tr '\\0' ' ' < $p/cmdline 2>/dev/null)" in *"$d"*) kill -9 "${p##*/}" 2>/dev/null;; esac
done
rm -rf -- "$d"
done
true
"""
_OTHERS = """
for d in "$1"/*; do
case "$d" in "$1/$2"*|"$1/*") continue;; esac
for p in /proc/[0-9]*; do
case "$(tr '\\0' ' ' < $p/cmdline 2>/dev/null)" in *"$d"*) echo "$d";; esac
done
done
true
"""


def run_job(device: AdbDevice, job: Job, timeout_s: float | None) -> JobResult:
    """Do one job on the device in a process of its own.

    Raises:
        DeadlineError: no answer within ``timeout_s`` seconds; the runner is ended.
        RuntimeCrashError: the runner died, or answered what is no answer.
        DeviceError: the device is lost, full, or refuses.
        EdgekitError: whatever else the runner answered.
    """
    bundle, runner = device.install_runner(job.engine)
    run = f"{_RUNS}/{host_id()}-{uuid.uuid4().hex}"
    remote = msgspec.structs.replace(
        job,
        artifact=device.storage.put(Path(job.artifact), job.artifact_sha256, Path(job.artifact).stat().st_size),
        inputs=tuple(device.put_file(Path(path)) for path in job.inputs),
        outputs_dir=None if job.outputs_dir is None else "outputs",
    )
    document = _put_document(device, encode(remote))
    try:
        command = [f"{runner}/{bundle.command[0]}", *(part.replace(PLACE, runner) for part in bundle.command[1:])]
        answer = _start(device, run, command, document, timeout_s, job)
        result = _collect(device, run, answer, job)
        if job.outputs_dir is not None:
            result = _outputs(device, run, result, Path(job.outputs_dir))
    finally:
        # A device that is gone is swept when it is back.
        with suppress(EdgekitError):
            stop(device, run.rpartition("/")[2])
    return result


def sweep(device: AdbDevice) -> None:
    """End and remove every run of this computer's.

    Raises:
        DeviceError: another computer's edgekit is running something there.
    """
    stop(device, f"{host_id()}-")
    others = device.shell(["sh", "-c", _OTHERS, "sh", _RUNS, f"{host_id()}-"], what="look for other runs").text.split()
    if others:
        raise DeviceError(
            f"Another computer's edgekit is running something on {device.spec}.", where=printable(others[0], 120),
            next_step="Wait until it has ended: two measurements at once would disturb each other.",
        )  # fmt: skip


def stop(device: AdbDevice, name: str) -> None:
    """End the runs whose folder's name begins so, and remove what they left."""
    device.shell(["sh", "-c", _STOP, "sh", _RUNS, name], what="end of a run")


def _put_document(device: AdbDevice, document: bytes) -> str:
    """By content, as all files: the three repeats of a measurement are one document."""
    sha256 = hashlib.sha256(document).hexdigest()
    with tempfile.NamedTemporaryFile(prefix="edgekit-job-") as file:
        file.write(document)
        file.flush()
        return device.storage.put(Path(file.name), sha256, len(document))


def _start(device: AdbDevice, run: str, command: list[str], document: str, timeout_s: float | None, job: Job) -> Result:
    made = device.shell(["mkdir", "-p", f"{run}/outputs"], what="new folder for a run")
    if made.code:
        raise DeviceError(f"{device.spec} refuses a folder for the run: {made.complaint}.", where=run,
                          next_step="Free some room on it: edgekit devices clean.")  # fmt: skip
    arguments = ["sh", "-c", _START, "sh", run, *command, document, f"{run}/envelope.json"]
    try:
        return device.shell(
            arguments, what=f"{job.mode} run", deadline_s=_START_ALLOWANCE_S + (timeout_s or _UNBOUNDED_S),
            max_output=_MAX_LOG,
        )  # fmt: skip
    except DeadlineError as error:
        raise DeadlineError(
            f"{job.engine} gave no answer on {device.spec} within {timeout_s or _UNBOUNDED_S:g} s (mode {job.mode}).",
            where=job.artifact, next_step="Allow more time, or measure fewer runs.", timeout_s=timeout_s,
        ) from error  # fmt: skip


def _collect(device: AdbDevice, run: str, answer: Result, job: Job) -> JobResult:
    sync, path = device.sync(), f"{run}/envelope.json"
    if not sync.stat(path).exists:
        raise _crash(device, answer, job)
    document = io.BytesIO()
    sync.pull(path, document, limit=_MAX_ENVELOPE)
    return read_answer(document.getvalue(), job)


def _crash(device: AdbDevice, answer: Result, job: Job) -> RuntimeCrashError:
    lines = [printable(line[-_LINE:], _LINE) for line in answer.text.splitlines() if line.strip()][-_LOG_LINES:]
    # A shell reports a child that was killed by signal N as 128 + N.
    number = answer.code - 128 if answer.code > 128 else None
    how = f"was killed by signal {number}" if number else f"ended with exit code {answer.code} and no answer"
    memory = " Signal 9 is also what Android sends when memory is short." if number == 9 else ""
    tail = f" Its last lines: {' | '.join(lines)}" if lines else ""
    return RuntimeCrashError(
        f"The {job.engine} runner {how} on {device.spec} (mode {job.mode}).{memory}{tail}",
        where=job.artifact,
        next_step="Run it on the host (--device host --engine native): if that works, suspect the device.",
        engine=job.engine, signal=number, log=lines,
    )  # fmt: skip


def _outputs(device: AdbDevice, run: str, result: JobResult, folder: Path) -> JobResult:
    """Fetch ``output_K.npy``; the names are ours, whatever the answer says."""
    folder.mkdir(parents=True, exist_ok=True)
    sync, made = device.sync(), []
    for index in range(len(result.outputs)):
        path = folder / f"output_{index}.npy"
        part = path.with_name(path.name + f".{secrets.token_hex(4)}.part")
        try:
            with part.open("wb") as file:
                sync.pull(f"{run}/outputs/output_{index}.npy", file, limit=_MAX_OUTPUT)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        made.append(str(path))
    return msgspec.structs.replace(result, outputs=tuple(made))


def host_id() -> str:
    """A name for this computer that tells nothing about it; made once."""
    path = paths.data_dir() / "host-id"
    with suppress(OSError):
        known = path.read_text().strip()
        if known.isalnum() and len(known) == 12:
            return known
    made = secrets.token_hex(6)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    part.write_text(made)
    part.replace(path)
    return made

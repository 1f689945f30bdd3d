"""The caller's side of the conversion process: start it, pass its events on, end it. No torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgekit.convert import events
from edgekit.convert.cache import Cache
from edgekit.convert.request import ConvertRequest
from edgekit.errors import ConvertError, EdgekitError
from edgekit.records import Artifact, Exported

_GRACE_SECONDS = 5.0


@dataclass
class Outcome:
    """What a conversion call came to: what was made, and one error per format that was not."""

    exported: Exported | None = None
    artifacts: list[Artifact] = field(default_factory=list)
    errors: dict[str, EdgekitError] = field(default_factory=dict)
    tracebacks: dict[str, str] = field(default_factory=dict)


def run_session(request: ConvertRequest, on_event: Callable[[events.Event], None]) -> Outcome:
    """Convert in a process of its own and wait for it; Ctrl-C ends the process and its workers.

    Raises:
        EdgekitError: what failed before any format was converted (loading, export, golden data).
        ConvertError: the process died before that; if it dies later, every unfinished format has this error.
    """
    # What the process and its workers leave in it goes with it, also if they had to be killed.
    with tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True) as temporary:
        try:
            return _run(request, on_event, temporary)
        finally:
            Cache(Path(request.cache)).sweep()


def _run(request: ConvertRequest, on_event: Callable[[events.Event], None], temporary: str) -> Outcome:
    with session("edgekit.convert.session", msgspec.json.encode(request), temporary) as process:
        outcome = _collect(process, on_event)
    if outcome.exported is None:
        raise died(process, "before the model was exported")
    finished = {artifact.format for artifact in outcome.artifacts}
    for name in request.formats:
        if name not in finished and name not in outcome.errors:
            outcome.errors[name] = died(process, f"while {name} was being converted")
    return outcome


@contextmanager
def session(module: str, request: bytes, temporary: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs ``module`` with ``request`` on its standard input, to be read line by line; it has ended with
    all its workers when the block does. ``temporary`` is where it may leave files.
    """
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "TMPDIR": temporary}
    process = subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once; that shows when it is read
            process.stdin.write(request)
            process.stdin.close()
        yield process
        process.wait()
    finally:
        _end(process)


def _collect(process: subprocess.Popen[bytes], on_event: Callable[[events.Event], None]) -> Outcome:
    outcome = Outcome()
    assert process.stdout is not None
    for line in process.stdout:
        event = events.decode(line)
        on_event(event)
        if isinstance(event, events.ExportedReady):
            outcome.exported = event.exported
        elif isinstance(event, events.ArtifactReady):
            outcome.artifacts.append(event.artifact)
        elif isinstance(event, events.Failed):
            error = EdgekitError.from_dict(event.error)
            if event.traceback:
                outcome.tracebacks[event.format or ""] = event.traceback
            if event.format is None:
                error.facts["traceback"] = event.traceback
                raise error
            outcome.errors[event.format] = error
    return outcome


def _end(process: subprocess.Popen[bytes]) -> None:
    """Make sure that neither the process nor a worker is left, not even one whose parent was killed."""
    try:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
    finally:  # also when a second Ctrl-C cuts the waiting short
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _wait_for_group(process.pid)


def _wait_for_group(group: int) -> None:
    """A killed worker holds its files and locks until it is really gone, which is not ours to wait() for."""
    deadline = time.monotonic() + _GRACE_SECONDS
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.01)


def died(process: subprocess.Popen[bytes], when: str, module: str = "edgekit.convert.session") -> ConvertError:
    """The error for a session that ended before it had said everything."""
    last = process.stderr.read()[-2000:].decode("utf-8", "replace").strip() if process.stderr else ""
    code = process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    return ConvertError(
        f"The conversion process {how} {when}.",
        where=module,
        next_step="If the machine ran out of memory, close other programs; otherwise report it.",
        log_tail=last,
    )

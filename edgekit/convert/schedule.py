"""Runs the workers side by side, within a number of processes and a bound on memory."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from edgekit.convert import events, worker
from edgekit.errors import ConvertError, EdgekitError, RuntimeCrashError

_LOG_TAIL_BYTES = 2000
_GRACE_SECONDS = 3.0

# What a worker process runs: (task, where its events go, its log file).
Work = Callable[[Any, Callable[[bytes], None], str], None]


@dataclass(frozen=True)
class Limits:
    """At most ``jobs`` workers; the sum of their expected peaks stays below ``memory_bytes`` (one always runs)."""

    jobs: int
    memory_bytes: int


@dataclass
class _Running:
    task: worker.Task
    process: Any
    pipe: Connection
    log: Path
    finished: bool = False


def expected_bytes(task: worker.Task) -> int:
    """Peak memory that a conversion is expected to need, from its backend's measured figures."""
    weights = task.exported.parameters * 4
    return task.info.memory_bytes + int(task.info.memory_per_weight_byte * weights)


def run(
    tasks: Sequence[worker.Task],
    limits: Limits,
    emit: Callable[[events.Event], None],
    logs: Path,
    between: Callable[[], None] = lambda: None,
    start_method: str | None = None,
    work: Work = worker.main,
) -> None:
    """Run every task to its end, longest first; each ends in one of ``events.LAST``.

    ``between`` is called once, after the first workers were started: work for which they need not wait.
    """
    method = start_method or ("fork" if sys.platform == "linux" else "spawn")
    context = multiprocessing.get_context(method)
    if method != "fork":
        # A process that is not forked loads the program from the cache: it has to be there before.
        between()
        between = lambda: None  # noqa: E731 - once is enough
        tasks = [replace(task, program=None, origins=None) for task in tasks]
    waiting = sorted(tasks, key=lambda t: -t.info.cost)
    for task in waiting:
        emit(events.Progress(stage="convert", state="waiting", format=task.info.name))
    running: list[_Running] = []
    try:
        while waiting or running:
            _start_what_fits(waiting, running, limits, context, logs, work)
            between()
            between = lambda: None  # noqa: E731 - once is enough
            _listen(running, emit)
    finally:
        for entry in running:
            entry.process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for entry in running:
            entry.process.join(max(0.0, deadline - time.monotonic()))
            entry.process.kill()


def _start_what_fits(
    waiting: list[worker.Task], running: list[_Running], limits: Limits, context: Any, logs: Path, work: Work
) -> None:
    for task in list(waiting):
        used = sum(expected_bytes(r.task) for r in running)
        fits = used + expected_bytes(task) <= limits.memory_bytes
        if running and (len(running) >= limits.jobs or not fits):
            continue
        waiting.remove(task)
        receive, send = context.Pipe(duplex=False)
        log = logs / f"{task.info.name}.log"
        process = context.Process(target=work, args=(task, send.send_bytes, str(log)), daemon=True)
        process.start()
        send.close()
        running.append(_Running(task, process, receive, log))


def _listen(running: list[_Running], emit: Callable[[events.Event], None]) -> None:
    """Pass on what the workers say; take those off the list that have closed their pipe."""
    by_pipe: dict[Any, _Running] = {entry.pipe: entry for entry in running}
    for pipe in wait(list(by_pipe)):
        entry = by_pipe[pipe]
        try:
            event = events.decode(entry.pipe.recv_bytes())
        except (EOFError, OSError):
            entry.process.join()
            running.remove(entry)
            if not entry.finished:
                emit(events.Failed(error=_crash(entry).to_dict(), format=entry.task.info.name))
            continue
        entry.finished = entry.finished or isinstance(event, events.LAST)
        emit(event)


def _crash(entry: _Running) -> EdgekitError:
    code = entry.process.exitcode
    if code is not None and code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    else:
        how, hint = f"ended with status {code}", ""
    if entry.task.file is not None:
        return RuntimeCrashError(
            f"The process that ran the {entry.task.info.name} file {how}{hint}.",
            where=entry.task.file,
            next_step="Check that the file was copied completely; a file that is whole trips a fault of this runtime.",
            format=entry.task.info.name,
            log_tail=tail(entry.log),
        )
    return ConvertError(
        f"The {entry.task.info.name} converter {how}{hint}.",
        where=entry.task.info.name,
        next_step="Try --jobs 1; if it happens again, report it with the converter's last lines.",
        format=entry.task.info.name,
        log_tail=tail(entry.log),
    )


def tail(log: Path) -> str:
    """The last lines of a log file."""
    try:
        return log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
    except OSError:
        return ""

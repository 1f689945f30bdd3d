"""Progress on stderr: live lines on a terminal, one plain line per step elsewhere, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from edgekit.convert import events

_VERBS = {
    "load": "load the model",
    "export": "export",
    "golden": "golden outputs from PyTorch",
    "convert": "convert",
    "parity": "compare with PyTorch",
    "locate": "locate the first diverging tensor",
    "prove": "prove the rewrites and count operations",
    "examine": "look for what fails or runs badly",
}


class ProgressView:
    """Shows conversion events and measuring steps. Use as a context manager."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        self._started = time.monotonic()
        self._step: str | None = None

    def __enter__(self) -> ProgressView:
        if not self._quiet and sys.stderr.isatty():
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            from edgekit.cli.output import console

            columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), TimeElapsedColumn())
            self._live = Progress(*columns, console=console(stderr=True))
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._finish(self._step)
            self._live.stop()

    def on_event(self, event: events.Event) -> None:
        """Show a conversion event."""
        if self._quiet or not isinstance(event, events.Progress) or event.state == "waiting":
            return
        name = event.format or "model"
        text = f"{name}: {_VERBS[event.stage]}"
        if self._live is None:
            self._plain(text, event)
            return
        key = f"{name} {event.stage}"
        if event.state == "started":
            self._tasks[key] = self._live.add_task(text, total=1)
        elif key in self._tasks:
            mark = "" if event.state == "finished" else " [red]failed[/red]"
            self._live.update(self._tasks.pop(key), completed=1, description=text + mark)

    def say(self, text: str) -> None:
        """Show that a step of the measurement begins; the step before it is over."""
        if self._quiet:
            return
        if self._live is None:
            sys.stderr.write(f"[{time.monotonic() - self._started:6.1f} s] {text}\n")
            return
        self._finish(self._step)
        self._step = text
        self._tasks[text] = self._live.add_task(text, total=1)

    def _finish(self, key: str | None) -> None:
        if key is not None and key in self._tasks:
            self._live.update(self._tasks.pop(key), completed=1)

    def _plain(self, text: str, event: events.Progress) -> None:
        if event.state == "started":
            return
        took = f" ({event.seconds:.1f} s)" if event.seconds is not None else ""
        failed = " FAILED" if event.state == "failed" else ""
        sys.stderr.write(f"[{time.monotonic() - self._started:6.1f} s] {text}{failed}{took}\n")

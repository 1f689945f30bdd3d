"""What the benchmarks share: the peer's command, timing from outside, memory over a process tree, one table."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EDGEKIT = [sys.executable, "-m", "edgekit.cli.main"]
FORMATS = ("executorch", "litert", "coreml", "onnx")


@dataclass(frozen=True)
class Run:
    """One finished command: wall seconds, and the peak of the memory that its whole process tree shared out (PSS)."""

    seconds: float
    tree_pss_bytes: int
    output: str


def run(command: Sequence[str], environment: dict[str, str] | None = None, watch_memory: bool = False) -> Run:
    """Run a command to its end; raises with its last words if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    watcher = _Watcher(process.pid) if watch_memory else None
    out, err = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{err.decode()[-2000:]}")
    return Run(seconds, watcher.stop() if watcher else 0, out.decode())


class _Watcher:
    """Samples the proportional set size of a process and its descendants every 0.25 s."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._stopped = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.25):
            self._peak = max(self._peak, sum(pss_bytes(pid) for pid in descendants(self._pid)))

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        return self._peak


def descendants(root: int) -> list[int]:
    """A process and everything below it, also what made a session of its own."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += [child for child, parent in parents.items() if parent == pid]
    return found


def pss_bytes(pid: int) -> int:
    """Proportional set size: pages shared by n processes count 1/n each."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``median (min-max)``."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table in Markdown, ready for the README."""
    print(f"\n{title}\n")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(row) + " |")

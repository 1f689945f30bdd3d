"""Every test in two processes side by side: the machine's second core would be idle for most of a run.

``python tests/halves.py`` prints the first part as it goes and the others when all have ended; the exit code is that of
pytest, the worst of them.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _end_to_end(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/e2e/test_{name}.py" for name in names)


# The two halves, and what whoever is done first goes on with, so that both end at about the same time.
_BUNDLES = _end_to_end(
    "bundle", "bundle_android", "bundle_ios", "bundle_linux", "bundle_mcu", "bundle_preprocessing", "keys"
)
_CHOICES = _end_to_end("choose", "compare", "gate", "report")
PARTS = (
    ("tests/unit",),
    ("tests/contract", "tests/e2e", *(f"--ignore={path}" for path in (*_BUNDLES, *_CHOICES))),
    _BUNDLES,
    _CHOICES,
)
AT_ONCE = 2


def main(parts: Sequence[Sequence[str]] = PARTS) -> int:
    """Run all to their ends, whatever the others find."""
    # In a shell's background SIGINT is ignored, and its children inherit that; what Ctrl-C does is tested.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with contextlib.ExitStack() as stack:
        logs = [None, *(stack.enter_context(tempfile.TemporaryFile()) for _ in parts[1:])]
        waiting, running, codes = list(zip(parts, logs, strict=True)), list[subprocess.Popen[bytes]](), list[int]()
        try:
            while waiting or running:
                while waiting and len(running) < AT_ONCE:
                    paths, log = waiting.pop(0)
                    command = [sys.executable, "-m", "pytest", *paths]
                    running.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log and subprocess.STDOUT))
                time.sleep(0.2)
                codes += [process.returncode for process in running if process.poll() is not None]
                running = [process for process in running if process.returncode is None]
        finally:
            for process in running:
                process.terminate()
                process.wait()
            for log in filter(None, logs):
                log.seek(0)
                sys.stdout.write(log.read().decode(errors="replace"))
            sys.stdout.flush()
    return max(codes, key=abs)


if __name__ == "__main__":
    sys.exit(main())

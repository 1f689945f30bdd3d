"""Every test in two processes side by side: the machine's second core would be idle for most of a run.

``python tests/halves.py`` prints the one half as it goes and the other when both have ended; the exit code is that of
pytest, the worse of the two.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
# From end to end, but run beside the unit tests, so that both halves take about as long.
BESIDE = tuple(f"tests/e2e/test_{name}.py" for name in ("choose", "compare", "gate", "report"))
HALVES = (("tests/unit", *BESIDE), ("tests/contract", "tests/e2e", *(f"--ignore={path}" for path in BESIDE)))


def main(halves: Sequence[Sequence[str]] = HALVES) -> int:
    """Run both to their ends, whatever the other finds."""
    # In a shell's background SIGINT is ignored, and its children inherit that; what Ctrl-C does is tested.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    shown, kept = ([sys.executable, "-m", "pytest", *paths] for paths in halves)
    with tempfile.TemporaryFile() as log:
        beside = subprocess.Popen(kept, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            code = subprocess.call(shown, cwd=ROOT)
            beside.wait()
        finally:
            beside.terminate()
            beside.wait()
            log.seek(0)
            sys.stdout.write(log.read().decode(errors="replace"))
            sys.stdout.flush()
    return max(code, beside.returncode, key=abs)


if __name__ == "__main__":
    sys.exit(main())

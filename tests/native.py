"""The native runner as a checkout builds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[1] / "android_harness/runner/build.py"
TIMEOUT_S = 900


def build(abi: str, *options: str) -> Path:
    """The folder of the bundle for this ABI; building takes no time unless the sources have changed."""
    command = [sys.executable, str(BUILD), "--abi", abi, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())

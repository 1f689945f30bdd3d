"""Ending a process that this one started."""

from __future__ import annotations

import subprocess


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str], patience_s: float) -> None:
    """Ask it to end, and after ``patience_s`` seconds make it; one that has ended already is left alone."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""Identifying parts of edgekit by their sources: whatever changes in them, what they made is made anew."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from edgekit import paths

_CONVERT = Path(__file__).parent


@cache
def evaluator_sha256(folder: str) -> str:
    """Of the Python sources of a folder of the convert stage, such as ``mil``."""
    return f"{folder} {_digest(_CONVERT / folder, ('.py',))}"


@cache
def compiler_sha256() -> str:
    """Of the microcontroller compiler."""
    return evaluator_sha256("mcu")


@cache
def runtime_sha256() -> str:
    """Of the microcontroller runtime: its C sources for the host."""
    found = [_digest(paths.mcu_dir() / name, (".c", ".h")) for name in ("include", "src", "host")]
    return f"runtime {' '.join(found)}"


def _digest(folder: Path, suffixes: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for source in sorted(path for path in folder.rglob("*") if path.suffix in suffixes):
        digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]

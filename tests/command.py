"""The command line in a process of its own, as users and programs run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ZOO = str(ROOT / "tests/zoo.py")
EDGEKIT = (sys.executable, "-m", "edgekit.cli.main")
# Far above what any command here takes, so that a hang ends the test and not the run.
TIMEOUT_S = 300


@dataclass(frozen=True)
class Done:
    """What a finished command printed and answered."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one document on stdout; fails if there is anything else."""
        document = json.loads(self.out)
        assert isinstance(document, dict) and document["schema"] == 1, self.out
        return document

    def failed(self, code: int, kind: str) -> dict[str, Any]:
        """Check a failure: its code, what, where and what next on stderr, and the same fields in the JSON document."""
        assert self.code == code, f"exit {self.code}, not {code}\n{self.err}"
        assert "Traceback (most recent call last)" not in self.err, self.err
        error: dict[str, Any] = self.json()["error"]
        assert (error["code"], error["kind"]) == (code, kind), error
        assert error["message"] and error["where"] and error["next_step"], error
        assert "defect" not in error["next_step"], error
        assert f"edgekit: {error['message']}" in self.err
        assert f"  where: {error['where']}" in self.err
        assert f"  next:  {error['next_step']}" in self.err
        return error


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with a fixed width of the terminal."""
    return {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", **(extra or {})}


def edgekit(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Done:
    """Run one command to its end."""
    made = subprocess.run(
        [*EDGEKIT, *arguments], env=environment(env), cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    return Done(made.returncode, made.stdout, made.stderr)


def started(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start one command; its stderr can be read line by line."""
    return subprocess.Popen(
        [*EDGEKIT, *arguments], env=environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

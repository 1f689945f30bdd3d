"""Command lines run in forks of one process that has imported edgekit: for tests that start and kill very many.

``python tests/sweep_forks.py`` reads lines of JSON, each the arguments and a file for the output, answers the fork's
process number and, when it has ended, how.
"""

from __future__ import annotations

import json
import os
import sys

import edgekit.cli.sweep
import edgekit.cli.sweep_view
import edgekit.sweep.run
import edgekit.sweep.start  # noqa: F401 - imported once, for all forks
from edgekit.cli.main import main


def run(arguments: list[str], log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    code = 70
    try:
        code = main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def serve() -> None:
    for line in sys.stdin:
        arguments, log = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(arguments, log)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()

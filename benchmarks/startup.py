"""Start-up of the command line against ``python -c pass``, and a second deploy's time besides measuring.

``python benchmarks/startup.py [--repeats N]``
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import EDGEKIT, ROOT, spread, table


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def besides_measuring(environment: dict[str, str]) -> float:
    """Seconds of one deploy outside its measuring: up to the first repeat, and after the last pass began.

    The last memory pass, about a second, is counted as ours: from outside its end can't be told from the command's.
    """
    command = [*EDGEKIT, "deploy", "timm:mobilenetv2_100"]
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    steps = []
    assert process.stderr is not None
    for line in process.stderr:
        if ": repeat " in line or ": memory" in line:
            steps.append(time.perf_counter())
    if process.wait():
        raise SystemExit("deploy failed")
    return (time.perf_counter() - started) - (steps[-1] - steps[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    script = str(Path(sys.executable).parent / "edgekit")
    commands = {"edgekit --help": [script, "--help"], "edgekit devices": [script, "devices"]}
    base, found = [], {name: [] for name in commands}
    for _ in range(options.repeats):
        base.append(seconds([sys.executable, "-c", "pass"]))
        for name, command in commands.items():
            found[name].append(seconds(command) / base[-1])
    rows = [["python -c pass", f"{statistics.median(base) * 1e3:.1f} ms"]]
    rows += [[name, f"{spread(values, 1)} × python -c pass"] for name, values in found.items()]
    with tempfile.TemporaryDirectory() as folder:
        environment = {"EDGEKIT_CACHE": folder, "EDGEKIT_STORE": f"sqlite:///{folder}/store.sqlite"}
        besides_measuring(environment)
        again = [besides_measuring(environment) for _ in range(3)]
    rows.append(["second deploy, besides measuring (3 formats)", f"{spread(again)} s"])
    table("Start-up; median (min-max)", ["command", "time"], rows)


if __name__ == "__main__":
    main()

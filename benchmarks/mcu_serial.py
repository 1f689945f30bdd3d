"""How much of a serial line's rate a load reaches: a line paced to 921,600 baud between edgekit and an agent.

``python benchmarks/mcu_serial.py [--bytes N] [--repeats N] [--baud N] [--board URL]``; needs a C compiler. Without
``--board`` the agent runs on this machine behind a pty; with it, behind that pty or ``socket://HOST:PORT`` (QEMU).

Every byte takes 10 bits' time, in both directions. The rate counts the file's bytes only, over the whole load:
announcing, framing, acknowledging, and the check of its sha256 on the board are within the time.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from common import ROOT, table

sys.path.insert(0, str(ROOT / "tests"))

from mcu_agents import build_host_agent
from serial_line import Line, damaged, running

from edgekit.device.mcu.agent import connect

BITS_PER_BYTE = 10
TARGET = 0.95
BAD_OF_100 = 1


def main() -> int:
    """Print the shares; 1 if the clean line misses the target."""
    parser = argparse.ArgumentParser(description="Throughput of a load over a paced serial line.")
    parser.add_argument("--bytes", type=int, default=300_000, dest="size")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--baud", type=int, default=921_600)
    parser.add_argument("--board", help="a pty or socket://HOST:PORT with an agent behind it")
    options = parser.parse_args()
    rate = options.baud / BITS_PER_BYTE
    with tempfile.TemporaryDirectory() as work:
        agent = nullcontext(options.board) if options.board else running(build_host_agent(Path(work)))
        with agent as board:
            clean = [share(board, rate, options.size, seed, 0) for seed in range(options.repeats)]
            bad = [share(board, rate, options.size, seed, BAD_OF_100) for seed in range(100, 100 + options.repeats)]
    rows = [
        [line, f"{options.size:,}", *(f"{100 * f(found):.1f}%" for f in (statistics.median, min, max))]
        for line, found in (("clean", clean), (f"{BAD_OF_100}% of the frames damaged", bad))
    ]
    title = f"Payload as a share of the line rate, {options.baud:,} baud = {rate:,.0f} bytes/s"
    table(title, ["line", "bytes", "median", "least", "most"], rows)
    print(f"\ntarget: {TARGET:.0%} on the clean line")
    return 0 if statistics.median(clean) >= TARGET else 1


def share(board: str, rate: float, size: int, seed: int, bad_of_100: int) -> float:
    """One load of new bytes."""
    fault = damaged(bad_of_100, seed) if bad_of_100 else None
    with Line(board, bytes_per_s=rate, to_board=fault) as line:
        agent = connect(line.url)
        try:
            loaded = agent.load(random.Random(seed).randbytes(size))
        finally:
            agent.close()
    if loaded.sent_bytes != size:
        raise SystemExit("The board had the bytes already.")
    return size / loaded.seconds / rate


if __name__ == "__main__":
    sys.exit(main())

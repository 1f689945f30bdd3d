"""The agent against a million hostile frames, under the address and undefined-behaviour sanitizers.

``python benchmarks/mcu_fuzz.py [--frames N] [--seed N]``; needs a C compiler. Random bytes, wrong fields with
right checksums, damaged, repeated and reordered ones, whole sessions with something wrong, models with changed records.
The test run does the same with fewer frames.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from mcu_agents import fuzz

TIMEOUT_S = 3600


def main() -> int:
    """Print what the fuzzer counted; a finding ends it with the sanitizer's report."""
    parser = argparse.ArgumentParser(description="Fuzz the microcontroller agent.")
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        began = time.monotonic()
        found = fuzz(Path(work), options.frames, options.seed, TIMEOUT_S)
        seconds = time.monotonic() - began
    print(f"{found['frames']:,} frames in {seconds:.0f} s (the build included), nothing found: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

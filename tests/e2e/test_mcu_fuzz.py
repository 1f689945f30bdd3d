"""The agent against hostile frames, under sanitizers; ``benchmarks/mcu_fuzz.py`` sends a million."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mcu_agents import build_wire, fuzz


def test_fifty_thousand_frames(tmp_path: Path) -> None:
    found = fuzz(tmp_path, 50_000, 7, 300)
    assert found["frames"] >= 50_000
    # It was more than noise: sessions got through to open models and run them, and were refused as well.
    assert found["models_opened"] > 100 and found["runs"] > 100
    assert found["refusals"] > 1000 and found["resets"] > 1


def test_the_longest_frame_fits_where_it_is_encoded(tmp_path: Path) -> None:
    """Without a zero in it, it grows by five bytes; the sanitizer watches the buffer, which is the agent's size."""
    line = f"encode 1 136 257 257 257 {'01' * 1000}\n"
    done = subprocess.run([build_wire(tmp_path)], input=line, capture_output=True, text=True, timeout=60, check=True)
    assert len(bytes.fromhex(done.stdout)) == 1017

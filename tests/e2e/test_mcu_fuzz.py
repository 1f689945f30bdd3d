"""The agent against hostile frames, under sanitizers; ``benchmarks/mcu_fuzz.py`` sends a million."""

from __future__ import annotations

from pathlib import Path

from mcu_agents import fuzz


def test_fifty_thousand_frames(tmp_path: Path) -> None:
    found = fuzz(tmp_path, 50_000, 7, 300)
    assert found["frames"] >= 50_000
    # It was more than noise: sessions got through to open models and run them, and were refused as well.
    assert found["models_opened"] > 100 and found["runs"] > 100
    assert found["refusals"] > 1000 and found["resets"] > 1

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keys of the test's own, never the user's; where edgekit's own key will be."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("ADB_VENDOR_KEYS", raising=False)
    path = tmp_path / "config/adbkey"
    monkeypatch.setenv("EDGEKIT_ADB_KEY", str(path))
    return path

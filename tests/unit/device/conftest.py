from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of the tests are not those of the user."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))

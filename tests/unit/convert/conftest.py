from __future__ import annotations

from pathlib import Path

import pytest
from fakes import Fakes


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Fakes(tmp_path)

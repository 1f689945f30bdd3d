"""What the tests of bundles share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.store.store import Store
from tests.unit.bundle.kept import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """An empty cache and an empty store."""
    with Store.open(f"sqlite:///{tmp_path / 'results.sqlite'}") as store:
        yield Kept(tmp_path, store)

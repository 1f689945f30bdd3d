"""What every test gets: a cache, a store and a data directory of the test run's own, never the user's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Directories that the whole run shares, so that a model is converted once."""
    root = tmp_path_factory.mktemp("edgekit")
    own = {
        "EDGEKIT_CACHE": str(root / "cache"),
        "EDGEKIT_DATA": str(root / "data"),
        "EDGEKIT_STORE": f"sqlite:///{root / 'results.sqlite'}",
        # Nobody listens there: the phones of whoever runs the tests are left alone.
        "ANDROID_ADB_SERVER_PORT": "9",
        "EDGEKIT_ADB_KEY": str(root / "adbkey"),
        "EDGEKIT_KEYS": str(root / "keys"),
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    yield root
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def python() -> str:
    return sys.executable

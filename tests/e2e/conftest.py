from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Hide = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def without() -> Hide:
    """An environment in which some packages are not installed."""

    def hide(*packages: str) -> dict[str, str]:
        return {"PYTHONPATH": str(Path(__file__).parent / "hidden"), "EDGEKIT_TEST_HIDDEN": ",".join(packages)}

    return hide

"""The stores that the tests run against: SQLite, and a real PostgreSQL server that is started once per run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests import postgres

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    """Where it is missing its tests are skipped; continuous integration has to have it."""
    try:
        postgres.binaries()
    except postgres.NoServer as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    # A power cut is not among what is tested.
    with postgres.server(fsync="off", max_connections="300") as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: sa.URL) -> str:
    return postgres.new_database(postgres_server, f"test{next(_NUMBERS)}")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'data' / 'results.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty store of each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def new_url(store_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Another empty store of the same kind."""
    if store_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'new.sqlite'}"
    return postgres.new_database(request.getfixturevalue("postgres_server"), f"test{next(_NUMBERS)}")

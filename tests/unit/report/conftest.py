from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgekit.choose.ask import ChooseRequest, answer
from edgekit.report.collect import Asked, collect
from edgekit.report.data import ReportData
from edgekit.selection import Choice, Constraint, Objective
from edgekit.store.store import Store
from tests.unit.report import examples

CREATED = "2026-02-01T08:30:00+00:00"


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("report") / "results.sqlite"
    with Store.open(f"sqlite:///{path}") as store:
        examples.fill(store)
        yield store


@pytest.fixture(scope="session")
def everything(filled: Store) -> ReportData:
    """All that is stored, nothing chosen."""
    return collect(filled, Asked(), CREATED)


@pytest.fixture(scope="session")
def choice(filled: Store) -> Choice:
    return answer(
        ChooseRequest(
            devices=("host",),
            constraints=(Constraint(quantity="p50_ms", sense="<=", limit=9.0),),
            objectives=(Objective(quantity="top1", direction="maximize"),),
        ),
        filled,
    )


@pytest.fixture(scope="session")
def chosen(filled: Store, choice: Choice) -> ReportData:
    """The sweep, with a choice from the host's candidates."""
    return collect(filled, Asked(sweep="nightly <1>"), CREATED, choice)

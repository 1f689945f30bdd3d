"""Which run a name means, from a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgekit.compare.runs import compare_stored, read
from edgekit.errors import IncomparableError, UsageError
from edgekit.selection import Sweep, SweepCell
from edgekit.store.store import Store

from .test_compare import row


def add_sweep(store: Store, id: str, name: str, *measured: str, p50: float = 10.0) -> list[str]:
    """A sweep with a cell for each model; answers the measurements' ids."""
    store.add_sweep(Sweep(id=id, name=name, created="2026-03-01T10:00:00+00:00", grid="{}", grid_sha256="0" * 64))
    ids = []
    for model in measured:
        one = row(model, p50=p50, id=f"c{id[:3]}{model:0<28}")
        store.add_artifact(one.artifact)
        cell = SweepCell(sweep_id=id, key=model, model=model, format="onnx", precision="fp32", threads=1, device="host")
        store.add_cells([cell])
        done = msgspec.structs.replace(
            cell, state="measured", artifact_sha256=one.artifact.sha256, measurement_id=one.measurement.id
        )
        store.save_cell(done, one.measurement)
        ids.append(one.measurement.id)
    return ids


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'results.sqlite'}") as opened:
        yield opened


def test_a_sweep_is_found_by_id_prefix_and_name_the_newest_first(store: Store) -> None:
    add_sweep(store, "aaaa" * 8, "night", "one", "two")
    add_sweep(store, "bbbb" * 8, "night", "one")
    assert read(store, "night").info.id == "bbbb" * 8
    assert [read(store, text).info.candidates for text in ("aaaa" * 8, "aaaaa")] == [2, 2]


def test_a_prefix_that_means_a_sweep_and_a_measurement_is_refused(store: Store) -> None:
    ids = add_sweep(store, "cabc" * 8, "night", "one")
    with pytest.raises(UsageError, match="Both a sweep .* and a measurement") as caught:
        read(store, "c")
    assert "more of the id" in caught.value.next_step
    assert read(store, ids[0]).info.kind == "measurement"
    assert (read(store, "ccab").info.id, read(store, "cabc").info.kind) == (ids[0], "sweep")


def test_more_than_one_that_begins_so_is_refused(store: Store) -> None:
    first, second = add_sweep(store, "aaaa" * 8, "night", "one", "ons")
    add_sweep(store, "abbb" * 8, "day")
    with pytest.raises(UsageError, match="More than one measurement"):
        read(store, "caaaon")
    with pytest.raises(UsageError, match="More than one sweep"):
        read(store, "a")
    assert {first, second} == {run.measurement.id for run in read(store, "night").rows}


def test_the_same_run_twice_names_the_earlier_ones_of_its_name(store: Store) -> None:
    add_sweep(store, "aaaa" * 8, "night", "one")
    add_sweep(store, "bbbb" * 8, "night", "one")
    with pytest.raises(UsageError, match="the same sweep") as caught:
        compare_stored(store, "night", "bbbb")
    assert "aaaaaaaa of 2026-03-01 10:00" in caught.value.next_step


def test_a_sweep_without_measurements_can_not_be_compared(store: Store) -> None:
    add_sweep(store, "aaaa" * 8, "full", "one")
    add_sweep(store, "bbbb" * 8, "empty")
    with pytest.raises(IncomparableError, match="1 in A, 0 in B") as caught:
        compare_stored(store, "full", "empty")
    assert "edgekit sweep --resume" in caught.value.next_step


def test_a_measurement_is_compared_with_its_own_candidate_in_a_sweep(store: Store) -> None:
    ids = add_sweep(store, "aaaa" * 8, "before", "one", "two")
    add_sweep(store, "bbbb" * 8, "after", "one", "two", p50=12.0)
    found = compare_stored(store, ids[1], "after")
    assert [(pair.b.candidate.model, pair.verdict) for pair in found.pairs] == [("two", "slower")]
    assert [one.side.candidate.model for one in found.only_in_b] == ["one"]
    with pytest.raises(IncomparableError, match="same measurement"):
        compare_stored(store, ids[1], "before")

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import msgspec
import pytest

from edgekit.errors import UsageError
from edgekit.records import Artifact, Measurement, Plan
from edgekit.selection import Measured, Sweep, SweepCell
from edgekit.store.query import CandidateQuery
from edgekit.store.store import Store

from .samples import ARTIFACT, make_measurement
from .test_series import some_measurements

EVERY = CandidateQuery()
OTHER = msgspec.structs.replace(ARTIFACT, sha256="b" * 64)


def fill(url: str, *saved: Measurement, artifacts: tuple[Artifact, ...] = (ARTIFACT, OTHER)) -> Store:
    store = Store.open(url)
    for artifact in artifacts:
        store.add_artifact(artifact)
    for measurement in saved:
        store.save_measurement(measurement)
    return store


def on_day(day: int, verdict: str = "ok", **changes: Any) -> Measurement:
    made = {"id": f"m{day}", "created": f"2026-03-{day:02d}T00:00:00+00:00", "verdict": verdict, "repeats": ()}
    return make_measurement(**{**made, **changes})


def standing(store: Store, query: CandidateQuery = EVERY) -> list[tuple[str, int]]:
    """Ids, and how many each superseded."""
    return [(one.measurement.id, one.superseded) for one in store.standings(query)]


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["ok"], [("m1", 0)]),
        (["ok", "noisy", "ok"], [("m3", 2)]),
        (["ok", "noisy"], [("m2", 1)]),
        (["throttled"], [("m1", 0)]),
        (["throttled", "timed-out", "incomparable"], [("m3", 2)]),
        # One odd run doesn't hide the one before that can be compared, and is not hidden itself.
        (["ok", "throttled"], [("m2", 0), ("m1", 0)]),
        (["noisy", "ok", "timed-out", "throttled"], [("m4", 1), ("m2", 1)]),
        # What was mended since is only counted.
        (["throttled", "ok"], [("m2", 1)]),
        (["ok", "incomparable", "throttled", "ok"], [("m4", 3)]),
    ],
)
def test_the_newest_of_a_candidate(store_url: str, verdicts: list[str], expected: list[tuple[str, int]]) -> None:
    saved = [on_day(day, verdict) for day, verdict in enumerate(verdicts, start=1)]
    with fill(store_url, *random.Random(1).sample(saved, len(saved))) as store:
        assert standing(store) == expected


def test_the_record_and_its_file(store_url: str) -> None:
    saved = make_measurement()
    with fill(store_url, saved) as store:
        summary = msgspec.structs.replace(saved, repeats=())
        assert store.standings() == [Measured(measurement=summary, artifact=ARTIFACT)]


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "pixel7"}, {"device_name": "Pixel 7"}, {"os_build": "b"}, {"soc": "s"}, {"threads": 4},
        {"artifact_sha256": "b" * 64}, {"clock_regime": "pinned"}, {"harness": "native"}, {"harness_version": "9"},
        {"plan": Plan(min_runs=61)}, {"engine": "another"},
    ],
)  # fmt: skip
def test_other_conditions_stand_beside_each_other(store_url: str, changes: dict[str, Any]) -> None:
    with fill(store_url, on_day(1), on_day(2, **changes)) as store:
        assert standing(store) == [("m2", 0), ("m1", 0)]


@pytest.mark.parametrize(
    "changes", [{"model": "by its path"}, {"runtime_version": "2"}, {"samples": 1}, {"p50_ms": 9.0}]
)
def test_the_same_candidate_measured_again(store_url: str, changes: dict[str, Any]) -> None:
    with fill(store_url, on_day(1), on_day(2, **changes)) as store:
        assert standing(store) == [("m2", 1)]


def test_an_interrupted_measurement_that_is_gone_on_with(store_url: str) -> None:
    with fill(store_url, on_day(1), on_day(2, "incomparable")) as store:
        assert standing(store) == [("m2", 0), ("m1", 0)]
        store.save_measurement(on_day(2, "ok"))
        assert standing(store) == [("m2", 1)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (CandidateQuery(device="host"), [("m2", 1)]),
        (CandidateQuery(device="Pixel 7"), [("m3", 0)]),
        (CandidateQuery(device="pixel7"), [("m3", 0)]),
        (CandidateQuery(device="none"), []),
        (CandidateQuery(model="MOBILE"), [("m3", 0), ("m2", 1)]),
        (CandidateQuery(model="vit*"), []),
        (CandidateQuery(since="2026-03-03"), [("m3", 0)]),
        (CandidateQuery(since="2026-03-02T00:00:00Z"), [("m3", 0), ("m2", 1)]),
        (CandidateQuery(since="1h"), []),
        (CandidateQuery(sweep_id="first"), [("m3", 0), ("m1", 0)]),
        (CandidateQuery(sweep_id="first", device="host"), [("m1", 0)]),
        (CandidateQuery(sweep_id="second"), [("m2", 1)]),
        (CandidateQuery(sweep_id="none"), []),
    ],
)
def test_which_candidates(store_url: str, query: CandidateQuery, expected: list[tuple[str, int]]) -> None:
    third = on_day(3, device="pixel7", device_name="Pixel 7", created="2026-03-03T12:00:00Z")
    with fill(store_url, on_day(1), on_day(2), third) as store:
        for name, measured in (("first", ("m1", "m3")), ("second", ("m1", "m2"))):
            store.add_sweep(Sweep(id=name, name=name, created="2026-03-01T00:00:00Z", grid="{}", grid_sha256=name))
            cell = SweepCell(
                sweep_id=name, key="", model="m", format="f", precision="p", threads=1, device="d", state="measured"
            )
            cells = [msgspec.structs.replace(cell, key=one, measurement_id=one) for one in measured]
            store.add_cells([*cells, msgspec.structs.replace(cell, key="failed", state="failed", reason="lost")])
        assert standing(store, query) == expected


def test_a_bad_time_is_a_usage_error(store_url: str) -> None:
    with fill(store_url) as store, pytest.raises(UsageError):
        store.standings(CandidateQuery(since="yesterday"))


def test_every_measurement_stands_or_is_counted_once(store_url: str) -> None:
    """Against a plain count over all of them."""
    saved = some_measurements(random.Random(3), 200)
    setups: dict[Any, list[Measurement]] = defaultdict(list)
    for one in sorted(saved, key=lambda one: (one.created, one.id)):
        setups[one.device, one.device_name, one.engine, one.threads].append(one)
    expected = {}
    for ordered in setups.values():
        usable = [one.id for one in ordered if one.verdict in ("ok", "noisy")]
        names = [one.id for one in ordered]
        later = names[names.index(usable[-1]) + 1 :] if usable else names
        expected[frozenset([*usable[-1:], *later[-1:]])] = len(ordered)
    with fill(store_url, *saved) as store:
        found = store.standings()
    assert len(found) == sum(len(names) for names in expected)
    assert sum(1 + one.superseded for one in found) == len(saved)
    by_id = {one.measurement.id: 1 + one.superseded for one in found}
    assert {names: sum(by_id[name] for name in names) for names in expected} == expected


def test_those_of_some_files(store_url: str) -> None:
    """Whole, with what they superseded; a file that was never measured has none."""
    with fill(store_url, on_day(1), on_day(2), on_day(3, artifact_sha256="b" * 64), on_day(4, "throttled")) as store:
        mine = CandidateQuery(artifact_sha256s=("a" * 64, "c" * 64))
        assert standing(store, mine) == [("m4", 0), ("m2", 1)]
        assert standing(store, CandidateQuery(artifact_sha256s=("b" * 64,), device="host")) == [("m3", 0)]
        assert standing(store, CandidateQuery(artifact_sha256s=("b" * 64,), device="pixel7")) == []
        assert standing(store, CandidateQuery(artifact_sha256s=())) == []
        many = tuple(f"{number:064x}" for number in range(1200))  # more than one statement takes
        assert standing(store, CandidateQuery(artifact_sha256s=(*many, "b" * 64))) == [("m3", 0)]

"""Measurements are counted once each, whoever writes them; and what is found by the counts is what there is."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from fnmatch import fnmatch
from typing import Any

import msgspec
import pytest

from edgekit.errors import StoreError
from edgekit.records import Measurement
from edgekit.store import measurements
from edgekit.store.query import Query
from edgekit.store.store import Store

from .counting import recount, series_rows
from .samples import ARTIFACT, make_measurement, make_repeat


def totals(url: str) -> dict[str, tuple[int, str]]:
    """By verdict: how many, and which is the newest."""
    return {verdict: (total, newest) for _, _, verdict, total, _, newest in series_rows(url)}


def test_a_measurement_that_gets_its_repeats_is_counted_once(store_url: str) -> None:
    older = make_measurement(id="older", created="2026-02-01T00:00:00Z", verdict="incomparable")
    one = make_measurement(verdict="incomparable", repeats=(make_repeat(0),))
    with Store.open(store_url) as store:
        store.add_artifact(ARTIFACT)
        for measurement in (older, one):
            store.save_measurement(measurement)
        assert totals(store_url) == {"incomparable": (2, "m-0001")}
        for verdict, repeats in (("noisy", 2), ("ok", 3), ("ok", 3)):
            grown = tuple(make_repeat(k) for k in range(repeats))
            store.save_measurement(msgspec.structs.replace(one, verdict=verdict, repeats=grown))
            # What it leaves has its older newest again.
            assert totals(store_url) == {"incomparable": (1, "older"), verdict: (1, "m-0001")}
    assert series_rows(store_url) == recount(store_url)


def test_what_is_refused_is_not_counted(store_url: str) -> None:
    with Store.open(store_url) as store:
        store.add_artifact(ARTIFACT)
        store.save_measurement(make_measurement(verdict="ok"))
        other = msgspec.structs.replace(make_repeat(0), samples_ns=(1, 2, 3))
        with pytest.raises(StoreError, match="other samples"):
            store.save_measurement(make_measurement(verdict="noisy", threads=8, repeats=(other,)))
    assert totals(store_url) == {"ok": (1, "m-0001")}
    assert series_rows(store_url) == recount(store_url)


def test_another_time_of_creation_moves_the_newest(store_url: str) -> None:
    with Store.open(store_url) as store:
        store.add_artifact(ARTIFACT)
        for name, day in (("a", 1), ("b", 2), ("b", 3), ("a", 4), ("a", 2)):
            store.save_measurement(make_measurement(id=name, created=f"2026-03-0{day}T00:00:00Z", repeats=()))
    assert totals(store_url) == {"noisy": (2, "b")}
    assert series_rows(store_url) == recount(store_url)


_WRITER = f"""
import random, sys
from edgekit.store.store import Store
from {__package__}.samples import ARTIFACT, make_measurement

url, name = sys.argv[1:]
chance = random.Random(name)
verdicts = ("incomparable", "noisy", "ok", "throttled")
sys.stdin.readline()
with Store.open(url) as store:
    store.add_artifact(ARTIFACT)
    for index in range(25):
        common = dict(created=f"2026-03-01T00:00:{{index:02d}}Z", repeats=())
        for verdict in chance.sample(verdicts, 3):
            store.save_measurement(make_measurement(
                id=f"{{name}}-{{index}}", verdict=verdict, threads=1 + index % 3, **common))
            store.save_measurement(make_measurement(
                id="shared", verdict=chance.choice(verdicts), threads=chance.randint(1, 3), **common))
"""


def test_processes_that_write_at_once_count_right(store_url: str) -> None:
    with Store.open(store_url) as store:
        store.add_artifact(ARTIFACT)
        store.save_measurement(make_measurement(id="shared", repeats=()))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    commands = [[sys.executable, "-c", _WRITER, store_url, f"writer{number}"] for number in range(4)]
    writers = [subprocess.Popen(words, stdin=subprocess.PIPE, text=True, env=environment) for words in commands]
    for writer in writers:  # they begin together, whatever their start-up took
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    rows = series_rows(store_url)
    assert rows == recount(store_url)
    assert sum(total for *_, total, _, _ in rows) == 101


def test_series_that_several_processes_make_at_once(store_url: str) -> None:
    """Each new setup is made by all of them in the same moment."""
    with Store.open(store_url) as store:
        store.add_artifact(ARTIFACT)
    code = f"""
import sys
from edgekit.store.store import Store
from {__package__}.samples import make_measurement

url, name = sys.argv[1:]
with Store.open(url) as store:
    for index in range(30):
        sys.stdin.readline()
        store.save_measurement(make_measurement(id=f"{{name}}-{{index}}", threads=index + 1, repeats=()))
        print(index, flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    writers = [subprocess.Popen([sys.executable, "-c", code, store_url, f"w{k}"], **pipes) for k in range(4)]
    for index in range(30):
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        assert [writer.stdout.readline() for writer in writers] == [f"{index}\n"] * 4
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    rows = series_rows(store_url)
    assert rows == recount(store_url)
    assert [total for *_, total, _, _ in rows] == [4] * 30


def some_measurements(chance: random.Random, count: int) -> list[Measurement]:
    """Of few kinds, several of them at the same second."""
    return [
        make_measurement(
            id=f"{chance.randrange(16**6):06x}{index:03x}",
            created=f"2026-03-{chance.randint(1, 9):02d}T00:00:0{chance.randint(0, 9)}Z",
            model=chance.choice(["MobileNet", "mobilevit", "net_a", "neta"]), format=chance.choice(["onnx", "litert"]),
            engine=chance.choice(["e1", "e2"]), verdict=chance.choice(["ok", "ok", "ok", "noisy", "timed-out"]),
            device=chance.choice(["host", "pixel7"]), device_name=chance.choice(["pixel7", "A desk"]),
            threads=chance.randint(1, 3), repeats=(),
        )
        for index in range(count)
    ]  # fmt: skip


def a_query(chance: random.Random, saved: list[Measurement]) -> Query:
    def maybe(*values: Any) -> Any:
        return chance.choice(values) if chance.random() < 0.4 else None

    return Query(
        device=maybe("host", "pixel7", "A desk", "none"), model=maybe("mobile", "net_a", "*t*", "net?", "none"),
        engine=maybe("e1", "none"), format=maybe("onnx", "litert"), verdict=maybe("ok", "noisy", "throttled"),
        since=maybe("2026-03-05T00:00:04Z", "2026-03-09T00:00:08Z"),
        id_prefix=maybe(saved[0].id[:1], saved[0].id[:2], saved[0].id[:7], "", "g"),
        ids=maybe(tuple(one.id for one in saved[:40]), ("none",)), limit=chance.choice([0, 1, 3, 20, None]),
    )  # fmt: skip


def fits(query: Query, one: Measurement) -> bool:
    """What the query's documentation says, read literally."""
    same = all(getattr(query, name) in (None, getattr(one, name)) for name in ("engine", "format", "verdict"))
    model = query.model and (query.model if set("*?") & set(query.model) else f"*{query.model}*").lower()
    return (
        same
        and query.device in (None, one.device, one.device_name)
        and (model is None or fnmatch(one.model.lower(), model))
        and (query.since is None or one.created >= query.since)
        and (query.id_prefix is None or one.id.startswith(query.id_prefix))
        and (query.ids is None or one.id in query.ids)
    )


@pytest.mark.parametrize("few", [2, 1000])
def test_every_query_finds_what_there_is(store_url: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few series or ids are read one by one, many by a scan: both have to find the same."""
    monkeypatch.setattr(measurements, "_FEW_SERIES", few)
    monkeypatch.setattr(measurements, "_FEW_IDS", few)
    chance = random.Random(few)
    saved = some_measurements(chance, 150)
    found_any = 0
    with Store.open(store_url) as store:
        store.add_artifact(ARTIFACT)
        for one in saved:
            store.save_measurement(one)
        for _ in range(300):
            query = a_query(chance, saved)
            fitting = sorted((one for one in saved if fits(query, one)), key=lambda one: (one.created, one.id))
            expected = [one.id for one in reversed(fitting)][: query.limit]
            assert [one.id for one in store.measurements(query)] == expected, query
            found_any += bool(expected)
    assert found_any > 60

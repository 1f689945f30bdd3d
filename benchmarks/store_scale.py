"""A store with a million measurements: how long ``choose`` and ``results`` take to read from it.

On SQLite and on a PostgreSQL server of Debian's package, started here and stopped after it; two shapes of the same
size: 200 candidates measured 5,000 times each, and 100,000 candidates measured 10 times each, all on one device. The
rows are written in bulk, but are those that the store itself writes (which is checked on a sample). One measurement in
a hundred has its repeats with their samples. First within one process, then the whole commands. What takes longer than
30 s in all is run fewer times, but at least twice.

``python benchmarks/store_scale.py [--measurements N] [--runs N] [--only sqlite|postgresql]``
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
from common import EDGEKIT, ROOT, run, table

sys.path.insert(0, str(ROOT / "tests"))

import postgres

from edgekit.records import Artifact, DeviceState, Measurement, Parity, Plan, Repeat
from edgekit.store import codec, engine, series, tables
from edgekit.store.query import CandidateQuery, Query
from edgekit.store.store import Store

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
SECONDS_APART = 10
FORMATS = (("executorch", "executorch"), ("litert", "litert"), ("onnx", "onnxruntime"), ("coreml", "coreml"))
VERDICTS = (("ok", 0.9), ("noisy", 0.08), ("throttled", 0.02))
# Of the oldest rows: what is rare and old is the hardest to find among the newest.
RARE = 10
PAGE = 2000
LONG_SECONDS = 30.0
Row = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """So many candidates, measured equally often."""

    candidates: int
    measurements: int

    @property
    def title(self) -> str:
        return f"{self.candidates:,} × {self.measurements // self.candidates:,}"


def artifact(number: int) -> Artifact:
    """The file of a candidate; four formats of one model follow each other."""
    name, _ = FORMATS[number % len(FORMATS)]
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return Artifact(
        sha256=digest, bytes=10_000_000 + 1000 * number, format=name, precision="fp32", path=f"cache/{digest}/model",
        model=f"timm:model_{number // len(FORMATS):05d}", exported_sha256=digest, parity=Parity(passed=True, samples=8),
    )  # fmt: skip


def measurements(shape: Shape) -> Iterator[Measurement]:
    """As they are made over months, oldest first, the candidates in turn."""
    chance = random.Random(6)
    names, weights = zip(*VERDICTS, strict=True)
    files = [artifact(number) for number in range(shape.candidates)]
    for index in range(shape.measurements):
        number = index % shape.candidates
        p50 = (2 + number % 97) * chance.uniform(0.98, 1.02)
        rare = index < RARE
        made = (START + timedelta(seconds=SECONDS_APART * index)).isoformat(timespec="seconds")
        yield Measurement(
            id=chance.randbytes(16).hex(), created=made, artifact_sha256=files[number].sha256,
            model="zoo:rarenet" if rare else files[number].model, format=files[number].format, precision="fp32",
            device="host", device_name="AMD EPYC 9000", os_build="Debian 12", soc="AMD EPYC 9000",
            engine=FORMATS[number % len(FORMATS)][1], runtime_version="1.5.0", harness_version="0.1.0",
            verdict="timed-out" if rare else chance.choices(names, weights)[0], samples=180, p50_ms=p50,
            p90_ms=1.1 * p50, p99_ms=1.3 * p50, trimmed_mean_ms=1.01 * p50, min_ms=0.97 * p50, max_ms=2 * p50,
            ci95_ms=(0.99 * p50, 1.01 * p50), repeat_spread=0.01, first_ms=3 * p50, load_cold_ms=21.25, load_warm_ms=4,
            overhead_ns=55, peak_rss_bytes=200_000_000, model_rss_bytes=30_000_000, plan=Plan(),
            repeats=tuple(repeat(made, p50, k) for k in range(3)) if index % 100 == 0 else (),
        )  # fmt: skip


def repeat(made: str, p50_ms: float, index: int) -> Repeat:
    """One of a measurement's repeats."""
    state = DeviceState(load_1min=0.1, frequencies_khz=(2_000_000,) * 4)
    return Repeat(
        samples_ns=tuple(int(p50_ms * 1e6) + 100 * k + index for k in range(60)), warmup_ns=(int(p50_ms * 1e6),) * 5,
        load_cold_ns=21_250_000, load_warm_ns=4_000_000, first_ns=3_000_000, overhead_ns=55, timed_out=False,
        warmup_stable=True, started=made, state_before=state, state_after=state,
    )  # fmt: skip


class Filler:
    """Writes the rows of measurements into one store in bulk."""

    def __init__(self, url: str, shape: Shape) -> None:
        self.url = url
        Store.open(url).close()
        self.sql = engine.make_engine(engine.parse_url(url), create=True)
        with self.sql.begin() as connection:
            put(connection, tables.artifacts, [codec.artifact_row(artifact(n)) for n in range(shape.candidates)])

    def add(self, rows: dict[sa.Table, list[Row]]) -> None:
        """Rows in the order in which they refer to each other."""
        with self.sql.begin() as connection:
            for into, some in rows.items():
                put(connection, into, some)

    def finish(self, totals: list[Row], sample: list[Measurement]) -> None:
        """The counts of the series; then a sample is checked against what the store itself writes."""
        update = sa.update(tables.series).where(tables.series.c.id == sa.bindparam("number"))
        with self.sql.begin() as connection:
            connection.execute(update, totals)
            if self.sql.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT setval('series_id_seq', (SELECT max(id) FROM series))")
        if self.sql.dialect.name == "postgresql":  # which the server does by itself a while after so many changes
            with self.sql.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")
        check(self.url, self.sql, sample)
        self.sql.dispose()


def fill(urls: Sequence[str], shape: Shape) -> None:
    """Fills every one of the empty stores."""
    fillers = [Filler(url, shape) for url in urls]
    counts: dict[str, Row] = {}
    sample: list[Measurement] = []
    for page in pages(measurements(shape), PAGE):
        new, rows = [], []
        for one in page:
            row, place = codec.measurement_row(one), series.identity(one)
            count = counts.get(place["key_sha256"])
            if count is None:
                count = counts[place["key_sha256"]] = {"number": len(counts) + 1, "total": 0}
                new.append({**place, "id": count["number"], "total": 0})
            count.update(total=count["total"] + 1, newest_us=row["created_us"], newest_id=one.id)
            rows.append({**row, "series_id": count["number"]})
        repeats = [codec.repeat_row(one.id, k, made) for one in page for k, made in enumerate(one.repeats)]
        for filler in fillers:
            filler.add({tables.series: new, tables.measurements: rows, tables.repeats: repeats})
        sample.append(page[len(sample) % len(page)])
    for filler in fillers:
        filler.finish(list(counts.values()), sample)


def pages(made: Iterator[Measurement], size: int) -> Iterator[list[Measurement]]:
    page: list[Measurement] = []
    for one in made:
        page.append(one)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def put(connection: sa.Connection, table: sa.Table, rows: list[Row]) -> None:
    """Inserts rows as fast as the database allows."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(sa.insert(table), rows)
        return
    columns = list(rows[0])
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([row[name] for name in columns])


def check(url: str, sql: sa.Engine, sample: list[Measurement]) -> None:
    """Saving a measurement again must find everything as the store would have written it, and change nothing."""
    with sql.connect() as connection:
        before = snapshot(connection, sample)
    with Store.open(url) as store:
        for one in sample:
            store.save_measurement(one)
            if store.measurement(one.id) != one:
                raise SystemExit(f"measurement {one.id} does not read back")
    with sql.connect() as connection:
        if snapshot(connection, sample) != before:
            raise SystemExit("the rows written in bulk are not those that the store writes")


def snapshot(connection: sa.Connection, sample: list[Measurement]) -> list[Any]:
    table = tables.measurements
    some = sa.select(table).where(table.c.id.in_([one.id for one in sample])).order_by(table.c.id)
    every = sa.select(tables.series).order_by(tables.series.c.id)
    return [tuple(row) for select in (some, every) for row in connection.execute(select)]


def questions(store: Store, shape: Shape) -> dict[str, Callable[[], Any]]:
    """What is asked of the store, by name."""
    newest = store.measurements(Query(limit=3))
    recent = (START + timedelta(seconds=SECONDS_APART * shape.measurements) - timedelta(days=7)).isoformat()
    one_model = artifact(shape.candidates // 2).model
    queries = {
        "no filter": Query(),
        "device": Query(device="host"),
        "device's name": Query(device="AMD EPYC 9000"),
        "device that is not there": Query(device="pixel7"),
        "model, one": Query(model=one_model),
        "model, every": Query(model="timm:*"),
        "model, rare and old": Query(model="rarenet"),
        "model, none": Query(model="no such model"),
        "format": Query(format="litert"),
        "engine": Query(engine="onnxruntime"),
        "verdict ok": Query(verdict="ok"),
        "verdict timed-out, rare and old": Query(verdict="timed-out"),
        "since 7 days": Query(since=recent),
        "since tomorrow": Query(since="2100-01-01"),
        "id, 8 digits": Query(id_prefix=newest[1].id[:8]),
        "id, 1 digit": Query(id_prefix="a"),
        "device, model, verdict": Query(device="host", model=one_model, verdict="noisy"),
        "format, verdict, since": Query(format="onnx", verdict="throttled", since=recent),
        "3 ids, with samples": Query(ids=tuple(one.id for one in newest), with_samples=True),
        "no filter, 1,000 rows": Query(limit=1000),
        "model, every, 1,000 rows": Query(model="timm:*", limit=1000),
    }
    asked: dict[str, Callable[[], Any]] = {
        "standings": store.standings,
        "standings of the device": lambda: store.standings(CandidateQuery(device="host")),
        "standings of one model": lambda: store.standings(CandidateQuery(model=one_model)),
    }
    return asked | {
        f"results: {name}": lambda query=query: store.measurements(query) for name, query in queries.items()
    }


def commands() -> dict[str, list[str]]:
    """The whole commands."""
    found = {"edgekit --version": ["--version"], "edgekit results --limit 50": ["results", "--limit", "50"]}
    if (ROOT / "edgekit/cli/choose.py").is_file():
        words = ["choose", "--device", "host", "--max-latency", "20ms", "--minimize", "latency"]
        found[f"edgekit {' '.join(words)}"] = words
    return found


def timed(call: Callable[[], Any], runs: int) -> list[float]:
    """Seconds of every run; no more than two once they took long."""
    found: list[float] = []
    while len(found) < runs and (len(found) < 2 or sum(found) < LONG_SECONDS):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return found


def measure(url: str, shape: Shape, runs: int) -> dict[str, list[float]]:
    """Seconds of every run of every question and command."""
    with Store.open(url, create=False) as store:
        found = {name: timed(call, runs) for name, call in questions(store, shape).items()}
    place = {"EDGEKIT_STORE": url}
    for name, words in commands().items():
        found[name] = timed(lambda words=words: run([*EDGEKIT, *words], place), runs)
    return found


@contextmanager
def stores(only: str | None) -> Iterator[dict[str, Callable[[int], str]]]:
    """Makers of empty stores, by the kind of database."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Callable[[int], str]] = {"sqlite": lambda number: f"sqlite:///{folder}/{number}.sqlite"}
        if only == "sqlite":
            yield found
            return
        # What is measured only reads.
        with postgres.server(max_wal_size="4GB", fsync="off") as server:
            found["postgresql"] = lambda number: postgres.new_database(server, f"scale{number}")
            yield {name: make for name, make in found.items() if only in (None, name)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measurements", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    options = parser.parse_args()
    shapes = [Shape(number, options.measurements) for number in (200, options.measurements // 10)]
    found: dict[str, dict[str, list[float]]] = {}
    with stores(options.only) as makers:
        for number, shape in enumerate(shapes):
            urls = {name: make(number) for name, make in makers.items()}
            started = time.perf_counter()
            fill(list(urls.values()), shape)
            print(f"{shape.title}: filled in {time.perf_counter() - started:.0f} s", file=sys.stderr)
            for name, url in urls.items():
                found[f"{name}, {shape.title}"] = measure(url, shape, options.runs)
                print(f"{name}, {shape.title}: measured", file=sys.stderr)
    rows = [[question, *(spread(each[question]) for each in found.values())] for question in next(iter(found.values()))]
    title = f"{options.measurements:,} measurements, {os.cpu_count()} cores: ms, median (worst) of {options.runs} runs"
    table(title, ["", *found], rows)


def spread(seconds: list[float]) -> str:
    """Median and worst, in milliseconds."""
    return f"{statistics.median(seconds) * 1e3:.0f} ({max(seconds) * 1e3:.0f})"


if __name__ == "__main__":
    main()

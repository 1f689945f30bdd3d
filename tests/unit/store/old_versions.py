"""Stores as earlier versions of edgekit made them: the tables of version 3, and of version 1, with rows in them."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from edgekit.records import Artifact, Evaluation, Measurement
from edgekit.store import codec, engine

metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("exported_sha256", String(64), index=True),
    Column("model", Text, nullable=False),
    Column("format", String(255), nullable=False),
    Column("precision", String(255), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)

measurements = Table(
    "measurements",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("created_us", BigInteger, nullable=False),
    Column("artifact_sha256", String(64), ForeignKey("artifacts.sha256"), nullable=False, index=True),
    # No index: a model is looked up by a part of its name, which no index of the name can answer.
    Column("model", Text, nullable=False),
    Column("format", String(255), nullable=False),
    Column("precision", String(255), nullable=False),
    Column("device", String(255), nullable=False),
    Column("device_name", String(255), nullable=False),
    Column("engine", String(255), nullable=False),
    Column("verdict", String(255), nullable=False),
    Column("emulated", Boolean, nullable=False),
    Column("clock_regime", String(255), nullable=False),
    Column("threads", Integer, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("p50_ms", Float(53)),
    Column("p90_ms", Float(53)),
    Column("p99_ms", Float(53)),
    Column("first_ms", Float(53)),
    Column("load_cold_ms", Float(53)),
    Column("load_warm_ms", Float(53)),
    Column("peak_rss_bytes", BigInteger),
    Column("record", Text, nullable=False),
    Index("ix_measurements_newest", "created_us", "id"),
    *(
        Index(f"ix_measurements_{column}", column, "created_us", "id")
        for column in ("device", "device_name", "engine", "format", "verdict")
    ),
)

repeats = Table(
    "repeats",
    metadata,
    Column("measurement_id", String(255), ForeignKey("measurements.id"), primary_key=True),
    Column("repeat_index", Integer, primary_key=True, autoincrement=False),
    Column("started", String(255), nullable=False),
    Column("load_cold_ns", BigInteger, nullable=False),
    Column("load_warm_ns", BigInteger, nullable=False),
    Column("first_ns", BigInteger, nullable=False),
    Column("overhead_ns", BigInteger, nullable=False),
    Column("timed_out", Boolean, nullable=False),
    Column("warmup_stable", Boolean, nullable=False),
    Column("state_before", Text, nullable=False),
    Column("state_after", Text, nullable=False),
    # Nanoseconds of every run as little-endian int64, one after another.
    Column("sample_count", BigInteger, nullable=False),
    Column("samples", LargeBinary, nullable=False),
    Column("warmup", LargeBinary, nullable=False),
    # What a microcontroller counted in every run, packed likewise; null elsewhere.
    Column("counts", LargeBinary),
)

evaluations = Table(
    "evaluations",
    metadata,
    # SQLite counts up by itself only in a column of type INTEGER.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("created_us", BigInteger, nullable=False),
    Column("artifact_sha256", String(64), ForeignKey("artifacts.sha256"), index=True),
    Column("model", Text, nullable=False),
    Column("format", String(255), nullable=False),
    Column("precision", String(255), nullable=False),
    Column("dataset", Text, nullable=False),
    Column("dataset_sha256", String(64), nullable=False, index=True),
    Column("metric", Text, nullable=False),
    Column("value", Float(53)),
    Column("ci95_low", Float(53)),
    Column("ci95_high", Float(53)),
    Column("samples", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    Index("ix_evaluations_newest", "created_us", "id"),
)


def make_version_3(
    url: str,
    artifacts_: Iterable[Artifact] = (),
    measurements_: Iterable[Measurement] = (),
    evaluations_: Iterable[Evaluation] = (),
) -> None:
    """A store of version 3 with these rows."""
    sql = engine.make_engine(engine.parse_url(url), create=True)
    with sql.begin() as connection:
        metadata.create_all(connection)
        connection.execute(sa.insert(schema_version).values(version=3))
        _fill(connection, artifacts, [codec.artifact_row(one) for one in artifacts_])
        saved = list(measurements_)
        _fill(connection, measurements, [codec.measurement_row(one) for one in saved])
        _fill(connection, repeats, [codec.repeat_row(one.id, k, r) for one in saved for k, r in enumerate(one.repeats)])
        _fill(connection, evaluations, [codec.evaluation_row(one) for one in evaluations_])
    sql.dispose()


def make_version_1(url: str, artifact: Artifact, measurement: Measurement) -> None:
    """A store of version 1, which had no evaluations and no counts, holding one measurement."""
    make_version_3(url, [artifact], [measurement])
    sql = engine.make_engine(engine.parse_url(url), create=True)
    with sql.begin() as connection:
        connection.exec_driver_sql("DROP TABLE evaluations")
        connection.exec_driver_sql("ALTER TABLE repeats DROP COLUMN counts")
        connection.exec_driver_sql("UPDATE schema_version SET version = 1")
    sql.dispose()


def _fill(connection: sa.Connection, table: Table, rows: list[dict[str, object]]) -> None:
    """The columns that the version had."""
    names = set(table.c.keys())
    if rows:
        connection.execute(sa.insert(table), [{k: v for k, v in row.items() if k in names} for row in rows])

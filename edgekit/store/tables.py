"""The tables of the results store, at the version in :mod:`edgekit.store.migrate`.

Columns hold what people filter and sort on; ``record`` holds the whole summary as JSON, so that a record reads back
exactly as it was saved. Times are microseconds since 1970 UTC, so that they sort the same in every database.
"""

from __future__ import annotations

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

"""The tables of the results store, at the version in :mod:`edgekit.store.migrate`.

Columns hold what people filter and sort on; ``record`` holds the whole summary as JSON, so that a record reads back
exactly as it was saved. Times are microseconds since 1970 UTC, so that they sort the same in every database.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
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
    event,
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

# SQLite counts up by itself only in a column of type INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

# One row for all measurements that are alike in everything people filter by or compare, their verdict included; see
# edgekit.store.series. It answers over any number of measurements by reading a row per series.
series = Table(
    "series",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    # What makes it this series, and what it has in common with the same candidate's series of other verdicts.
    Column("key_sha256", String(64), nullable=False, unique=True),
    Column("setup_sha256", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("format", String(255), nullable=False),
    Column("device", String(255), nullable=False),
    Column("device_name", String(255), nullable=False),
    Column("engine", String(255), nullable=False),
    Column("verdict", String(255), nullable=False),
    # How many measurements there are, and which is the newest; no index holds these, so that counting stays cheap.
    Column("total", BigInteger, nullable=False),
    Column("newest_us", BigInteger),
    Column("newest_id", String(255)),
)

measurements = Table(
    "measurements",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("created_us", BigInteger, nullable=False),
    Column("artifact_sha256", String(64), ForeignKey("artifacts.sha256"), nullable=False, index=True),
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
    # Never null; SQLite can't add a column that refuses it to a table that has rows.
    Column("series_id", _NUMBER, ForeignKey("series.id")),
    Index("ix_measurements_newest", "created_us", "id"),
    # What people filter by is looked up in the series, so that it needs no indexes of its own here.
    Index("ix_measurements_series", "series_id", "created_us", "id"),
)
# In most languages' orders PostgreSQL can't look up the beginning of a text in the primary key's index. As plain text,
# because an Index with this option would import SQLAlchemy's whole PostgreSQL dialect for every store.
event.listen(
    measurements,
    "after_create",
    DDL(  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it
        "CREATE INDEX ix_measurements_id_prefix ON measurements (id varchar_pattern_ops)"
    ).execute_if(dialect="postgresql"),
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
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
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

profiles = Table(
    "profiles",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("created_us", BigInteger, nullable=False),
    Column("artifact_sha256", String(64), ForeignKey("artifacts.sha256"), nullable=False, index=True),
    Column("device", String(255), nullable=False),
    Column("threads", Integer, nullable=False),
    Column("record", Text, nullable=False),
)

sweeps = Table(
    "sweeps",
    metadata,
    # Sweeps and their cells are numbered in the order in which they were added.
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(255), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("grid_sha256", String(64), nullable=False, index=True),
    Column("record", Text, nullable=False),
)

sweep_cells = Table(
    "sweep_cells",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("sweep_id", String(255), ForeignKey("sweeps.id"), nullable=False),
    Column("key_sha256", String(64), nullable=False),
    Column("state", String(255), nullable=False),
    Column("measurement_id", String(255), ForeignKey("measurements.id")),
    Column("record", Text, nullable=False),
    Index("ix_sweep_cells_key", "sweep_id", "key_sha256", unique=True),
)

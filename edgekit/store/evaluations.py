"""Accuracy on data sets, and per-operator times, in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edgekit.records import Evaluation, Profile
from edgekit.store import artifacts, codec, tables
from edgekit.store.engine import chunks
from edgekit.store.query import like_pattern, not_negative

_EVALUATIONS = tables.evaluations
_PROFILES = tables.profiles


def save(connection: Connection, evaluation: Evaluation) -> None:
    """Adds an evaluation.

    Raises:
        StoreError: it has an artifact, and that was not added before.
    """
    if evaluation.artifact_sha256 is not None:
        artifacts.require(connection, evaluation.artifact_sha256, f"evaluation of {evaluation.model}")
    connection.execute(sa.insert(_EVALUATIONS).values(codec.evaluation_row(evaluation)))


def find(connection: Connection, model: str | None, dataset_sha256: str | None, limit: int | None) -> list[Evaluation]:
    """The evaluations that fit, newest first."""
    table = _EVALUATIONS
    select = sa.select(table.c.record)
    if model is not None:
        select = select.where(table.c.model.ilike(like_pattern(model), escape="\\"))
    if dataset_sha256 is not None:
        select = select.where(table.c.dataset_sha256 == dataset_sha256)
    select = select.order_by(table.c.created_us.desc(), table.c.id.desc()).limit(not_negative(limit))
    return [codec.to_evaluation(record) for record in connection.execute(select).scalars()]


def of(connection: Connection, artifact_sha256s: Sequence[str], models: Sequence[str]) -> list[Evaluation]:
    """Those of the artifacts and of the models, newest first; of each artifact, data set, metric and format the newest.

    An evaluation without an artifact (the PyTorch model's) is told apart by its model's name.
    """
    table = _EVALUATIONS
    what = sa.func.coalesce(table.c.artifact_sha256, table.c.model)
    alike = (what, table.c.dataset_sha256, table.c.metric, table.c.format)
    found: dict[int, tuple[int, str]] = {}
    for column, values in ((table.c.artifact_sha256, artifact_sha256s), (table.c.model, models)):
        for some in chunks(values):
            for row in _newest(connection, table, column.in_(some), alike):
                found[row.id] = (row.created_us, row.record)
    ordered = sorted(found.items(), key=lambda item: (item[1][0], item[0]), reverse=True)
    return [codec.to_evaluation(record) for _, (_, record) in ordered]


def save_profile(connection: Connection, profile: Profile, created: str) -> None:
    """Adds a profile, made at an ISO 8601 time.

    Raises:
        StoreError: its artifact was not added before.
    """
    artifacts.require(connection, profile.artifact_sha256, f"profile of {profile.model}")
    connection.execute(sa.insert(_PROFILES).values(codec.profile_row(profile, created)))


def profiles(connection: Connection, artifact_sha256s: Sequence[str], device: str | None) -> list[Profile]:
    """The newest profile of each of the artifacts on each device (or on this one) with each number of threads."""
    table = _PROFILES
    rows: list[sa.Row[Any]] = []
    for some in chunks(artifact_sha256s):
        where = (table.c.artifact_sha256.in_(some), sa.true() if device is None else table.c.device == device)
        rows += _newest(connection, table, sa.and_(*where), (table.c.artifact_sha256, table.c.device, table.c.threads))
    rows.sort(key=lambda row: (row.created_us, row.id), reverse=True)
    return [codec.to_profile(row.record) for row in rows]


def _newest(
    connection: Connection, table: sa.Table, where: sa.ColumnElement[bool], alike: Sequence[sa.ColumnElement[Any]]
) -> list[sa.Row[Any]]:
    """The newest row of those that are alike."""
    order = (table.c.created_us.desc(), table.c.id.desc())
    place = sa.func.row_number().over(partition_by=alike, order_by=order).label("place")
    ranked = sa.select(table.c.id, place).where(where).subquery()
    newest = sa.select(ranked.c.id).where(ranked.c.place == 1)
    select = sa.select(table.c.id, table.c.created_us, table.c.record).where(table.c.id.in_(newest))
    return list(connection.execute(select))

"""Converted files in the store."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from edgekit.errors import StoreError
from edgekit.records import Artifact
from edgekit.store import codec, tables
from edgekit.store.engine import chunks, describe

_TABLE = tables.artifacts


def add(connection: Connection, artifact: Artifact) -> None:
    """Saves an artifact, or replaces it, unless the new one knows less about where it came from."""
    row = codec.artifact_row(artifact)
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(_TABLE).values(row))
    except IntegrityError:
        known = _TABLE.c.sha256 == artifact.sha256
        knows_less = _TABLE.c.exported_sha256.is_(None) if artifact.exported_sha256 is None else sa.true()
        connection.execute(sa.update(_TABLE).where(known, knows_less).values(row))


def read(connection: Connection, sha256s: Sequence[str]) -> dict[str, Artifact]:
    """The artifacts that are there, by their sha256."""
    select = sa.select(_TABLE.c.sha256, _TABLE.c.record)
    found = (connection.execute(select.where(_TABLE.c.sha256.in_(some))).all() for some in chunks(sha256s))
    return {row.sha256: codec.to_artifact(row.record) for rows in found for row in rows}


def beginning(connection: Connection, prefix: str, limit: int) -> list[str]:
    """The sha256 of those that begin so, in order."""
    begins = _TABLE.c.sha256.startswith(prefix, autoescape=True)
    if connection.dialect.name == "sqlite":
        # Only so does it look them up in the index; no digit comes after f.
        begins = (_TABLE.c.sha256 >= prefix) & (_TABLE.c.sha256 < prefix + "g")
    found = sa.select(_TABLE.c.sha256).where(begins).order_by(_TABLE.c.sha256).limit(limit)
    return list(connection.execute(found).scalars())


def require(connection: Connection, sha256: str, what: str) -> None:
    """What can't be traced to its file is not kept.

    Raises:
        StoreError: the artifact was not added.
    """
    if connection.execute(sa.select(_TABLE.c.sha256).where(_TABLE.c.sha256 == sha256)).first() is None:
        raise StoreError(
            f"The artifact of {what} ({sha256[:12]}…) is not in the store.", where=describe(connection.engine.url),
            next_step="Add the artifact first.",
        )  # fmt: skip

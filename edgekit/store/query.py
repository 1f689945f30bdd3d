"""What a reader of the store asks for. Importing this module does not import SQLAlchemy."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from edgekit.errors import UsageError
from edgekit.records import Record, Verdict

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Query(Record, frozen=True, kw_only=True):
    """Which measurements to read, newest first; a field that is null does not filter.

    ``device`` is a device spec or a device's name, whole. ``model`` is part of the model's name, or a pattern of the
    whole name if it has ``*`` or ``?``; upper and lower case are the same. ``since`` is a date, an ISO 8601 time
    (local time if it names no zone), or an age such as ``90m``, ``12h``, ``7d`` or ``2w``. Samples are read only
    ``with_samples``; without them ``Measurement.repeats`` is empty. ``ids`` are whole ids.
    """

    device: str | None = None
    model: str | None = None
    engine: str | None = None
    format: str | None = None
    verdict: Verdict | None = None
    since: str | None = None
    id_prefix: str | None = None
    ids: tuple[str, ...] | None = None
    limit: int | None = 50
    with_samples: bool = False


class CandidateQuery(Record, frozen=True, kw_only=True):
    """Which candidates to compare; a field that is null does not filter. The fields are as in :class:`Query`.

    ``since`` is about a candidate's newest measurement. ``sweep_id`` is the whole id of a sweep: only what was measured
    in it counts. ``artifact_sha256s`` are files, whole.
    """

    device: str | None = None
    model: str | None = None
    since: str | None = None
    sweep_id: str | None = None
    artifact_sha256s: tuple[str, ...] | None = None


def microseconds(moment: str) -> int:
    """Microseconds since 1970 UTC of an ISO 8601 time; one without a zone is local time.

    Raises:
        ValueError: it is not such a time.
    """
    # datetime.fromisoformat reads a trailing Z only from Python 3.11 on.
    parsed = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", moment.strip()))
    return (parsed.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)


def since_microseconds(since: str, now: datetime | None = None) -> int:
    """The ``since`` of a query as microseconds since 1970 UTC.

    Raises:
        UsageError: it is neither a time nor an age.
    """
    age = re.fullmatch(r"(\d{1,6})([mhdw])", since.strip())
    try:
        if age is None:
            return microseconds(since)
        start = (now or datetime.now(timezone.utc)) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return microseconds(start.isoformat())
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"'{since}' is not a time.",
            where="--since",
            next_step="Give a date (2026-01-31), a time (2026-01-31T18:00) or an age (90m, 12h, 7d, 2w).",
        ) from error


def like_pattern(text: str) -> str:
    r"""The SQL LIKE pattern (escape character ``\``) of a part of a name, or of a pattern with ``*`` and ``?``."""
    escaped = re.sub(r"([\\%_])", r"\\\1", text)
    if "*" in text or "?" in text:
        return escaped.replace("*", "%").replace("?", "_")
    return f"%{escaped}%"


def not_negative(limit: int | None) -> int | None:
    """A limit on how many to read; null is no limit.

    Raises:
        UsageError: it is negative.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"The limit is negative: {limit}.", where="--limit", next_step="Give 0 or more.")
    return limit

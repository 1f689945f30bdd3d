"""Model families by name: ``zoo:NAME``, or ``zoo:NAME?key=value`` where the model has options.

Listing and describing them never imports torch; :mod:`edgekit.model.zoo.source` builds them.
"""

from __future__ import annotations

import difflib

from edgekit.errors import ModelError
from edgekit.model.zoo.catalog import entries
from edgekit.model.zoo.entry import Entry

__all__ = ["Entry", "available", "entries", "find"]


def available() -> tuple[Entry, ...]:
    """The entries that can be built."""
    return tuple(entry for entry in entries() if entry.unavailable is None)


def find(name: str) -> Entry:
    """The entry called ``name``, which may be one that can't be built.

    Raises:
        ModelError: there is no such model; the message offers the nearest names.
    """
    known = {entry.name: entry for entry in entries()}
    if name in known:
        return known[name]
    near = _nearest(name, list(known))
    raise ModelError(
        f"There is no model zoo:{name[:100]}.",
        where=f"zoo:{name[:100]}",
        next_step=f"The nearest names are {', '.join(near)}." if near else "edgekit zoo lists all names.",
        nearest=near,
    )


def _nearest(name: str, known: list[str]) -> list[str]:
    """Up to five names like ``name``: misspelt, differently punctuated, or longer."""
    plain = {other.replace("_", ""): other for other in known}
    key = "".join(part for part in name.lower()[:100] if part.isalnum())
    near = [plain[match] for match in difflib.get_close_matches(key, plain, n=5, cutoff=0.6)]
    near += [other for short, other in plain.items() if key and short.startswith(key) and other not in near]
    return near[:5]

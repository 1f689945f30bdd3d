"""Text files with places to fill in: ``@NAME@``, which none of the languages that bundles are written in uses."""

from __future__ import annotations

import re
from pathlib import Path

ASSETS = Path(__file__).resolve().parent / "assets"
_PLACE = re.compile(r"@([A-Z][A-Z0-9_]*)@")


def fill(text: str, **values: str) -> str:
    """The text with every place filled in.

    Raises:
        KeyError: a place has no value, or a value no place: a fault of the caller.
    """
    left = set(values)

    def value(match: re.Match[str]) -> str:
        left.discard(match[1])
        return values[match[1]]

    filled = _PLACE.sub(value, text)
    if left:
        raise KeyError(f"no place for {', '.join(sorted(left))}")
    return filled


def asset(name: str, **values: str) -> bytes:
    """A file of ``assets``, filled in; ``name`` is relative to that folder."""
    return fill((ASSETS / name).read_text(encoding="utf-8"), **values).encode()

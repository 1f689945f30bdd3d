"""Values as Kotlin source, and text from outside as what can't end a string or a comment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from edgekit.bundle.names import camel
from edgekit.bundle.text import one_line

_MAX_COMMENT = 80
_ESCAPED = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def string(text: str | None) -> str:
    """A string literal, or null. What can't be seen on a line of source is escaped."""
    return "null" if text is None else f'"{"".join(_ESCAPED.get(char) or _shown(char) for char in text)}"'


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def comment(text: str) -> str:
    """Text for one line of a comment, which it can neither end nor nest; square brackets would be links in KDoc. Long
    text is cut."""
    closed = re.sub(r"\*(?=/)|/(?=\*)", r"\g<0> ", one_line(text, _MAX_COMMENT))
    return closed.replace("[", "(").replace("]", ")").replace("@", "(at)")


def float32(value: float) -> str:
    """A Float literal of the nearest float32."""
    return f"{np.float32(value)!s}f"


def double(value: float | None) -> str:
    """A Double literal, or null."""
    return "null" if value is None else repr(float(value))


def floats(values: Sequence[float]) -> str:
    """``floatArrayOf(…)`` of float32 values."""
    return f"floatArrayOf({', '.join(float32(value) for value in values)})"


def camels(identifiers: Iterable[str]) -> tuple[str, ...]:
    """Identifiers in camel case, each different from those before: ``a_1`` and ``a1`` become ``a1`` and ``a12``."""
    made: list[str] = []
    for one in identifiers:
        name, count = camel(one), 2
        while name in made:
            name, count = f"{camel(one)}{count}", count + 1
        made.append(name)
    return tuple(made)

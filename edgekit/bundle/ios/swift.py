"""Text that comes from elsewhere, as Swift: literals, comments, names."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence

from edgekit.bundle.names import camel, pascal

# Words that Swift reads as its own where a value may stand; `names.identifier` keeps its other keywords away.
_CONTEXTUAL = frozenset({"any", "await", "borrowing", "consume", "consuming", "copy", "discard", "each", "macro",
                         "sending", "some", "type", "unsafe"})  # fmt: skip


def string(text: str) -> str:
    """A string literal. What does not print, could turn the direction of the line or joins the character before it is
    escaped by its number; half of a surrogate pair, which Swift can't hold, becomes U+FFFD."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if "\ud800" <= character <= "\udfff":
        return "\\u{FFFD}"
    if character.isprintable() and not unicodedata.category(character).startswith("M"):
        return character
    return f"\\u{{{ord(character):X}}}"


def strings(values: Iterable[str]) -> str:
    """An array literal on one line."""
    return "[" + ", ".join(string(value) for value in values) + "]"


def numbers(values: Iterable[int]) -> str:
    """An array literal of integers."""
    return "[" + ", ".join(str(value) for value in values) + "]"


def floats(values: Iterable[float]) -> str:
    """An array literal of finite numbers, with all their digits."""
    return "[" + ", ".join(number(value) for value in values) + "]"


def number(value: float) -> str:
    """A finite number with all its digits."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number in Swift")
    return repr(float(value))


def rows(values: Iterable[str], indent: int) -> str:
    """One element a line, with commas, for the inside of an array literal."""
    return "\n".join(f"{' ' * indent}{value}," for value in values)


def types(identifiers: Sequence[str]) -> list[str]:
    """A type for each model: ``mobile_net`` -> ``MobileNetModel``. The suffix keeps it from being one of Swift's own,
    such as ``String``; no two differ only by case, since each is also a file's name."""
    return _different([f"{pascal(one)}Model" for one in identifiers])


def members(identifiers: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """A property for each tensor: ``input_image`` -> ``inputImage``."""
    used = _CONTEXTUAL | {name.lower() for name in taken}
    named = [camel(one) for one in identifiers]
    return _different([f"{name}Value" if name.lower() in used else name for name in named])


def module(identifier: str) -> str:
    """The package's name. The suffix keeps it from being a module that the app also imports, such as ``Vision``."""
    return f"{pascal(identifier)}Bundle"


def _different(names: Sequence[str]) -> list[str]:
    made: list[str] = []
    for name in names:
        wanted, number = name, 2
        while wanted.lower() in {one.lower() for one in made}:
            wanted, number = f"{name}{number}", number + 1
        made.append(wanted)
    return made

"""Text from outside, made fit for where a bundle shows it; what a language needs beyond is beside its generator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MOST = 200  # characters of one text in a README
_WIDTH = 120


def printable(text: str) -> str:
    """Text that anybody may have written, without what a terminal would act on or UTF-8 can't hold."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def one_line(text: str, most: int | None = None) -> str:
    """Text as one line: what does not print becomes a space; cut to ``most`` characters, and then ends with …"""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if most is None or len(line) <= most else f"{line[: most - 1]}…"


def markdown(text: str) -> str:
    """Text as one line in which nothing means anything to Markdown or HTML, also where it begins a line or a cell."""
    line = re.sub(r"([\\`*_{}\[\]<>|~$&])", r"\\\1", one_line(text, _MOST))
    return re.sub(r"^(\d*)([#+=.)-])", r"\1\\\2", line)


def shape(sizes: Sequence[int]) -> str:
    """``1 x 3 x 224 x 224``."""
    return " x ".join(map(str, sizes)) or "scalar"


def parity(passed: bool | None) -> str:
    """Whether parity passed, in words."""
    return {True: "passed", False: "failed", None: "not checked"}[passed]


def indented(text: str, spaces: int) -> str:
    """Every line that is not empty moved to the right."""
    return "\n".join(" " * spaces + line if line else "" for line in text.split("\n"))


def wrapped(words: Iterable[str], spaces: int) -> str:
    """Words in indented lines of at most 120 characters, each at least one word."""
    lines: list[str] = []
    line = ""
    for word in words:
        if line and spaces + len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = ""
        line += f" {word}" if line else word
    return "\n".join(" " * spaces + one for one in [*lines, line] if one)

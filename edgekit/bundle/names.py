"""Names that are valid in every language a bundle is written in, made from any text."""

from __future__ import annotations

import re
import unicodedata

MAX_IDENTIFIER = 40
# Of C11, C++, Kotlin (hard keywords), Java and Swift, and names that the generated code itself takes.
_KEYWORDS = """
    alignas alignof and as asm associatedtype auto bool boolean break byte case catch char class companion const
    constexpr constructor continue default defer deinit delete do double dynamic else enum export extension extern
    fallthrough false fileprivate final finally float for fun func goto guard if implements import in infix init inline
    inout instanceof int interface internal is let long main module mutable namespace native new nil noexcept not null
    nullptr object open operator or package private protected protocol public repeat restrict return self short signed
    sizeof static strictfp struct subscript super switch synchronized template this throw throws transient true try
    type typealias typedef typeid typename typeof union unsigned using val var virtual void volatile when where while
    xor edgekit ek model bundle
"""
_TAKEN = frozenset(_KEYWORDS.split())


def identifier(text: str, prefix: str) -> str:
    """A snake_case ASCII identifier of 1 to 40 characters that no language of the targets takes for itself.

    ``prefix`` goes before what would begin with a digit, be a keyword or be empty. Accents are dropped; all other
    characters become underscores. Two texts may get the same identifier: the caller looks for clashes.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", plain)
    snake = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:MAX_IDENTIFIER].strip("_")
    if not snake or snake[0].isdigit() or snake in _TAKEN or snake.startswith(("ek_", "edgekit_")):
        snake = f"{prefix}_{snake}".rstrip("_")[:MAX_IDENTIFIER].rstrip("_")
    return snake


def pascal(snake: str) -> str:
    """``mobile_net_v2`` -> ``MobileNetV2``. Different identifiers may give the same: the caller looks for clashes."""
    return "".join(word[:1].upper() + word[1:] for word in snake.split("_"))


def camel(snake: str) -> str:
    """``input_image`` -> ``inputImage``."""
    name = pascal(snake)
    return name[:1].lower() + name[1:]

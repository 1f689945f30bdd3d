"""What the user asks a bundle for, and the grammar of its arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.bundle.records import ComputeUnits, Target
from edgekit.errors import UsageError
from edgekit.selection import Choice

MAX_NAME = 100
_HAS_WORDS = re.compile(r"\w")


@dataclass(frozen=True)
class SourceText:
    """One source as it was given: ``text`` is a path or a sha256, ``name`` the model it is a variant of, if named.

    A program may give the choice itself; ``text`` is then for messages.
    """

    text: str
    name: str | None = None
    choice: Choice | None = None


@dataclass(frozen=True)
class ForModel:
    """The value of an option for one model, or for all of them if ``model`` is null."""

    value: str
    model: str | None = None


@dataclass(frozen=True)
class BundleRequest:
    """One bundle to make.

    ``labels`` and ``preprocess`` name files, ``licences`` licences. ``options`` are those of the target that were
    given, by their names in the manifest. ``key`` is a name or path as ``edgekit.bundle.seal.keys.load`` takes it.
    """

    sources: tuple[SourceText, ...]
    target: Target
    output: Path
    cache: Path
    name: str | None = None
    key: str | None = None
    labels: tuple[ForModel, ...] = ()
    licences: tuple[ForModel, ...] = ()
    preprocess: tuple[ForModel, ...] = ()
    compute_units: ComputeUnits | None = None
    accept_licence: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    force: bool = False


def source_text(argument: str) -> SourceText:
    """``[NAME=]PATH-or-sha256``; a path that is there may have an equals sign in it.

    Raises:
        UsageError: the name, or what is behind it, is empty or too long.
    """
    name, value = _parted(argument, "SOURCE")
    return SourceText(value, name)


def for_model(argument: str, flag: str) -> ForModel:
    """``[MODEL=]VALUE`` of an option, as :func:`source_text`."""
    name, value = _parted(argument, flag)
    return ForModel(value, name)


def source_texts(arguments: str | Path | Choice | Sequence[str | Path | Choice]) -> tuple[SourceText, ...]:
    """One or several sources: choices, and text as :func:`source_text` takes it."""
    given = [arguments] if isinstance(arguments, (str, Path, Choice)) else arguments
    return tuple(
        SourceText("the choice", choice=one) if isinstance(one, Choice) else source_text(str(one)) for one in given
    )


def for_models(value: str | Path | Mapping[str, str] | Mapping[str, str | Path] | None) -> tuple[ForModel, ...]:
    """A value for all models, or model -> value."""
    if value is None:
        return ()
    if isinstance(value, (str, Path)):
        return (ForModel(str(value)),)
    return tuple(ForModel(str(one), model) for model, one in value.items())


def checked_name(name: str, where: str) -> str:
    """A name of a model or a bundle: one line of at most 100 characters, with a letter or a digit in it.

    Raises:
        UsageError: it is something else.
    """
    if not _HAS_WORDS.search(name) or len(name) > MAX_NAME or not name.isprintable():
        raise UsageError(
            f"{name[:MAX_NAME]!r} can't be a name.", where=where,
            next_step=f"Give one line of at most {MAX_NAME} characters, with a letter or a digit in it.",
        )  # fmt: skip
    return name


def _parted(argument: str, where: str) -> tuple[str | None, str]:
    name, sign, value = argument.partition("=")
    if not sign or is_there(argument):
        name, value = "", argument
    if not value or "\0" in value or (sign and argument.startswith("=")):
        raise UsageError(f"{argument!r} lacks a part.", where=where, next_step="Write VALUE, or MODEL=VALUE.")
    return checked_name(name, where) if name else None, value


def is_there(argument: str) -> bool:
    """Whether it is the path of something."""
    try:
        return Path(argument).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False

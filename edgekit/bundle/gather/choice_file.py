"""A choice from the JSON that ``edgekit choose`` printed. The file may come from anywhere."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit.errors import BundleError, UsageError
from edgekit.records import Artifact
from edgekit.selection import CandidateKey, Choice, Standing

MAX_BYTES = 16 << 20
_MAX_THREADS = 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HOW = "Write one with edgekit choose --json > choice.json, or give a converted file or its sha256."
_DECODER = msgspec.json.Decoder(Choice)


def load(path: Path) -> Choice:
    """The choice in a file; nothing is looked up yet.

    Raises:
        UsageError: it can't be read.
        BundleError: it is too large, is no choice, or one of nothing.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.", where=str(path), next_step=_HOW) from error
    if len(content) > MAX_BYTES:
        raise _refused(str(path), f"is larger than {MAX_BYTES >> 20} MiB")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _refused(str(path), "is UTF-16, as some shells write what they redirect; it has to be UTF-8")
    try:
        choice = _DECODER.decode(content.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise _refused(str(path), f"can't be read as one: {_reason(error)}") from error
    return checked(choice, str(path))


def checked(choice: Choice, where: str) -> Choice:
    """A choice of something, whose file is named by its sha256.

    Raises:
        BundleError: it is of another schema, one of nothing, or one that edgekit does not write.
    """
    if choice.schema != 1:
        raise _refused(where, f"has the schema {choice.schema}; this edgekit reads 1")
    if choice.choice is None or choice.status == "none":
        raise BundleError(
            f"{Path(where).name} is a choice of nothing: no candidate certainly meets the limits.", where=where,
            next_step="Relax the limits of edgekit choose, or name the converted file to bundle.",
        )  # fmt: skip
    if not _SHA256.fullmatch(choice.choice.candidate.artifact_sha256):
        raise _refused(where, "names its file by something that is no sha256")
    threads = choice.choice.candidate.threads
    if not 1 <= threads <= _MAX_THREADS:
        raise _refused(where, f"names a number of threads that can't be, {threads}")
    if not all(text.isprintable() for text in _shown(choice)):
        raise _refused(where, "names something by text that can't be printed")
    return choice


def check_file(choice: Choice, artifact: Artifact, where: str) -> None:
    """Refuse a choice that says other things of its file than its record does.

    Raises:
        BundleError: the format or the precision is another one.
    """
    said, known = chosen(choice), f"{artifact.format} {artifact.precision}"
    if known != f"{said.format} {said.precision}":
        raise BundleError(
            f"{Path(where).name} names a file as {said.format} {said.precision} that is {known} "
            f"({artifact.sha256[:12]}…).", where=where, next_step="It was edited, or is damaged: choose again.",
        )  # fmt: skip


def chosen(choice: Choice) -> CandidateKey:
    """The candidate of a choice that :func:`load` read."""
    assert choice.choice is not None
    return choice.choice.candidate


def doubts(choice: Choice) -> tuple[str, ...]:
    """What is to be said of a choice that is not certain."""
    said = []
    label = chosen(choice).label
    if choice.status == "tie" or choice.ties:
        said.append(f"The choice is a tie: the data can't tell {label} from {_labels(choice.ties)}.")
    if choice.status == "undecided":
        said.append(
            f"The choice of {label} is undecided: the data don't say whether the limits are met by "
            f"{_labels(choice.undecided)}, which would be better."
        )
    return tuple(said)


def _shown(choice: Choice) -> Iterator[str]:
    """What messages may show of a choice."""
    assert choice.choice is not None
    for standing in (choice.choice, *choice.ties, *choice.undecided):
        yield standing.candidate.label
    for pair in choice.choice.measurements.items():
        yield from pair


def _labels(standings: tuple[Standing, ...]) -> str:
    names = list(dict.fromkeys(one.candidate.label for one in standings)) or ["others"]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more


def _refused(where: str, what: str) -> BundleError:
    name = Path(where).name
    return BundleError(f"{name} is no choice of edgekit choose: it {what}.", where=where, next_step=_HOW)


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:300].rstrip(".")

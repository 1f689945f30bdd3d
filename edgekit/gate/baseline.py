"""The baseline folder: the converted files that later ones are compared with, and what was known of them.

A team commits the folder or keeps it in its CI's cache: it holds nothing but ``baseline.json`` and the files that it
names, by their sha256. Files are added first and the document is replaced by one rename, so that a process that dies
leaves the old baseline or the new one.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.convert.backend import remove
from edgekit.convert.cache import write_failed
from edgekit.errors import IncomparableError, UsageError
from edgekit.harness.content import bytes_of, sha256_of
from edgekit.records import (
    SCHEMA,
    Artifact,
    ClockRegime,
    DeviceInfo,
    Evaluation,
    Measurement,
    Parity,
    Record,
    TensorSpec,
)
from edgekit.version import __version__

DOCUMENT = "baseline.json"
FILES = "files"
MAX_BYTES = 16 << 20
_FILE = re.compile(r"files/[0-9a-f]{64}/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SET_AGAIN = "Set it again with --set-baseline on a version that is known to be good."


class Entry(Record, frozen=True, kw_only=True):
    """One model's file and what was known of it when the baseline was set.

    ``file`` is its place in the folder, ``inputs`` the shapes and types it takes, ``artifact`` its record without a
    path. ``measurement`` has no samples; it is for people, later checks measure the file again.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    artifact: Artifact
    inputs: tuple[TensorSpec, ...]
    parity: Parity
    dataset_sha256: str | None = None
    evaluations: tuple[Evaluation, ...] = ()
    measurement: Measurement | None = None


class Baseline(Record, frozen=True, kw_only=True):
    """What is in the document of a baseline folder."""

    schema: int = SCHEMA
    created: str
    edgekit_version: str = __version__
    device: DeviceInfo
    clocks: ClockRegime
    threads: int
    models: tuple[Entry, ...]

    def entry(self, name: str) -> Entry:
        """The model of that name. Raises IncomparableError if there is none."""
        for entry in self.models:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in self.models) or "none"
        raise IncomparableError(f"The baseline has no model {name!r}.", where=name,
                                next_step=f"It has {known}. {_SET_AGAIN}")  # fmt: skip


def read(folder: Path) -> Baseline:
    """The document of a baseline folder; the files that it names are verified by :func:`file_of`.

    Raises:
        IncomparableError: there is none, or it is damaged.
    """
    path = folder / DOCUMENT
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _damaged(path, f"it is larger than {MAX_BYTES} bytes")
        return msgspec.json.decode(content, type=Baseline)
    except FileNotFoundError:
        raise IncomparableError("There is no baseline to compare with.", where=str(path),
                                next_step="Make one with --set-baseline, and keep its folder.") from None  # fmt: skip
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, str(error)) from error


def file_of(folder: Path, entry: Entry) -> Artifact:
    """The artifact of an entry with the path of its file, whose size and sha256 are what they were.

    Raises:
        IncomparableError: it is missing, was changed, or lies outside the folder.
    """
    path = folder / entry.file
    if _FILE.fullmatch(entry.file) is None or ".." in entry.file or _escapes(folder, path):
        raise _damaged(folder / DOCUMENT, f"it names the file {entry.file[:200]!r}, which is not one of the folder's")
    try:
        # The size first: a file that was swapped for an endless one is not read.
        if bytes_of(path) != entry.bytes:
            raise _damaged(path, f"it has {bytes_of(path)} bytes, not {entry.bytes}")
        if sha256_of(path) != entry.sha256:
            raise _damaged(path, "its sha256 is not that of the baseline")
    except (OSError, UsageError) as error:
        raise _damaged(path, error.strerror or str(error) if isinstance(error, OSError) else error.message) from error
    if entry.artifact.sha256 != entry.sha256:
        raise _damaged(folder / DOCUMENT, f"it states two sha256 for {entry.name}")
    return msgspec.structs.replace(entry.artifact, path=str(path.absolute()), bytes=entry.bytes)


def place_of(artifact: Artifact) -> str:
    """Where a file lies in the folder."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(artifact.path).name).strip(".-")[-100:] or "model"
    return f"{FILES}/{artifact.sha256}/{name}"


def write(folder: Path, made: Baseline, artifacts: Sequence[Artifact]) -> None:
    """Put ``artifacts`` and the document that names them into ``folder``; files that it no longer names are removed.

    Raises:
        UsageError, ConvertError: the folder can't be written, or is full.
    """
    partial = folder / f".{DOCUMENT}.{os.getpid()}.partial"
    try:
        (folder / FILES).mkdir(parents=True, exist_ok=True)
        for artifact in artifacts:
            _add(folder / place_of(artifact), artifact)
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
        os.replace(partial, folder / DOCUMENT)
    except OSError as failure:
        raise write_failed(failure, folder) from failure
    finally:
        partial.unlink(missing_ok=True)
    kept = {entry.sha256 for entry in made.models}
    for old in (folder / FILES).iterdir():
        # Only what this module makes: what else somebody put there is theirs.
        if re.fullmatch(r"\.?[0-9a-f]{64}(\.\d+\.partial)?", old.name) and old.name not in kept:
            shutil.rmtree(old, ignore_errors=True)


def _add(target: Path, artifact: Artifact) -> None:
    home = target.parent
    if target.exists() and sha256_of(target) == artifact.sha256:
        return
    partial = home.with_name(f".{home.name}.{os.getpid()}.partial")
    try:
        partial.mkdir()
        source = Path(artifact.path)
        if source.is_dir():
            shutil.copytree(source, partial / target.name)
        else:
            shutil.copyfile(source, partial / target.name)
        if home.exists():  # the old document may name the same content by another name: that stays
            remove(target)
            os.replace(partial / target.name, target)
        else:
            os.replace(partial, home)
    finally:
        remove(partial)


def _escapes(folder: Path, path: Path) -> bool:
    """Whether a link leads out of the folder."""
    return not path.resolve().is_relative_to(folder.resolve())


def _damaged(path: Path, why: str) -> IncomparableError:
    return IncomparableError(f"The baseline can't be used: {why}.", where=str(path),
                             next_step=f"Take the folder from your version control again. {_SET_AGAIN}")  # fmt: skip

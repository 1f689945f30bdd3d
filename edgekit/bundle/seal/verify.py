"""Whether a bundle is what was sealed, and by whom. The folder may be anybody's: nothing in it is believed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from edgekit.bundle.records import FileEntry, Manifest
from edgekit.bundle.seal import manifest as manifests
from edgekit.bundle.seal import plain_file
from edgekit.bundle.seal import signature as signatures
from edgekit.bundle.seal.key import PublicKey
from edgekit.bundle.seal.manifest import CHECKSUM, MANIFEST, MAX_FILES, SEALS, SIGNATURE
from edgekit.bundle.seal.signature import Signature
from edgekit.bundle.text import printable
from edgekit.errors import BundleError, UsageError
from edgekit.records import SCHEMA, Record

_CHUNK = 1 << 20
_SET_ID = stat.S_ISUID | stat.S_ISGID
_SHOWN = 8
# What is wrong in more places than this is not a damaged bundle; the rest is not looked at.
_MAX_PROBLEMS = 10_000
_UNSIGNED = "The bundle is not signed: damage shows, but not what somebody changed and then sealed again."


class Verified(Record, frozen=True, kw_only=True):
    """A bundle that is what was sealed.

    ``signature`` is "trusted" (by a key that the caller trusts, known to it as ``key_name``), "unknown-key" (right, but
    by a key that anybody may have made) or "none". ``files`` and ``bytes`` count what the manifest lists.
    """

    schema: int = SCHEMA
    path: str
    manifest_sha256: str
    signature: Literal["trusted", "unknown-key", "none"]
    key_id: str | None
    key_name: str | None
    files: int
    bytes: int
    warnings: tuple[str, ...]
    manifest: Manifest


@dataclass(frozen=True)
class _Problem:
    """``unlisted``: it is there but not in the manifest; ``signature``: the bundle is whole, but not signed as it has
    to be."""

    path: str
    problem: str
    kind: Literal["damage", "unlisted", "signature"] = "damage"


def check(folder: Path, *, trusted: Sequence[PublicKey] = (), require_signature: bool = False) -> Verified:
    """Check every file of a bundle against its manifest, and the manifest against its checksum and signature.

    Args:
        folder: the bundle.
        trusted: keys whose signatures count (``keys.trusted(arguments)``).
        require_signature: refuse a bundle that none of them signed.

    Raises:
        BundleError: it is not what was sealed, or not signed as required; ``facts["problems"]`` has all that is wrong
            as ``{"path", "problem"}``, the message the first of them.
        UsageError: there is no such folder, or it is no bundle.
    """
    _is_bundle(folder)
    problems: list[_Problem] = []
    data = _seal(folder, MANIFEST, manifests.MAX_BYTES, problems)
    if data is None:
        raise _refused(folder, problems)
    right = manifests.checksum(data)
    checksum = _seal(folder, CHECKSUM, len(right), problems)
    if checksum is not None and checksum != right:
        problems.append(_Problem(CHECKSUM, f"is not the sha256 of {MANIFEST}"))
    signature = _signature(folder, data, problems)
    if require_signature:
        problems += _missing_trust(folder, signature, trusted)
    try:
        manifest = manifests.decode(data)
    except BundleError as failure:
        problems.append(_Problem(MANIFEST, _of(failure, MANIFEST)))
        raise _refused(folder, problems) from failure
    problems += islice(_files(folder, manifest), _MAX_PROBLEMS)
    if problems:
        raise _refused(folder, problems)
    return _verified(folder, data, manifest, signature, trusted)


def _is_bundle(folder: Path) -> None:
    """Raises UsageError where a damaged bundle is not the likely reason."""
    try:
        with os.scandir(folder):
            pass
        there = any(os.path.lexists(folder / name) for name in SEALS)
    except (OSError, ValueError) as failure:  # the second: a path with a NUL
        reason = getattr(failure, "strerror", None) or failure
        raise UsageError(f"The bundle can't be read: {reason}.", where=printable(str(folder)),
                         next_step="Give the folder that edgekit bundle wrote.") from failure  # fmt: skip
    if not there:
        raise UsageError(f"This is no bundle: there is no {MANIFEST}.", where=printable(str(folder)),
                         next_step="Give the folder that edgekit bundle wrote.")  # fmt: skip


def _seal(folder: Path, name: str, most: int, problems: list[_Problem]) -> bytes | None:
    """The bytes of a file that seals the bundle; None, and a problem, if they can't be had."""
    try:
        with plain_file.opened(folder / name) as (file, _):
            data = file.read(most + 1)
    except OSError as failure:
        problems.append(_Problem(name, plain_file.reason(failure)))
        return None
    if len(data) <= most:
        return data
    problems.append(_Problem(name, f"has more than {most} bytes"))
    return None


def _signature(folder: Path, manifest: bytes, problems: list[_Problem]) -> Signature | None:
    """The signature if there is a right one; what is there and is not right is a problem whoever made it."""
    if not os.path.lexists(folder / SIGNATURE):
        return None
    data = _seal(folder, SIGNATURE, signatures.MAX_BYTES, problems)
    if data is None:
        return None
    try:
        return signatures.verified(data, manifest)
    except BundleError as failure:
        problems.append(_Problem(SIGNATURE, _of(failure, SIGNATURE)))
        return None


def _missing_trust(folder: Path, signature: Signature | None, trusted: Sequence[PublicKey]) -> list[_Problem]:
    if signature is not None and signature.key not in trusted:
        return [_Problem(SIGNATURE, f"is by the key {signature.key_id}, which is not trusted here", "signature")]
    if signature is None and not os.path.lexists(folder / SIGNATURE):
        return [_Problem(SIGNATURE, "is missing: the bundle is not signed", "signature")]
    return []


def _files(folder: Path, manifest: Manifest) -> Iterator[_Problem]:
    """All that is wrong with what the manifest lists, and all that it does not list."""
    listed = {entry.path: entry for entry in manifest.files}
    folders = {path[:at] for path in listed for at, letter in enumerate(path) if letter == "/"}
    real = {""}
    yield from _walk(folder, listed, folders, real)
    paths = {entry.sha256: entry.path for entry in manifest.files}
    for path, entry in listed.items():
        # Not through a link in the place of a folder: it may lead anywhere, and is a problem already.
        parent = path.rpartition("/")[0]
        problem = _file_problem(folder / path, entry, paths) if parent in real else "is missing"
        if problem is not None:
            yield _Problem(path, problem)


def _walk(folder: Path, listed: Mapping[str, FileEntry], folders: set[str], real: set[str]) -> Iterator[_Problem]:
    """What is not listed. Fills ``real`` with the folders that are there; others are not looked into."""
    todo = [""]
    while todo:
        above = todo.pop()
        try:
            with os.scandir(folder / above) as found:
                # More could only be further problems than are reported.
                some = islice(found, MAX_FILES + _MAX_PROBLEMS)
                entries = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in some)
        except OSError as failure:
            yield _Problem(above or ".", plain_file.reason(failure))
            continue
        for name, is_folder in entries:
            path = f"{above}/{name}" if above else name
            if path in folders and is_folder:
                real.add(path)
                todo.append(path)
            elif path in folders:
                yield _Problem(path, "is no folder")
            elif path not in listed and path not in SEALS:
                what = "is a folder of which nothing is listed" if is_folder else "is not listed"
                yield _Problem(printable(path), what, "unlisted")


def _file_problem(path: Path, entry: FileEntry, paths: Mapping[str, str]) -> str | None:
    """What is wrong with one file; ``paths`` are those of all digests, to know files that changed places."""
    try:
        with plain_file.opened(path) as (file, found):
            if found.st_size != entry.bytes:
                cut = "is truncated: it" if found.st_size < entry.bytes else "is too long: it"
                return f"{cut} has {found.st_size} of {entry.bytes} bytes"
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as failure:
        return plain_file.reason(failure)
    if digest.hexdigest() != entry.sha256:
        other = paths.get(digest.hexdigest())
        return "was changed: its sha256 is another" if other is None else f"has the content of {other}"
    return "runs as its owner, whoever starts it (setuid, setgid)" if found.st_mode & _SET_ID else None


def _of(failure: BundleError, name: str) -> str:
    """The message as a problem of the file it begins with."""
    return failure.message.removeprefix(f"{name} ").rstrip(".")


def _refused(folder: Path, problems: Sequence[_Problem]) -> BundleError:
    kinds = {problem.kind for problem in problems}
    next_step = "Don't use it; get it again from where it was made."
    if kinds == {"unlisted"}:
        next_step = ("Verify before you build: what a build makes (build/, .gradle/) is not listed. Delete what is not "
                     "the bundle's.")  # fmt: skip
    elif kinds == {"signature"}:
        next_step = "Have it signed (--key), or trust the key: edgekit keys trust FILE, with its owner's .pub."
    lines = [f"\n    {problem.path}: {problem.problem}" for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"\n    and {len(problems) - _SHOWN} more, which --json lists")
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    return BundleError(f"The bundle is not accepted: {count}.{''.join(lines)}", where=printable(str(folder)),
                       next_step=next_step,
                       problems=[{"path": p.path, "problem": p.problem} for p in problems])  # fmt: skip


def _verified(
    folder: Path, data: bytes, manifest: Manifest, signature: Signature | None, trusted: Sequence[PublicKey]
) -> Verified:
    name = None
    status: Literal["trusted", "unknown-key", "none"] = "none"
    warnings = [_UNSIGNED]
    if signature is not None:
        name = next((key.name for key in trusted if key == signature.key), None)
        status = "unknown-key" if name is None else "trusted"
        warnings = [] if name is not None else [
            f"The key {signature.key_id}, which signed it, is not trusted here, and anybody can make one. Get its .pub "
            "from its owner: edgekit keys trust FILE."]  # fmt: skip
    return Verified(
        path=printable(str(folder)), manifest_sha256=hashlib.sha256(data).hexdigest(), signature=status,
        key_id=signature.key_id if signature else None, key_name=name, files=len(manifest.files),
        bytes=sum(entry.bytes for entry in manifest.files), warnings=tuple(warnings), manifest=manifest,
    )  # fmt: skip

"""A bundle on the disk: whole, or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgekit.bundle.recipe import Content, Recipe
from edgekit.bundle.records import Bundle, FileEntry, Manifest
from edgekit.bundle.seal import manifest as manifests
from edgekit.bundle.seal import plain_file
from edgekit.bundle.seal import signature as signatures
from edgekit.bundle.seal.key import PrivateKey
from edgekit.bundle.text import printable
from edgekit.errors import BundleError, EdgekitError, UsageError
from edgekit.harness.content import sha256_of

_CHUNK = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write(
    folder: Path, manifest: Manifest, content: Content, *, key: PrivateKey | None = None, force: bool = False,
    expected: Mapping[Path, str] | None = None,
) -> Bundle:  # fmt: skip
    """Write the content and its sealed manifest into ``folder`` by one rename.

    Args:
        folder: must not exist, or be empty; with ``force`` it may be a bundle, which is replaced with all that is in
            it. Folders above it are made.
        manifest: complete but for ``files``, which are made here from the content.
        content: what the target's generator made.
        key: signs the manifest (``keys.load``).
        force: replace a bundle that is there.
        expected: source file -> sha256 that it must still have (``artifacts(recipe)``).

    Raises:
        BundleError: a path that not every system can have, a source that is a link, is missing or has changed since it
            was checked, no room, or a manifest that JSON can't hold.
        UsageError: the folder is in use by something else, or can't be written.
    """
    _check_paths(content)
    place = folder.resolve()
    try:
        _check_place(place, force)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _stage(place) as stage:
            files = [
                _put(stage, path, content.files[path], path in content.executables, expected or {})
                for path in sorted(content.files)
            ]
            sealed = msgspec.structs.replace(manifest, files=tuple(files))
            data = manifests.encode(sealed)
            _seal(stage, data, key)
            _move(stage, place, force)
    except OSError as failure:
        raise _failed(failure, place) from failure
    return Bundle(path=printable(str(folder)), manifest_sha256=hashlib.sha256(data).hexdigest(),
                  key_id=None if key is None else key.public.key_id, manifest=sealed)  # fmt: skip


def artifacts(recipe: Recipe) -> dict[Path, str]:
    """The sha256 of every file of the recipe's artifacts, for :func:`write`.

    Raises:
        BundleError: an artifact is no longer what its variant says.
    """
    found: dict[Path, str] = {}
    for member in (member for part in recipe.parts for member in part.members):
        below = sorted(p for p in member.path.rglob("*") if p.is_file()) if member.path.is_dir() else [member.path]
        try:
            digests = {path: sha256_of(path) for path in below}
            # After its files, so that all of them are what this covers.
            same = sha256_of(member.path) == member.variant.artifact_sha256
        except (OSError, UsageError) as failure:
            raise _changed(member.path) from failure
        if not same:
            raise _changed(member.path)
        found |= digests
    return found


def _check_paths(content: Content) -> None:
    problems = manifests.path_problems(sorted(content.files))
    problems += [f"{path!a} is executable but not there" for path in sorted(content.executables - set(content.files))]
    if problems:
        raise BundleError(f"A bundle can't hold these files: {problems[0]}.", where=problems[0],
                          next_step="Rename what the file is named after.", problems=problems)  # fmt: skip


def check_place(folder: Path, force: bool) -> None:
    """Asked before the work begins, too.

    Raises:
        UsageError: the bundle may not go there, as far as that can be known before.
    """
    place = folder.resolve()
    try:
        _check_place(place, force)
    except OSError as failure:
        raise _failed(failure, place) from failure


def _check_place(place: Path, force: bool) -> None:
    if not os.path.lexists(place):
        return
    if not place.is_dir():
        raise UsageError(
            "There is a file of that name.", where=printable(str(place)), next_step="Choose another folder."
        )
    with os.scandir(place) as entries:
        if next(entries, None) is None:
            return
    if not force:
        raise UsageError("The folder is not empty.", where=printable(str(place)),
                         next_step="Choose another one; --force replaces a bundle and all in it.")  # fmt: skip
    if not _is_bundle(place):
        raise UsageError("The folder is not empty and no bundle (or a damaged one): --force does not replace it.",
                         where=printable(str(place)),
                         next_step="Choose another one, or delete it yourself.")  # fmt: skip


def _is_bundle(place: Path) -> bool:
    try:
        with plain_file.opened(place / manifests.MANIFEST) as (file, _):
            manifests.decode(file.read(manifests.MAX_BYTES + 1))
    except (OSError, EdgekitError):
        return False
    return True


@contextmanager
def _stage(place: Path) -> Iterator[Path]:
    """A folder beside the place, which is gone afterwards unless it was moved there."""
    stage = Path(tempfile.mkdtemp(prefix=".edgekit-bundle.", suffix=".partial", dir=place.parent))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _put(stage: Path, path: str, source: bytes | Path, executable: bool, expected: Mapping[Path, str]) -> FileEntry:
    """Write one file and describe what was written."""
    target = stage / path
    _make_folders(stage, target.parent)
    digest, size = hashlib.sha256(), 0
    # Others may read it only when all of it is there.
    with open(target, "xb") as file:
        for chunk in [source] if isinstance(source, bytes) else _chunks(source):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    target.chmod(0o755 if executable else 0o644)
    if isinstance(source, Path) and expected.get(source, digest.hexdigest()) != digest.hexdigest():
        raise _changed(source)
    return FileEntry(path=path, bytes=size, sha256=digest.hexdigest())


def _make_folders(stage: Path, folder: Path) -> None:
    if folder != stage and not folder.is_dir():
        _make_folders(stage, folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


def _chunks(source: Path) -> Iterator[bytes]:
    """A file's content. A link is not followed: what it leads to may change with nobody asking for the bundle."""
    try:
        with plain_file.opened(source) as (file, _):
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as failure:
        raise BundleError(f"A file of the bundle {plain_file.reason(failure)}.", where=printable(str(source)),
                          next_step="Give a file that can be read, and no link to one.") from failure  # fmt: skip


def _seal(stage: Path, data: bytes, key: PrivateKey | None) -> None:
    seals = {manifests.MANIFEST: data, manifests.CHECKSUM: manifests.checksum(data)}
    if key is not None:
        seals[manifests.SIGNATURE] = signatures.sign(data, key)
    for name, content in seals.items():
        _put(stage, name, content, False, {})
    stage.chmod(0o755)  # mkdtemp makes it for its owner alone


def _move(stage: Path, place: Path, force: bool) -> None:
    """Put the finished folder in its place. What is there is moved aside first, and back if that fails."""
    _check_place(place, force)  # again: writing took its time
    if not place.is_dir() or not any(place.iterdir()):
        stage.rename(place)
        return
    aside = Path(tempfile.mkdtemp(prefix=".edgekit-bundle.", suffix=".old", dir=place.parent))
    old = aside / place.name
    try:
        place.rename(old)
        stage.rename(place)
    finally:
        if not place.exists():
            old.rename(place)
        _remove(aside)


def _remove(aside: Path) -> None:
    try:
        shutil.rmtree(aside)
    except OSError as failure:
        raise BundleError(f"The new bundle is in its place, but the old one can't be removed: {failure.strerror}.",
                          where=printable(str(aside)), next_step="Delete it.") from failure  # fmt: skip


def _changed(path: Path) -> BundleError:
    return BundleError("The file is not the one that was converted and checked.", where=printable(str(path)),
                       next_step="Convert the model again, then bundle it.")  # fmt: skip


def _failed(failure: OSError, place: Path) -> EdgekitError:
    where = str(failure.filename2 or failure.filename or place)
    if failure.errno in _NO_ROOM:
        return BundleError(f"There is no room for the bundle: {failure.strerror}.", where=printable(where),
                           next_step="Free some space, or choose another folder with -o. Nothing half-written was "
                           "kept.")  # fmt: skip
    return UsageError(f"The bundle can't be written: {failure.strerror or failure}.", where=printable(where),
                      next_step="Choose a folder that you can write with -o.")  # fmt: skip

"""From a SOURCE argument to a converted file whose bytes are certain, with all that is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edgekit.bundle.gather import choice_file
from edgekit.bundle.gather.judged import judged
from edgekit.bundle.records import Target
from edgekit.bundle.request import SourceText, is_there
from edgekit.convert import entries
from edgekit.convert.cache import Cache
from edgekit.convert.mcu.exact import INT8_SUFFIX
from edgekit.convert.mcu.foreign import compile_foreign
from edgekit.convert.mcu.unpack import unpack
from edgekit.convert.parity import TOLERANCES
from edgekit.convert.request import GoldenRequest
from edgekit.device.foreign import artifact_at
from edgekit.errors import BundleError, EdgekitError, UsageError
from edgekit.harness.content import sha256_of
from edgekit.model.request import ARTIFACT_FORMATS
from edgekit.records import Artifact, Exported
from edgekit.selection import Choice
from edgekit.store.store import Store

MIN_PREFIX = 8
# As many samples as a bundle takes at most.
_GOLDEN = GoldenRequest(count=4)
_SHA256 = re.compile(rf"[0-9a-f]{{{MIN_PREFIX},64}}")
_FORMS = (
    f"Give a converted file ({', '.join(ARTIFACT_FORMATS)}), the first {MIN_PREFIX} or more digits of its sha256, or "
    "the JSON of edgekit choose. A model that is not converted yet goes through edgekit convert first."
)


@dataclass(frozen=True)
class Located:
    """One source, found.

    ``path`` is the file for the bundle and ``run`` the one of ``artifact``, whose sha256 was checked. They are the same
    but for microcontrollers, where ``path`` is the int8 .tflite that ``run`` (.ekm) was packed from. ``exported`` is
    null for a file made elsewhere, or if the cache no longer has the program. ``inputs`` are .npy stacks for a packed
    model made from somebody's .tflite, in that file's own dtypes.
    """

    given: SourceText
    artifact: Artifact
    path: Path
    run: Path
    exported: Exported | None = None
    choices: tuple[Choice, ...] = ()
    inputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name: the one that was given, or the artifact's."""
        return self.given.name or self.artifact.model


def locate(given: SourceText, target: Target, store: Store, cache: Cache) -> Located:
    """Find the file of a source.

    Raises:
        UsageError: there is no such file or artifact, or more than one begins so.
        BundleError: it is a choice of nothing, the file of a known artifact is gone, or it computes the wrong thing.
    """
    path = Path(given.text)
    choices: tuple[Choice, ...] = ()
    if given.choice is not None:
        choices = (choice_file.checked(given.choice, given.text),)
        found = _of_choice(given, choices[0], store, cache)
    elif path.suffix.lower() in ARTIFACT_FORMATS and is_there(given.text):
        found = _of_file(given, path, target, store, cache)
    elif is_there(given.text) and path.is_file():
        choices = (choice_file.load(path),)
        found = _of_choice(given, choices[0], store, cache)
    elif _SHA256.fullmatch(given.text):
        found = _of_artifact(given, _by_prefix(given.text, store, cache), (), cache)
    else:
        raise UsageError(f"There is no file {given.text}, and it is no sha256.", where=given.text, next_step=_FORMS)
    found = _judged(found, cache)
    if found.artifact.parity.passed is False:
        raise BundleError(
            f"{found.path.name} does not compute what its model computes: {found.artifact.parity.reason}.",
            where=found.artifact.sha256, next_step="Don't ship it. edgekit check names the first layer that differs.",
        )  # fmt: skip
    return replace(found, choices=choices)


def _of_file(given: SourceText, path: Path, target: Target, store: Store, cache: Cache) -> Located:
    if target == "mcu" and ARTIFACT_FORMATS[path.suffix.lower()] == "litert":
        return _of_int8_model(given, path, store, cache)
    artifact = _known(sha256_of(path), store, cache)
    if artifact is not None:
        return _of_artifact(given, artifact, (path,), cache)
    artifact = artifact_at(path)
    if artifact.format == "mcu":
        raise _needs_int8(path, unpack(path.read_bytes(), str(path)).source_sha256)
    return Located(given, artifact, path, path)


def _of_choice(given: SourceText, choice: Choice, store: Store, cache: Cache) -> Located:
    sha256 = choice_file.chosen(choice).artifact_sha256
    artifact = _known(sha256, store, cache)
    if artifact is None:
        raise BundleError(
            f"The file that {Path(given.text).name} names ({sha256[:12]}…) is neither in the store nor in the cache.",
            where=given.text, next_step="Use the store and the cache that it was chosen from (EDGEKIT_STORE, "
            "EDGEKIT_CACHE), or give the converted file itself.", sha256=sha256,
        )  # fmt: skip
    choice_file.check_file(choice, artifact, given.text)
    return _of_artifact(given, artifact, (), cache)


def _of_artifact(
    given: SourceText, artifact: Artifact, places: tuple[Path, ...], cache: Cache, int8: Path | None = None
) -> Located:
    """A file that the store or the cache knows; it is at one of ``places``, where the record says, or in the cache.

    ``int8`` is the model that a microcontroller's file was packed from, if that is known.
    """
    cached = [Path(one.path) for one in entries.artifacts_with(cache, sha256=artifact.sha256)]
    run = _intact([*places, Path(artifact.path), *cached], artifact.sha256)
    if run is None:
        raise BundleError(
            f"The file of {artifact.model} ({artifact.format}, {artifact.sha256[:12]}…) is no longer where it was, nor "
            "in the cache.", where=artifact.path, next_step="Give the file itself, or convert the model again.",
        )  # fmt: skip
    artifact, exported = _with_export(artifact, cache)
    path = run if artifact.format != "mcu" else int8 or _int8_model(run, cache)
    return Located(given, artifact, path, run, exported)


def _of_int8_model(given: SourceText, path: Path, store: Store, cache: Cache) -> Located:
    """An int8 .tflite for a microcontroller: one that edgekit quantised itself, or somebody else's."""
    sha256 = sha256_of(path)
    for packed in entries.artifacts_with(cache, format_name="mcu"):
        if unpack(Path(packed.path).read_bytes(), packed.path).source_sha256 == sha256:
            known = _known(packed.sha256, store, cache) or packed
            return _of_artifact(given, known, (Path(packed.path),), cache, int8=path)
    made = compile_foreign(path, cache, _GOLDEN, dsp=True)
    return Located(given, made.artifact, path, Path(made.artifact.path), inputs=made.inputs)


def _int8_model(ekm: Path, cache: Cache) -> Path:
    """The int8 .tflite that a packed model was made from, found by its sha256.

    Raises:
        BundleError: it is not there.
    """
    source = unpack(ekm.read_bytes(), str(ekm)).source_sha256
    packed = (Path(one.path) for one in entries.artifacts_with(cache, format_name="mcu"))
    found = _intact([one.with_suffix(INT8_SUFFIX) for one in (ekm, *packed)], source)
    if found is None:
        raise _needs_int8(ekm, source)
    return found


def _needs_int8(ekm: Path, source: str) -> BundleError:
    return BundleError(
        f"{ekm.name} is packed for the agent's firmware; C source is made from the int8 .tflite that it was packed "
        f"from, and that ({source[:12]}…) is not in the cache.", where=str(ekm),
        next_step="Give the int8 .tflite instead.", source_sha256=source,
    )  # fmt: skip


def _by_prefix(text: str, store: Store, cache: Cache) -> Artifact:
    """The one known artifact whose sha256 begins so.

    Raises:
        UsageError: there is none, or more than one.
    """
    whole = len(text) == 64
    found = set() if whole else set(store.artifacts_beginning(text))
    found |= {one.sha256 for one in entries.artifacts_with(cache, sha256=text)}
    (only,) = (text,) if whole else found if len(found) == 1 else ("",)
    artifact = _known(only, store, cache) if only else None
    if artifact is not None:
        return artifact
    several = ", ".join(one[: len(text) + 8] for one in sorted(found)[:3])
    raise UsageError(
        f"More than one converted file has a sha256 that begins with {text}: {several}." if found else
        f"No converted file in the store or the cache has a sha256 that begins with {text}.",
        where=text, next_step="Give more of it." if found else _FORMS,
    )  # fmt: skip


def _known(sha256: str, store: Store, cache: Cache) -> Artifact | None:
    """The record of a file: the store's, unless only the cache knows where the file came from."""
    stored = store.artifact(sha256)
    if stored is not None and stored.exported_sha256 is not None:
        return stored
    cached = entries.artifacts_with(cache, sha256=sha256)
    return cached[0] if cached else stored


def _with_export(artifact: Artifact, cache: Cache) -> tuple[Artifact, Exported | None]:
    """The program that the file was converted from, if the cache has it, and the parity if it was only judged there."""
    if artifact.exported_sha256 is None:
        return artifact, None
    exports = entries.exports_with(cache, artifact.exported_sha256)
    exports.sort(key=lambda one: (one.golden.sha256 != artifact.parity.golden_sha256, one.name != artifact.model))
    exported, parity = (exports[0] if exports else None), artifact.parity
    if parity.passed is None:
        judged = ((one, entries.find_parity(cache, artifact, one)) for one in exports)
        exported, parity = next(((one, found) for one, found in judged if found), (exported, parity))
    return msgspec.structs.replace(artifact, parity=parity), exported


def _judged(found: Located, cache: Cache) -> Located:
    """The same with the parity, if it was not judged but can be."""
    artifact, exported = found.artifact, found.exported
    if exported is None or artifact.parity.passed is not None:
        return found
    parity = judged(artifact, exported, found.run, found.path, cache)
    if parity.tolerance is None:
        # Not compared here; where the bundle's own test runs, it needs the bounds.
        parity = msgspec.structs.replace(parity, tolerance=TOLERANCES.get(artifact.precision))
    return replace(found, artifact=msgspec.structs.replace(artifact, parity=parity))


def _intact(places: Iterable[Path], sha256: str) -> Path | None:
    """The first of the places that holds what the sha256 says; a record may name any path."""
    for place in places:
        with suppress(OSError, EdgekitError):
            if sha256_of(place) == sha256:
                return place
    return None

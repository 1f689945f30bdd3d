"""Built native runners: where they are, which files they consist of, how they are started.

A bundle is the directory that ``android_harness/runner/build.py`` makes for one ABI. Its ``manifest.json`` names every
file with its sha256; nothing that differs from it is ever started or sent to a device.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgekit.errors import DeviceError
from edgekit.harness.content import sha256_of
from edgekit.job import Engine
from edgekit.records import Record
from edgekit.version import __version__

Abi = Literal["x86_64", "arm64-v8a"]
ABIS: tuple[Abi, ...] = ("x86_64", "arm64-v8a")
# Stands in the command line for the bundle's directory, wherever that is on the machine that runs it.
PLACE = "{bundle}"

_PACKAGE = Path(__file__).resolve().parents[1]
_MANIFEST = "manifest.json"
_MAX_MANIFEST = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")

_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 30)]


class _Entry(Record, frozen=True, kw_only=True):
    name: str
    bytes: _Bytes
    sha256: _Sha256
    engine: Engine | None


class _Manifest(Record, frozen=True, kw_only=True):
    schema: Literal[1]
    abi: Abi
    harness_version: str
    engines: dict[Engine, str]
    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=16)]
    source: _Sha256
    compiler: str
    files: Annotated[tuple[_Entry, ...], msgspec.Meta(min_length=1, max_length=256)]


# Made before there are threads: two that make a type's decoder at the same time crash msgspec 0.22.
_DECODER = msgspec.json.Decoder(_Manifest)


@dataclass(frozen=True)
class BundleFile:
    """One file of a bundle; ``engine`` is the runtime that it is needed for, None if every job needs it."""

    name: str
    path: Path
    sha256: str
    bytes: int
    engine: Engine | None


@dataclass(frozen=True)
class Bundle:
    """One verified bundle.

    ``sha256`` names its content; ``engines`` are the runtimes in it with their versions. ``command[0]`` is the name of
    the file to start; in the arguments behind it :data:`PLACE` stands for the bundle's directory.
    """

    abi: Abi
    folder: Path
    sha256: str
    engines: dict[Engine, str]
    command: tuple[str, ...]
    files: tuple[BundleFile, ...]

    def start(self) -> tuple[str, ...]:
        """The command line that starts the runner on this machine; a job's file and its answer's are added to it."""
        place = str(self.folder)
        return (str(self.folder / self.command[0]), *(argument.replace(PLACE, place) for argument in self.command[1:]))


def find_bundle(abi: str) -> Bundle:
    """The runner for a device of this ABI.

    Looked for below ``EDGEKIT_RUNNER``, which is the only place if it is set; then in the installed package; then
    where a checkout builds it.

    Raises:
        DeviceError: there is none for this ABI, it is of another version of edgekit or of older sources than the
            checkout's, or a file of it was changed.
    """
    known = next((name for name in ABIS if name == abi), None)
    if known is None:
        raise DeviceError(
            f"There is no native runner for the ABI {abi}.",
            where=abi,
            next_step=f"Use a device of one of these: {', '.join(ABIS)}.",
        )
    for place in _places():
        folder = place / known
        if (folder / _MANIFEST).is_file():
            if place == _built():
                _check_fresh(folder, known)
            return load_bundle(folder, known)
    raise DeviceError(
        f"The native runner for {abi} is not built.",
        where=", ".join(str(place / known) for place in _places()),
        next_step=_next_step(known),
    )


def load_bundle(folder: Path, abi: Abi) -> Bundle:
    """Read and verify one bundle.

    Raises:
        DeviceError: it is none, it is of another version of edgekit or for another ABI, or a file of it was changed.
    """
    document, manifest = _read_manifest(folder, abi)
    if manifest.harness_version != __version__ or manifest.abi != abi:
        raise DeviceError(
            f"The native runner is harness {manifest.harness_version} for {manifest.abi}; this is edgekit "
            f"{__version__} and {abi} is needed.",
            where=str(folder),
            next_step=_next_step(abi),
        )
    files = tuple(BundleFile(e.name, folder / e.name, e.sha256, e.bytes, e.engine) for e in manifest.files)
    _verify(files, manifest.command[0], folder, abi)
    sha256 = hashlib.sha256(document).hexdigest()
    return Bundle(abi, folder, sha256, manifest.engines, manifest.command, files)


def _places() -> tuple[Path, ...]:
    chosen = os.environ.get("EDGEKIT_RUNNER")
    if chosen:
        return (Path(chosen).absolute(),)
    return (_PACKAGE / "runner", _built())


def _built() -> Path:
    return _PACKAGE.parent / "android_harness/runner/build"


def _check_fresh(folder: Path, abi: Abi) -> None:
    """Refuse a build of other sources than the checkout's: its numbers would be taken for those of this harness."""
    home = _built().parent
    files = [*sorted((home / "src").iterdir()), *sorted(home.glob("*.py")), home / f"pins/{abi}.txt"]
    files.append(_PACKAGE / "version.py")
    text = "".join(f"{path.name} {sha256_of(path)}\n" for path in files)
    if _read_manifest(folder, abi)[1].source != hashlib.sha256(text.encode()).hexdigest():
        raise DeviceError(
            "The native runner was built from other sources than those in this checkout.",
            where=str(folder),
            next_step=_next_step(abi),
        )


def _read_manifest(folder: Path, abi: Abi) -> tuple[bytes, _Manifest]:
    path = folder / _MANIFEST
    try:
        with path.open("rb") as stream:
            document = stream.read(_MAX_MANIFEST)
        return document, _DECODER.decode(document)
    except (OSError, msgspec.DecodeError) as error:
        raise DeviceError(
            f"The native runner's manifest can't be read: {error}", where=str(path), next_step=_next_step(abi)
        ) from error


def _verify(files: tuple[BundleFile, ...], start: str, folder: Path, abi: Abi) -> None:
    names = {file.name for file in files}
    wrong = [name for name in names if not _NAME.fullmatch(name)]
    if wrong or start not in names or len(names) != len(files):
        raise DeviceError(
            f"The native runner's manifest is wrong about {', '.join(map(repr, sorted(wrong))) or start!r}.",
            where=str(folder),
            next_step=_next_step(abi),
        )
    for file in files:
        if not file.path.is_file() or file.path.stat().st_size != file.bytes or sha256_of(file.path) != file.sha256:
            raise DeviceError(
                f"{file.name} of the native runner is not what its manifest says.",
                where=str(file.path),
                next_step=_next_step(abi),
            )


def _next_step(abi: Abi) -> str:
    return f"In a checkout of edgekit, run: python android_harness/runner/build.py --abi {abi}"

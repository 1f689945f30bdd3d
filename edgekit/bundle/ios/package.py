"""What an .mlpackage says of the systems that can load it, and its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import BundleError, EdgekitError
from edgekit.harness.content import sha256_of

# Specification version of a Core ML model -> first systems that load it (coremltools: AvailableTarget in
# converters/mil/_deployment_compatibility.py). Older ones are raised to what the generated code needs: compiling a
# model on the device without blocking came with iOS 16 and macOS 13.
_SYSTEMS = {8: ("17.0", "14.0"), 9: ("18.0", "15.0"), 10: ("26.0", "26.0")}
_OLDEST = ("16.0", "13.0")
_NEWEST = max(_SYSTEMS)
_SPECIFICATION_VERSION = 0x08  # field 1, a varint: serialised first


@dataclass(frozen=True)
class PackageFile:
    """One file of an .mlpackage, ``name`` relative to it."""

    name: str
    path: Path
    bytes: int
    sha256: str


def systems(package: Path) -> tuple[str, str]:
    """The first iOS and the first macOS that load the model.

    Raises:
        BundleError: it is no .mlpackage, or of a version that is not known.
    """
    # Here, not above: both import torch, which listing the targets must not.
    from edgekit.convert.mil.limits import LIMITS
    from edgekit.convert.mil.package import open_package

    try:
        program = open_package(package, LIMITS).program
        with program.open("rb") as stream:
            head = stream.read(2)
    except (EdgekitError, OSError) as error:
        raise _unusable(package, f"it can't be read: {error}") from error
    if len(head) < 2 or head[0] != _SPECIFICATION_VERSION or not 1 <= head[1] <= _NEWEST:
        raise _unusable(package, f"it does not begin with a specification version from 1 to {_NEWEST}")
    return _SYSTEMS.get(head[1], _OLDEST)


def latest(pairs: list[tuple[str, str]]) -> tuple[str, str]:
    """The first systems that load every one."""
    return max(pairs, key=lambda pair: float(pair[0]), default=_OLDEST)


def files(package: Path) -> list[PackageFile]:
    """Its files, sorted by name.

    Raises:
        BundleError: it has a link.
    """
    found = sorted((path.relative_to(package).as_posix(), path) for path in package.rglob("*"))
    if any(path.is_symlink() for _, path in found):
        raise _unusable(package, "it has a symbolic link")
    return [PackageFile(name, path, path.stat().st_size, sha256_of(path)) for name, path in found if path.is_file()]


def _unusable(package: Path, reason: str) -> BundleError:
    return BundleError(f"{package.name} can't go into a Swift package: {reason}.", where=str(package),
                       next_step="Convert the model again: edgekit convert … --to coreml.")  # fmt: skip

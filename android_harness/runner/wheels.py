"""The runtimes' wheels: downloaded once by pip, held to their pinned sha256, unpacked within bounds."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from common import BuildError, Target, output_of, sha256_of

_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[0-9.]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})$")
# The tags under which the two projects publish their wheels.
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27")
_EXECUTORCH_LIBRARIES = ("", "_backend_xnnpack", "_kernels_optimized", "_kernels_quantized", "_threadpool")
# Where the wanted parts of the wheels lie.
_WANTED = re.compile(
    r"executorch/include/.+\.h"
    rf"|executorch/lib/libexecutorch({'|'.join(_EXECUTORCH_LIBRARIES)})\.so"
    r"|ai_edge_litert/libLiteRt\.so"
    r"|[^/]+\.dist-info/(licenses/)?LICENSE"
)
_MAX_BYTES = 256 << 20


@dataclass(frozen=True)
class Pin:
    """One wheel."""

    name: str
    version: str
    sha256: str


def pins_of(target: Target) -> list[Pin]:
    """The wheels of a target, by its requirements file."""
    found = []
    for line in target.pins.read_text().splitlines():
        match = _PIN.match(line)
        if match is None:
            raise BuildError(f"{target.pins}: not a pinned requirement: {line}")
        found.append(Pin(**match.groupdict()))
    return found


def cache_dir() -> Path:
    """Where wheels are kept: below ``EDGEKIT_CACHE``, or edgekit's directory in the user's cache."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("EDGEKIT_CACHE") or user / "edgekit") / "runner-wheels"


def fetch(target: Target) -> list[Path]:
    """Paths of the target's wheels, in the order of its pins; downloads those that are not in the cache.

    Raises:
        BuildError: pip failed, or a file is not the pinned one.
    """
    pins = pins_of(target)
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    paths = [cache / f"{pin.sha256}.whl" for pin in pins]
    if not all(path.is_file() for path in paths):
        _download(target, pins, cache)
    for pin, path in zip(pins, paths, strict=True):
        if not path.is_file() or sha256_of(path) != pin.sha256:
            path.unlink(missing_ok=True)
            raise BuildError(f"The wheel of {pin.name} {pin.version} was not the pinned one; it is deleted. Try again.")
    return paths


def _download(target: Target, pins: list[Pin], cache: Path) -> None:
    platforms = [argument for tag in _PLATFORMS for argument in ("--platform", f"{tag}_{target.machine}")]
    with tempfile.TemporaryDirectory(prefix="download-", dir=cache) as folder:
        output_of([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--require-hashes", "--python-version", "311", *platforms, "--requirement", str(target.pins),
                   "--dest", folder])  # fmt: skip
        wanted = {pin.sha256 for pin in pins}
        for path in Path(folder).glob("*.whl"):
            digest = sha256_of(path)
            if digest in wanted:
                path.replace(cache / f"{digest}.whl")


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack headers, libraries and licence of one wheel below ``folder``, and nothing else.

    Raises:
        BuildError: it is no wheel, a name leads out of the folder, or it is larger than any wheel that is wanted.
    """
    left = _MAX_BYTES
    try:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                name = PurePosixPath(entry.filename)
                if not _WANTED.fullmatch(entry.filename):
                    continue
                left -= entry.file_size
                if name.is_absolute() or ".." in name.parts or left < 0:
                    raise BuildError(f"{wheel.name} holds {entry.filename}, which can't be unpacked.")
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(entry))
    except (OSError, zipfile.BadZipFile) as error:
        raise BuildError(f"{wheel.name} can't be unpacked: {error}") from error

"""The .mlpackage directory: which file holds the program, and which files it may name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.convert.mil.failures import refused
from edgekit.convert.mil.limits import Limits

_MODEL_PATH = "@model_path/"


@dataclass(frozen=True)
class Package:
    """``program`` is the .mlmodel file; ``root`` the package, which no path may leave."""

    root: Path
    program: Path

    def file(self, name: str) -> Path:
        """The file that the program names, relative to its own directory: ``@model_path/weights/weight.bin``.

        Raises:
            RuntimeCrashError: the name is of another form, or leaves the package.
        """
        if not name.startswith(_MODEL_PATH):
            raise refused(f"The Core ML program names a file outside its package: {name!r}.", str(self.root))
        return inside(self.root, self.program.parent, name.removeprefix(_MODEL_PATH))


def open_package(path: Path, limits: Limits) -> Package:
    """Find the program of an .mlpackage by its Manifest.json.

    Raises:
        RuntimeCrashError: this is no .mlpackage, or its manifest is damaged or names a path outside it.
    """
    manifest = path / "Manifest.json"
    document = _manifest(manifest, limits)
    items, root_id = document.get("itemInfoEntries"), document.get("rootModelIdentifier")
    entry = items.get(root_id) if isinstance(items, dict) and isinstance(root_id, str) else None
    name = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise refused("The .mlpackage's manifest does not name a model.", str(manifest))
    program = inside(path, path / "Data", name)
    if not program.is_file():
        raise refused(f"The .mlpackage has no model file {name}.", str(program))
    return Package(path, program)


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file of at most ``most`` bytes.

    Raises:
        RuntimeCrashError: it is larger, or can't be read.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise refused(f"{path.name} can't be read: {error.strerror}.", str(path)) from error
    if len(content) > most:
        raise refused(f"{path.name} is larger than {most >> 20} MiB.", str(path), "This is no usual Core ML model.")
    return content


def inside(root: Path, base: Path, name: str) -> Path:
    """``base / name``, if that is a path inside ``root`` with links followed.

    Raises:
        RuntimeCrashError: the name is absolute, goes upwards, or leads elsewhere by a link.
    """
    pure = PurePosixPath(name)
    escapes = pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name
    found = base / "" if escapes else base / name
    if escapes or not found.resolve().is_relative_to(root.resolve()):
        raise refused(
            f"The .mlpackage names a path outside itself: {name!r}.",
            str(root),
            "Don't use this file: a genuine package only names its own files.",
        )
    return found


def _manifest(path: Path, limits: Limits) -> dict[str, Any]:
    if not path.is_file():
        raise refused("This is not an .mlpackage: it has no Manifest.json.", str(path.parent))
    try:
        document = json.loads(read_bytes(path, limits.manifest_bytes))
    except (ValueError, RecursionError) as error:
        raise refused("The .mlpackage's manifest is not valid JSON.", str(path)) from error
    if not isinstance(document, dict):
        raise refused("The .mlpackage's manifest is not a JSON object.", str(path))
    return document

"""Descriptions of devices as TOML files, one a device: read with bounds, shipped with edgekit or the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import msgspec.toml

from edgekit.errors import DeviceError, UsageError

FOLDER = "device_profiles"
MAX_BYTES = 16 * 1024  # of one file; the largest shipped one has less than 4 KB


class Named(Protocol):
    """What every description has."""

    @property
    def name(self) -> Any: ...


_T = TypeVar("_T", bound=Named)


def load(path: Path, kind: type[_T], what: str) -> _T:
    """The description in the file ``path``; its name must be the file's name without ``.toml``.

    Args:
        kind: the record that it is.
        what: what messages call it, such as "device profile".

    Raises:
        UsageError: the file can't be read, is larger than 16 KiB, is no TOML, or breaks a rule of the grammar.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        made = msgspec.toml.decode(raw, type=kind)
        if made.name != path.stem:
            raise ValueError(f"its name is {made.name!r}, which is not the file's")
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"The {what} {path.name} can't be used: {error}",
            where=str(path),
            next_step="Correct the file; device_profiles/README.md describes the grammar.",
        ) from error
    return made


def load_all(directory: Path, kind: type[_T], what: str) -> tuple[_T, ...]:
    """Every description in the folder, by name; none if there is no such folder. Raises UsageError."""
    return tuple(load(path, kind, what) for path in sorted(directory.glob("*.toml")))


def load_shipped(below: str, kind: type[_T], what: str) -> tuple[_T, ...]:
    """Those that come with edgekit, from ``device_profiles`` or the folder ``below`` in it.

    Raises:
        DeviceError: they are missing from the installation.
    """
    package = Path(__file__).resolve().parents[1]
    # In a wheel they lie inside the package; in a checkout the folder stands beside it.
    homes = (home / FOLDER / below for home in (package, package.parent))
    directory = next((home for home in homes if home.is_dir()), package)
    found = load_all(directory, kind, what)
    if not found:
        raise DeviceError(f"The {what}s are missing from this installation.", where=str(directory),
                          next_step="Install edgekit again.")  # fmt: skip
    return found

"""Reading a grid from its TOML file; the message on a wrong key names it and the nearest known one."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import msgspec
import msgspec.toml

from edgekit.errors import UsageError
from edgekit.records import Plan
from edgekit.sweep.grid import Exclude, GridFile, ModelEntry

MAX_BYTES = 256 * 1024
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `\$(?P<where>[^`]*)`)?")
_AT = re.compile(r" - at `\$\.?(?P<where>[^`]*)`")
# The first part of a path in msgspec's messages -> what lies there.
_RECORDS: dict[str, type[msgspec.Struct]] = {"": GridFile, "plan": Plan, "models": ModelEntry, "exclude": Exclude}


def load(path: Path) -> GridFile:
    """The grid in a TOML file.

    Raises:
        UsageError: it can't be read, is larger than 256 KiB, is no TOML, or has a key or a value that is not known.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        return msgspec.toml.decode(raw, type=GridFile)
    except msgspec.ValidationError as error:
        raise _wrong(path, str(error)) from error
    except OSError as error:
        raise UsageError(f"The grid {path} can't be read: {error.strerror}.", where=str(path),
                         next_step="Check the path.") from error  # fmt: skip
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UsageError(f"The grid {path.name} is not TOML that can be used: {error}.", where=str(path),
                         next_step="edgekit sweep --help shows a grid.") from error  # fmt: skip


def _wrong(path: Path, text: str) -> UsageError:
    unknown = _UNKNOWN.search(text)
    if unknown is None:
        at = _AT.search(text)
        key = at["where"] if at else ""
        return UsageError(f"The grid {path.name} has a wrong value: {_AT.sub('', text)}.",
                          where=f"{path}: {key}" if key else str(path), next_step="Correct the value.")  # fmt: skip
    place = (unknown["where"] or "").lstrip(".")
    known = _RECORDS.get(re.split(r"[.\[]", place, maxsplit=1)[0], GridFile).__struct_fields__
    near = difflib.get_close_matches(unknown["key"], known, n=1)
    step = f"Did you mean {near[0]}?" if near else f"The keys there are {', '.join(known)}."
    key = f"{place}.{unknown['key']}" if place else unknown["key"]
    return UsageError(f"The grid {path.name} has the unknown key {unknown['key']!r}.", where=f"{path}: {key}",
                      next_step=step, near=near)  # fmt: skip

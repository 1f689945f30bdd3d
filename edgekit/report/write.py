"""Where a page goes: looked at before the work, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from edgekit import whole_file
from edgekit.errors import UsageError


def check_target(path: Path, flag: str = "--output") -> None:
    """See that a file can be made at ``path``; one that is there will be replaced.

    Raises:
        UsageError: it is a directory, or its folder is missing or can't be written to.
    """
    folder = path.parent
    if path.is_dir():
        raise _wrong(f"{path} is a directory.", path, "Name a file in it, for example report.html.")
    if not folder.is_dir():
        raise _wrong(f"There is no folder {folder}.", path, f"Make it, or give another file with {flag}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _wrong(f"The folder {folder} can't be written to.", path, f"Give another file with {flag}.")


def write(path: Path, page: str) -> int:
    """The page as a UTF-8 file, with the rights of any new file; answers its bytes.

    Raises:
        UsageError: the file can't be written.
    """
    content = page.encode()
    try:
        whole_file.write(path, content)
    except OSError as error:
        raise _wrong(f"The page can't be written: {error.strerror or error}.", path,
                     "Choose a file in a folder that has room and that you can write to.") from error  # fmt: skip
    return len(content)


def _wrong(message: str, path: Path, next_step: str) -> UsageError:
    return UsageError(message, where=str(path), next_step=next_step)

"""What kind of file a model file is, by its content, and whether its declared sizes are believable."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Literal

from edgekit.errors import ModelError

Content = Literal["exported_program", "old_exported_program", "torchscript", "checkpoint", "pickle"]

# torch stores tensors uncompressed; only TorchScript's source and debug records are deflated. A tenfold expansion is
# far beyond any honest archive, the constant leaves room for tiny files that are mostly source.
MAX_EXPANSION = 10
EXPANSION_FLOOR = 16 << 20
MAX_ENTRIES = 200_000

# How torch's weights-only reader words that it met a class or function it does not allow.
_OBJECTS = ("GLOBAL", "unrecognized function", "Can only build", "unsupported class")


def content_of(path: str) -> Content:
    """Look into a .pt, .pth, .bin or .pt2 file without unpickling anything.

    A file that is no zip archive is reported as ``pickle``: torch's format before 1.6.

    Raises:
        ModelError: the file is empty, can't be read, is cut off, or is a zip archive that torch did not write or whose
            declared contents are much larger than the file.
    """
    try:
        size = Path(path).stat().st_size
        with open(path, "rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}.", where=path) from None
    if size == 0:
        raise ModelError(f"{path} is empty.", where=path, next_step="Save the model again.")
    if magic != b"PK\x03\x04":
        return "pickle"
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise damaged(path, "its archive directory is missing") from None
    _check_expansion(path, entries, size)
    return _kind(path, {entry.filename.partition("/")[2] for entry in entries} | {e.filename for e in entries})


def _check_expansion(path: str, entries: list[zipfile.ZipInfo], size: int) -> None:
    declared = sum(entry.file_size for entry in entries)
    bound = MAX_EXPANSION * size + EXPANSION_FLOOR
    if declared > bound or len(entries) > MAX_ENTRIES:
        raise ModelError(
            f"{path} is {size} bytes but says that it unpacks to {declared} bytes in {len(entries)} entries; "
            "no model file does that.",
            where=path,
            next_step="Do not use this file. Get the model from its source again.",
        )


def _kind(path: str, names: set[str]) -> Content:
    if "archive_format" in names:
        return "exported_program"
    if "serialized_exported_program.json" in names:
        return "old_exported_program"
    if "constants.pkl" in names:
        return "torchscript"
    if "data.pkl" in names:
        return "checkpoint"
    raise ModelError(
        f"{path} is a zip archive, but not one that torch.save, torch.jit.save or torch.export.save wrote.",
        where=path,
        next_step="Save the model with torch.export.save (.pt2), or its state_dict() with torch.save (.pt).",
    )


def damaged(path: str, detail: str) -> ModelError:
    """The error for a cut-off or random file."""
    return ModelError(
        f"{path} is damaged or is not a PyTorch file: {detail}.",
        where=path,
        next_step="Check that the file was copied completely, or save the model again.",
    )


def refuse_pickle(path: str, found: str) -> ModelError:
    """The error for a file that can only be loaded by running code that is stored in it."""
    return ModelError(
        f"{path} can't be loaded safely: {found}.",
        where=path,
        next_step="If you trust whoever made the file, add --trust-pickle: unpickling can run any code in it. "
        "Otherwise save the state_dict() and give --arch, or save the model with torch.export.save (.pt2).",
    )


def met_objects(error: BaseException) -> bool:
    """Whether torch's weights-only reader met objects that it does not allow, rather than bytes it can't understand."""
    return isinstance(error, pickle.UnpicklingError) and any(text in str(error) for text in _OBJECTS)

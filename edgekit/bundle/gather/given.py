"""What the user says of a model in files: its labels, and how an image becomes its input."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import msgspec.toml

from edgekit.bundle.preprocessing import Interpolation, steps_of
from edgekit.bundle.records import Tensor
from edgekit.errors import BundleError, UsageError
from edgekit.export.inputs import image_layout
from edgekit.records import Preprocess

MAX_LABELS = 100_000
_MAX_LABEL = 1000
_MAX_BYTES = 16 << 20
_MAX_TOML_BYTES = 64 << 10
_MAX_SIDE = 1 << 14
_ONE_PER_LINE = "Give UTF-8 text with one label per line, in the order of the model's classes."
_EXAMPLE = 'For example: height = 224, width = 224, interpolation = "bilinear", each on a line of its own.'


def load_labels(path: Path) -> tuple[str, ...]:
    """One label per line, without spaces around it.

    Raises:
        UsageError: the file can't be read.
        BundleError: it is no UTF-8 text, has an empty line or a control character, or too much of anything.
    """
    content = _read(path, _MAX_BYTES, _ONE_PER_LINE)
    try:
        # Not splitlines(): that also parts at characters which may be in a label.
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise _wrong(path, f"is no UTF-8 text (byte {error.start})", _ONE_PER_LINE) from error
    labels = tuple(line.strip() for line in lines)
    if len(labels) > MAX_LABELS:
        raise _wrong(path, f"has {len(labels)} lines, at most {MAX_LABELS} are read", _ONE_PER_LINE)
    for number, label in enumerate(labels, start=1):
        problem = _label_problem(label)
        if problem:
            raise _wrong(path, f"can't be used: line {number} {problem}", _ONE_PER_LINE)
    return labels


def _label_problem(label: str) -> str:
    if not label:
        return "is empty"
    if len(label) > _MAX_LABEL:
        return f"is longer than {_MAX_LABEL} characters"
    return "" if label.isprintable() else "has a control character"


def check_labels(labels: tuple[str, ...], shape: tuple[int, ...], model: str) -> None:
    """Refuse labels that are not as many as the last axis of the first output.

    Raises:
        BundleError: they are more or fewer.
    """
    classes = shape[-1] if shape else 1
    if len(labels) != classes:
        raise BundleError(
            f"{model} has {classes} classes (its first output has the shape {list(shape)}) and {len(labels)} labels.",
            where="--labels", next_step=_ONE_PER_LINE, classes=classes, labels=len(labels),
        )  # fmt: skip


def load_preprocess(path: Path) -> Preprocess:
    """The preprocessing in a TOML file with the fields of :class:`edgekit.records.Preprocess`.

    Raises:
        UsageError: the file can't be read.
        BundleError: it is no TOML, has a key that is not known, or a value out of bounds.
    """
    content = _read(path, _MAX_TOML_BYTES, _EXAMPLE)
    try:
        made = msgspec.toml.decode(content, type=Preprocess)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise _wrong(path, f"is no preprocessing: {str(error)[:300].rstrip('.')}", _EXAMPLE) from error
    if made.source == "default":
        made = msgspec.structs.replace(made, source="command line")
    problem = _problem(made)
    if problem:
        raise _wrong(path, f"is no preprocessing: {problem}", _EXAMPLE)
    return made


def check_preprocess(preprocess: Preprocess, tensor: Tensor, model: str) -> None:
    """Refuse preprocessing that does not make the model's first input.

    Raises:
        BundleError: the input is no image, or one of another size or number of channels, or the steps can't be the
            same in every language.
    """
    layout = image_layout(tensor.shape)
    if layout is not None and (preprocess.height, preprocess.width) != layout[1:]:
        raise BundleError(
            f"The preprocessing makes images of {preprocess.height} x {preprocess.width}; {model} takes {layout[1]} x "
            f"{layout[2]}.", where="--preprocess", next_step="Correct height and width.",
        )  # fmt: skip
    steps_of(preprocess, tensor)


def _problem(preprocess: Preprocess) -> str:
    if not (1 <= preprocess.height <= _MAX_SIDE and 1 <= preprocess.width <= _MAX_SIDE):
        return f"height and width are whole numbers from 1 to {_MAX_SIDE}"
    if not 0.1 <= preprocess.crop_fraction <= 1.0:
        return "crop_fraction is from 0.1 to 1"
    if preprocess.interpolation not in get_args(Interpolation):
        return f"interpolation is one of {', '.join(get_args(Interpolation))}"
    if not all(math.isfinite(value) for value in (*preprocess.mean, *preprocess.std)):
        return "mean and std are finite numbers"
    if not all(value > 0 for value in preprocess.std):
        return "std is above 0"
    if not preprocess.source.isprintable():
        return "source is one line of text"
    return ""


def _read(path: Path, most: int, next_step: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} can't be read: {reason}.", where=str(path), next_step=next_step) from error
    if len(content) > most:
        raise _wrong(path, f"is larger than {most >> 10} KiB", next_step)
    return content


def _wrong(path: Path, what: str, next_step: str) -> BundleError:
    return BundleError(f"{path.name} {what}.", where=str(path), next_step=next_step)

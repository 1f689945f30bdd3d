"""Values as C: numbers, strings and comments that mean what they say, whatever a model file calls its tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.bundle.preprocessing import Steps
from edgekit.bundle.template import asset
from edgekit.bundle.text import wrapped

_MAX_COMMENT = 120


def string(text: str) -> str:
    """A C string literal of the text as UTF-8. Escapes have three octal digits, so that nothing runs into them."""
    return '"' + "".join(_letter(byte) for byte in text.encode("utf-8", "replace")) + '"'


def comment(text: str) -> str:
    """Text that can't end a comment or a line, nor be read as a command by the tools that read comments."""
    return re.sub(r"[^A-Za-z0-9 ._:,;+=()-]", "_", text)[:_MAX_COMMENT].strip() or "unnamed"


def float32(value: float) -> str:
    """A C constant that reads back as the same float32."""
    return f"{np.float32(value)!s}f"


def array(values: npt.NDArray[Any], spaces: int) -> str:
    """The numbers of a flat array, in lines of at most 120 characters that end with a comma."""
    return wrapped((f"{value}," for value in values.reshape(-1).tolist()), spaces)


def dims(shape: Sequence[int]) -> str:
    """``{1, 8, 8, 3}``; a scalar has one element."""
    return "{" + (", ".join(map(str, shape)) or "1") + "}"


def preprocess_steps(steps: Steps, statistics: str) -> str:
    """The constant ``steps`` of ``ek_preprocess.h``; ``statistics`` are its members with mean and deviation, or the
    table."""
    return asset(
        "preprocess/steps.c", CHANNELS=str(steps.channels), HEIGHT=str(steps.height), WIDTH=str(steps.width),
        CHANNELS_LAST="true" if steps.channels_last else "false", BASE_HEIGHT=str(steps.base_height),
        BASE_WIDTH=str(steps.base_width), INTERPOLATION=f"EK_{steps.interpolation.upper()}", STATISTICS=statistics,
    ).decode()  # fmt: skip


def _letter(byte: int) -> str:
    letter = chr(byte)
    # A question mark may be part of a trigraph.
    return letter if 32 <= byte < 127 and letter not in '"\\?' else f"\\{byte:03o}"

"""The golden data that comes with every variant: what its outputs are held to, and its values as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.bundle.records import Variant
from edgekit.convert.parity import TOLERANCES
from edgekit.records import Tolerance


def tolerance(variant: Variant) -> Tolerance:
    """What its golden outputs are held to: the bounds that parity was judged by, else those of the precision.

    A file made elsewhere, of a precision that nobody knows, is compared with itself on another machine. That leaves
    rounding, of which a step of 8 bits may be the largest: the bounds of fp16.
    """
    return variant.parity.tolerance or TOLERANCES.get(variant.precision, TOLERANCES["fp16"])


def plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array little-endian and in C order, as every machine writes and reads it here."""
    made = np.ascontiguousarray(array)
    return made.astype(made.dtype.newbyteorder("<"), copy=False)

"""Multipliers of fully connected layers: LiteRT 2.3 requantises them in double precision and rounds once.

The kernels have 31 bits of the scale. Where a sum lies so near to a half that those round it the other way (one output
in some millions), a neighbouring multiplier does better: an int8 output has only 255 sums at which it changes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

_TRIED = (0, 1, -1, 2, -2, 3, -3, 4, -4)  # from the nearest multiplier


def agreeing(scales: npt.NDArray[np.float64], multiplier: Int32s, shift: Int32s, output_zp: int) -> Int32s:
    """The multipliers, moved by as little as makes the kernels' rounding that of sum * scale for every int8 output.

    One for which no neighbour does stays as it is. ``scales`` are what ``multiplier`` and ``shift`` stand for, per
    channel.
    """
    scales, first, places = np.unique(scales, return_index=True, return_inverse=True)
    made, shift = multiplier[first].astype(np.int64), shift[first]
    left = np.flatnonzero(made)
    for moved in _TRIED:
        if not left.size:
            break
        tried = made[left] + moved
        valid = (tried >= 1 << 30) & (tried < 1 << 31)
        fine = valid & _agree(scales[left], tried, 31 - shift[left].astype(np.int64), output_zp)
        made[left[fine]] = tried[fine]
        left = left[~fine]
    return made[places.reshape(-1)].astype(np.int32)


def _agree(scales: npt.NDArray[np.float64], multiplier: Int64s, right: Int64s, output_zp: int) -> npt.NDArray[np.bool_]:
    """Per channel, whether both roundings give the same for the two sums around every half."""
    halves = np.arange(-128, 127) + 0.5 - output_zp
    below = np.floor(halves / scales[:, None])
    sums = np.clip(np.stack([below, below + 1], axis=-1), -(2.0**31), 2.0**31 - 1)
    exact = sums * scales[:, None, None]
    wanted = np.copysign(np.floor(np.abs(exact) + 0.5), exact).astype(np.int64)
    product = sums.astype(np.int64) * multiplier[:, None, None]
    half = (np.int64(1) << (right - 1))[:, None, None]
    rounded = (product + half - (product < 0)) >> right[:, None, None]
    agrees: npt.NDArray[np.bool_] = (rounded == wanted).all(axis=(1, 2))
    return agrees

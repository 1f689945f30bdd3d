"""gemmlowp's fixed-point arithmetic on whole arrays: 32-bit (and 16-bit) values held in int64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

INT32_MAX = 2**31 - 1
_INT16_MIN, _INT16_MAX = -(2**15), 2**15 - 1


def high_mul(a: Any, b: Any) -> Any:
    """``SaturatingRoundingDoublingHighMul``: round(a * b / 2**31), halves up as gemmlowp's nudge makes them."""
    return np.minimum((np.asarray(a, np.int64) * b + (1 << 30)) >> 31, INT32_MAX)


def rounding_shift_right(x: Any, exponent: int) -> Any:
    """``RoundingDivideByPOT``: x / 2**exponent, halves away from zero."""
    values = np.asarray(x, np.int64)
    half = (1 << exponent) >> 1
    return np.sign(values) * ((np.abs(values) + half) >> exponent)


def requantise(x: Any, multiplier: int, shift: int) -> Any:
    """``MultiplyByQuantizedMultiplier``: x * multiplier * 2**(shift - 31) with both roundings; shift > 0 is left."""
    if shift > 0:
        return high_mul(wrap(np.asarray(x, np.int64) << shift), multiplier)
    return rounding_shift_right(high_mul(x, multiplier), -shift)


def wrap(x: Any) -> Any:
    """Modulo 2**32, signed."""
    return (np.asarray(x, np.int64) + (1 << 31) & 0xFFFFFFFF) - (1 << 31)


def shift_left(x: Any, exponent: int) -> Any:
    """``SaturatingRoundingMultiplyByPOT`` to the left."""
    return np.clip(np.asarray(x, np.int64) << exponent, -(2**31), INT32_MAX)


def to_int16(multiplier: int) -> int:
    """``DownScaleInt32ToInt16Multiplier``."""
    rounding = 1 << 15
    return _INT16_MAX if multiplier >= INT32_MAX - rounding else (multiplier + rounding) >> 16


def saturate16(x: Int64s) -> Int64s:
    """Clamped to int16."""
    return np.clip(x, _INT16_MIN, _INT16_MAX)


def high_mul16(a: Int64s, b: int) -> Int64s:
    """round(a * b / 2**15) of int16 values, halves up."""
    return saturate16((a * b + (1 << 14)) >> 15)


def exp_of_negative(x: Int64s) -> Int64s:
    """``exp_on_negative_values``: exp(x) for x <= 0 in Q5.26; the result is in Q0.31."""
    quarter = 1 << 24
    within = (x & (quarter - 1)) - quarter  # in [-1/4, 0)
    result = _exp_of_quarter(within << 5)
    remainder = within - x
    # exp(-2**k) in Q0.31 for the bits above a quarter.
    for k, factor in ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401),
                      (4, 242)):  # fmt: skip
        result = np.where(remainder & (1 << (26 + k)), high_mul(result, factor), result)
    return np.where(x == 0, INT32_MAX, result)


def _exp_of_quarter(a: Int64s) -> Int64s:
    """exp(a) for a in [-1/4, 0), Q0.31: a Taylor series around -1/8."""
    constant, third = 1895147668, 715827883  # exp(-1/8), 1/3
    x = a + (1 << 28)
    x2 = high_mul(x, x)
    x3, x4 = high_mul(x2, x), high_mul(x2, x2)
    quartic = high_mul(rounding_shift_right(x4, 2) + x3, third)
    made: Int64s = constant + high_mul(constant, x + rounding_shift_right(quartic + x2, 1))
    return made


def inverse_square_root(value: int) -> tuple[int, int]:
    """``GetInvSqrtQuantizedMultiplierExp`` for value >= 1: multiplier and shift of 1 / sqrt(value)."""
    if value <= 1:
        return INT32_MAX, 0
    shift = 11
    while value >= 1 << 29:
        value //= 4
        shift += 1
    pairs = (31 - value.bit_length()) // 2 - 1
    shift -= pairs
    half = int(rounding_shift_right((value << 2 * pairs) >> 1, 1))
    x = 1 << 28  # Newton and Raphson in Q3.28, from 1
    for _ in range(5):
        cube = int(shift_left(high_mul(high_mul(x, x), x), 6))
        x = int(shift_left(int(high_mul((1 << 28) + (1 << 27), x)) - int(high_mul(half, cube)), 3))
    x = int(high_mul(x, 1518500250))  # sqrt(2) / 2
    if shift < 0:
        x, shift = x << -shift, 0
    return x, -shift

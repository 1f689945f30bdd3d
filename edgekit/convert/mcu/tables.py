"""Functions of one int8 value as tables of 256, computed as LiteRT's reference kernels compute them.

Every function takes the operator's options and the quantisations of its input and output and gives int8[256], in the
order of the stored value as an unsigned byte (0 to 127, then -128 to -1).

Two families: tables that LiteRT itself makes in float32 (``LUTPopulate``), and functions that it evaluates in fixed
point per element. Transcendental functions are taken in double precision and rounded to float32 once, where LiteRT
calls the platform's float32 function: they could differ only where that function's last bit decides a rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu import fixed_point
from edgekit.convert.mcu.arithmetic import INT8_MAX, INT8_MIN, quantize_multiplier, round_away
from edgekit.convert.mcu.graph import Quantisation

Int8s = npt.NDArray[np.int8]
Singles = npt.NDArray[np.float32]
Options = Mapping[str, Any]
Table = Callable[[Options, Quantisation, Quantisation], Int8s]

_single = np.float32


def stored_values() -> npt.NDArray[np.int64]:
    """The stored values in the table's order."""
    return np.arange(256).astype(np.uint8).view(np.int8).astype(np.int64)


def _stored(values: npt.NDArray[Any]) -> Int8s:
    clipped: Int8s = np.clip(values, INT8_MIN, INT8_MAX).astype(np.int8)
    return clipped


def _sampled(function: Callable[[Singles], Singles], source: Quantisation, target: Quantisation) -> Int8s:
    """``LUTPopulate``: all in float32, halves away from zero.

    Raises:
        OverflowError: a value leaves int32, where LiteRT's conversion is undefined.
    """
    real = _single(source.scale) * (stored_values() - source.zero_point).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = function(real) * (_single(1) / _single(target.scale))
        # In double precision adding the half is exact.
        rounded = np.copysign(np.floor(np.abs(scaled.astype(np.float64)) + 0.5), scaled)
        result = rounded.astype(np.float32) + _single(target.zero_point)
    if not np.all(np.abs(result) < 2.0**31):
        raise OverflowError("its values are too large for the scale of its output")
    return _stored(result)


def _in_double(function: Callable[[Any], Any]) -> Callable[[Singles], Singles]:
    def rounded_once(x: Singles) -> Singles:
        made: Singles = np.asarray(function(x.astype(np.float64)), np.float64).astype(np.float32)
        return made

    return rounded_once


_exp, _tanh, _expm1 = _in_double(np.exp), _in_double(np.tanh), _in_double(np.expm1)
_erfc = _in_double(np.vectorize(math.erfc, otypes=[np.float64]))


def logistic(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """1 / (1 + exp(-x))."""
    return _sampled(lambda x: _single(1) / (_single(1) + _exp(-x)), source, target)


def tanh(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """tanh(x)."""
    return _sampled(_tanh, source, target)


def exp(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """exp(x)."""
    return _sampled(_exp, source, target)


def elu(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """x, or exp(x) - 1 where x is negative."""
    return _sampled(lambda x: np.where(x < 0, _expm1(np.minimum(x, _single(0))), x), source, target)


def gelu(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """x times the normal distribution function, or the form with tanh (option ``approximate``)."""
    return _sampled(_gelu_tanh if options["approximate"] else _gelu_erfc, source, target)


def _gelu_erfc(x: Singles) -> Singles:
    made: Singles = _single(0.5) * x * _erfc(x * _single(-math.sqrt(0.5)))
    return made


def _gelu_tanh(x: Singles) -> Singles:
    inner = _single(math.sqrt(2 / math.pi)) * (x + _single(0.044715) * x * x * x)
    made: Singles = _single(0.5) * x * (_single(1) + _tanh(inner))
    return made


def relu(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """max(x, 0), requantised."""
    return _clamped(source, target, 0.0, None)


def relu6(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """x between 0 and 6, requantised."""
    return _clamped(source, target, 0.0, 6.0)


def relu_n1_to_1(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """x between -1 and 1, requantised."""
    return _clamped(source, target, -1.0, 1.0)


def relu_0_to_1(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """x between 0 and 1, requantised."""
    return _clamped(source, target, 0.0, 1.0)


def _clamped(source: Quantisation, target: Quantisation, low: float, high: float | None) -> Int8s:
    multiplier, shift = quantize_multiplier(float(_single(source.scale) / _single(target.scale)))
    values = fixed_point.requantise(stored_values() - source.zero_point, multiplier, shift) + target.zero_point
    least = max(INT8_MIN, target.zero_point + _steps(low, target))
    greatest = INT8_MAX if high is None else min(INT8_MAX, target.zero_point + _steps(high, target))
    clamped: Int8s = np.minimum(np.maximum(values, least), greatest).astype(np.int8)
    return clamped


def _steps(value: float, target: Quantisation) -> int:
    return round_away(float(_single(value) / _single(target.scale)))


def leaky_relu(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """x, or alpha * x where x is negative."""
    ratio = _single(source.scale) / _single(target.scale)
    product = _single(source.scale) * _single(options["alpha"]) / _single(target.scale)
    x = stored_values() - source.zero_point
    positive = fixed_point.requantise(x, *quantize_multiplier(float(ratio)))
    negative = fixed_point.requantise(x, *quantize_multiplier(abs(float(product)))) * (-1 if product < 0 else 1)
    return _stored(np.where(x >= 0, positive, negative) + target.zero_point)


def absolute(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """|x|."""
    magnitude = np.abs(stored_values() - source.zero_point)
    if _single(source.scale) != _single(target.scale):
        ratio = float(_single(source.scale) / _single(target.scale))
        magnitude = fixed_point.requantise(magnitude, *quantize_multiplier(ratio))
    return _stored(magnitude + target.zero_point)


def negated(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """-x. LiteRT negates the stored values, -128 to itself.

    Raises:
        OverflowError: that is not -x with these zero points or scales.
    """
    if source != target or source.zero_point:
        raise OverflowError("it negates stored values, so its tensors need one scale and the zero point 0")
    wrapped: Int8s = (-stored_values()).astype(np.int8)
    return wrapped


def requantised(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """x in another quantisation (QUANTIZE from int8 to int8)."""
    ratio = float(_single(source.scale)) / float(_single(target.scale))
    values = fixed_point.requantise(stored_values() - source.zero_point, *quantize_multiplier(ratio))
    return _stored(values + target.zero_point)


def hard_swish(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """x * relu6(x + 3) / 6 in 16-bit fixed point.

    Raises:
        OverflowError: the output's scale is too small for LiteRT's kernel.
    """
    fine = _single(1 / 128) * _single(source.scale)
    output, output_exponent = quantize_multiplier(float(fine / _single(target.scale)))
    gate, gate_exponent = quantize_multiplier(float(fine / _single(3 / 32768)))
    if output_exponent > 0:
        raise OverflowError("its output's scale is less than 1/128 of its input's")
    x = (stored_values() - source.zero_point) * 128
    scaled = fixed_point.high_mul16(x, fixed_point.to_int16(output))
    opened = x
    if gate_exponent > 0:
        opened = fixed_point.saturate16(opened << (gate_exponent - 1))
    opened = fixed_point.high_mul16(opened, fixed_point.to_int16(gate))
    if gate_exponent > 0:
        opened = fixed_point.saturate16(opened << 1)
    elif gate_exponent < 0:
        opened = fixed_point.rounding_shift_right(opened, -gate_exponent)
    opened = (opened + (1 << 15)) >> 1
    product = opened * scaled
    truncated = np.sign(product) * (np.abs(product) >> 15)
    return _stored(fixed_point.rounding_shift_right(truncated, -output_exponent) + target.zero_point)


def rsqrt(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """1 / sqrt(x), the greatest value for 0. LiteRT stops at negative values; here they count as 0."""
    root = np.sqrt(_single(source.scale))
    multiplier, shift = quantize_multiplier(1.0 / float(root * _single(target.scale)))
    made = []
    for value in (stored_values() - source.zero_point).tolist():
        if value <= 0:
            made.append(INT8_MAX)
            continue
        inverse, inverse_shift = fixed_point.inverse_square_root(value)
        fine = fixed_point.requantise(np.int64(1), inverse, inverse_shift + 20)
        made.append(int(fixed_point.requantise(fine, multiplier, shift - 20)) + target.zero_point)
    return _stored(np.array(made))


def given(options: Options, source: Quantisation, target: Quantisation) -> Int8s:
    """What several operators together compute (legalise/functions.py)."""
    table: Int8s = options["table"]
    return table


LOOKUP = "LOOKUP"  # no operator of LiteRT's
TABLES: dict[str, Table] = {
    "ABS": absolute,
    "ELU": elu,
    "EXP": exp,
    "GELU": gelu,
    "HARD_SWISH": hard_swish,
    "LEAKY_RELU": leaky_relu,
    "LOGISTIC": logistic,
    LOOKUP: given,
    "NEG": negated,
    "QUANTIZE": requantised,
    "RELU": relu,
    "RELU6": relu6,
    "RELU_0_TO_1": relu_0_to_1,
    "RELU_N1_TO_1": relu_n1_to_1,
    "RSQRT": rsqrt,
    "TANH": tanh,
}


def exponentials(beta: float, source: Quantisation) -> npt.NDArray[np.int32]:
    """Softmax: exp(beta * scale * -d) for d = 0 ... 255 in Q0.31, 0 where the reference leaves the value out.

    Raises:
        OverflowError: beta times the scale is so small that LiteRT's kernel refuses it.
    """
    real = min(float(_single(beta)) * float(_single(source.scale)) * (1 << 26), (1 << 31) - 1.0)
    if real <= 1.0:
        raise OverflowError("beta times the scale of its input is less than 2**-26")
    multiplier, shift = quantize_multiplier(real)
    least = -math.floor(31.0 * (1 << 26) / (1 << shift))
    differences = -np.arange(256, dtype=np.int64)
    # What is left out may not fit 32 bits.
    scaled = fixed_point.high_mul(np.maximum(differences, least) << shift, multiplier)
    values = fixed_point.exp_of_negative(scaled)
    return np.where(differences >= least, values, 0).astype(np.int32)

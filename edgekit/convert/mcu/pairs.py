"""Operators of two int8 values: their multipliers, and their results as LiteRT's reference kernels compute them.

Scales are float32. Where a function of quantisations raises ArithmeticError, LiteRT has no result for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu import arithmetic, fixed_point
from edgekit.convert.mcu.arithmetic import quantize_multiplier
from edgekit.convert.mcu.graph import Quantisation

Int64s = npt.NDArray[np.int64]
Fields = dict[str, int]
Options = Mapping[str, Any]

_SUM_LEFT, _SQUARE_LEFT = 20, 7  # bits by which operands are shifted to the left before they are scaled

_single = np.float32


def sum_fields(a: Quantisation, b: Quantisation, output: Quantisation) -> Fields:
    """ADD and SUB: the fields of ek_add that follow from the quantisations, but for the clamp.

    Raises:
        ArithmeticError: the scales differ too much.
    """
    fields, twice = _operand_fields(a, b, output)
    return {**fields, **_output_below_one(twice / (float(1 << _SUM_LEFT) * arithmetic.single(output.scale)))}


def product_fields(a: Quantisation, b: Quantisation, output: Quantisation) -> Fields:
    """MUL: as :func:`sum_fields`, of ek_mul. The reference multiplies and divides the scales in float32."""
    multiplier, shift = quantize_multiplier(float(_single(a.scale) * _single(b.scale) / _single(output.scale)))
    return {**_zero_points(a, b, output), "multiplier": multiplier, "shift": shift}


def squared_difference_fields(a: Quantisation, b: Quantisation, output: Quantisation) -> Fields:
    """SQUARED_DIFFERENCE: the fields of ek_squared_difference that follow from the quantisations.

    Raises:
        ArithmeticError: the scales differ too much.
    """
    fields, twice = _operand_fields(a, b, output)
    scale = float(_single(1 << 2 * _SQUARE_LEFT) * _single(output.scale))
    return {**fields, **_output_below_one(twice * twice / scale)}


def extreme_fields(a: Quantisation, b: Quantisation, output: Quantisation) -> Fields:
    """MINIMUM and MAXIMUM: none.

    Raises:
        ArithmeticError: the quantisations differ.
    """
    if not a == b == output:
        raise ArithmeticError("it compares stored values, and its tensors differ in scale or zero point")
    return {}


def prelu_fields(a: Quantisation, b: Quantisation, output: Quantisation) -> Fields:
    """PRELU, ``b`` being alpha: the fields of ek_prelu that follow from the quantisations."""
    source, alpha, target = (_single(q.scale) for q in (a, b, output))
    positive = quantize_multiplier(float(source / target))
    negative = quantize_multiplier(float(source * alpha / target))
    return {
        "input_zp": a.zero_point, "alpha_zp": b.zero_point, "output_zp": output.zero_point,
        "positive_multiplier": positive[0], "positive_shift": positive[1],
        "negative_multiplier": negative[0], "negative_shift": negative[1],
    }  # fmt: skip


def clamp(options: Options, output: Quantisation) -> tuple[int, int]:
    """(act_min, act_max) of the fused activation, which may be missing from the options.

    Raises:
        ArithmeticError: no int8 kernel has that activation, or no int8 value lies in its range.
    """
    function = options.get("fused_activation_function", "NONE")
    if function not in arithmetic.FUSED_ACTIVATIONS:
        raise ArithmeticError(f"its fused activation is {function}")
    low, high = arithmetic.activation_range(function, output)
    if low > high:
        raise ArithmeticError(f"the range of its fused {function} lies outside int8 at this scale")
    return low, high


def _zero_points(a: Quantisation, b: Quantisation, output: Quantisation) -> Fields:
    return {"a_zp": a.zero_point, "b_zp": b.zero_point, "output_zp": output.zero_point}


def _operand_fields(a: Quantisation, b: Quantisation, output: Quantisation) -> tuple[Fields, float]:
    """Zero points and the operands' multipliers; twice the larger scale, to which they are scaled."""
    twice = 2 * float(max(_single(a.scale), _single(b.scale)))
    fields = _zero_points(a, b, output)
    for name, operand in (("a", a), ("b", b)):
        multiplier, shift = quantize_multiplier(arithmetic.single(operand.scale) / twice)
        fields.update({f"{name}_multiplier": multiplier, f"{name}_shift": shift})
    return fields, twice


def _output_below_one(value: float) -> Fields:
    """LiteRT's kernels insist on a multiplier below 1 here."""
    multiplier, shift = quantize_multiplier(value)
    if not 0.0 < value < 1.0 or shift > 0:
        raise ArithmeticError(f"its scales differ too much (a multiplier of {value:.3g})")
    return {"output_multiplier": multiplier, "output_shift": shift}


def _scaled(name: str, values: Int64s, fields: Fields, left: int) -> Int64s:
    less = (values - fields[f"{name}_zp"]) << left
    made: Int64s = fixed_point.requantise(less, fields[f"{name}_multiplier"], fields[f"{name}_shift"])
    return made


def _output(values: Int64s, fields: Fields) -> Int64s:
    made: Int64s = fixed_point.requantise(values, fields["output_multiplier"], fields["output_shift"])
    return made + fields["output_zp"]


def _sum(a: Int64s, b: Int64s, fields: Fields) -> Int64s:
    return _output(_scaled("a", a, fields, _SUM_LEFT) + _scaled("b", b, fields, _SUM_LEFT), fields)


def _difference(a: Int64s, b: Int64s, fields: Fields) -> Int64s:
    return _output(_scaled("a", a, fields, _SUM_LEFT) - _scaled("b", b, fields, _SUM_LEFT), fields)


def _product(a: Int64s, b: Int64s, fields: Fields) -> Int64s:
    product = (a - fields["a_zp"]) * (b - fields["b_zp"])
    made: Int64s = fixed_point.requantise(product, fields["multiplier"], fields["shift"])
    return made + fields["output_zp"]


def _squared_difference(a: Int64s, b: Int64s, fields: Fields) -> Int64s:
    difference = _scaled("a", a, fields, _SQUARE_LEFT) - _scaled("b", b, fields, _SQUARE_LEFT)
    return _output(difference * difference, fields)


def _prelu(x: Int64s, alpha: Int64s, fields: Fields) -> Int64s:
    less = x - fields["input_zp"]
    positive = fixed_point.requantise(less, fields["positive_multiplier"], fields["positive_shift"])
    product = less * (alpha - fields["alpha_zp"])
    negative = fixed_point.requantise(product, fields["negative_multiplier"], fields["negative_shift"])
    made: Int64s = np.where(less >= 0, positive, negative) + fields["output_zp"]
    return made


@dataclass(frozen=True)
class Pair:
    """One kind of operator: its fields by the quantisations of operands and output, and its value before the clamp."""

    fields: Callable[[Quantisation, Quantisation, Quantisation], Fields]
    value: Callable[[Int64s, Int64s, Fields], Int64s]


PAIRS: dict[str, Pair] = {
    "ADD": Pair(sum_fields, _sum),
    "MAXIMUM": Pair(extreme_fields, lambda a, b, _: np.maximum(a, b)),
    "MINIMUM": Pair(extreme_fields, lambda a, b, _: np.minimum(a, b)),
    "MUL": Pair(product_fields, _product),
    "PRELU": Pair(prelu_fields, _prelu),
    "SQUARED_DIFFERENCE": Pair(squared_difference_fields, _squared_difference),
    "SUB": Pair(sum_fields, _difference),
}


def result(
    kind: str, options: Options, values: tuple[Int64s, Int64s], scales: tuple[Quantisation, Quantisation, Quantisation]
) -> Int64s:
    """What a kind of :data:`PAIRS` stores for stored values of its operands, which are broadcast.

    Args:
        kind: the operator's.
        options: the operator's, of which the fused activation counts.
        values: of both operands, -128 to 127.
        scales: the quantisations of both operands and of the output.

    Raises:
        ArithmeticError: LiteRT has no result for these quantisations or options.
    """
    pair = PAIRS[kind]
    low, high = clamp(options, scales[2])
    # int32 that overflows wraps around, as it does in the kernels.
    stored: Int64s = np.clip(fixed_point.wrap(pair.value(*values, pair.fields(*scales))), low, high)
    return stored

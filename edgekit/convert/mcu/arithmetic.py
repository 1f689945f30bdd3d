"""LiteRT's int8 arithmetic as far as it happens before the model runs: multipliers, ranges and paddings.

Numbers must come out as ``tensorflow/lite/kernels/internal/quantization_util.cc`` and ``kernel_util.cc`` make them, to
the last bit: scales are float32, their products and quotients are taken in double precision (or in float32 where LiteRT
does so), and halves are rounded away from zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.graph import Quantisation

Int32s = npt.NDArray[np.int32]

INT8_MIN, INT8_MAX = -128, 127


def round_away(value: float) -> int:
    """The nearest whole number, halves away from zero (C's ``round``)."""
    whole = math.floor(abs(value))
    whole += abs(value) - whole >= 0.5
    return int(math.copysign(whole, value))


def quantize_multiplier(value: float) -> tuple[int, int]:
    """``QuantizeMultiplier``: value = multiplier * 2 ** (shift - 31) with the multiplier in [2**30, 2**31), or (0, 0).

    A shift > 0 is to the left. Values below 2**-32 become 0; too large ones are the greatest that there is.
    """
    if value == 0.0:
        return 0, 0
    fraction, shift = math.frexp(value)
    fixed = round_away(fraction * 2.0**31)
    if fixed == 2**31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return 2**31 - 1, 30
    return fixed, shift


def channel_multipliers(
    input_scale: float, weight_scales: Sequence[float], output_scale: float, channels: int
) -> tuple[Int32s, Int32s]:
    """(multiplier, shift) per output channel: ``PopulateConvolutionQuantizationParams``, also for fully connected.

    One weight scale stands for all channels.
    """
    scales = list(weight_scales) * (channels if len(weight_scales) == 1 else 1)
    made = {
        scale: quantize_multiplier(single(input_scale) * single(scale) / single(output_scale)) for scale in set(scales)
    }
    multiplier, shift = zip(*(made[scale] for scale in scales), strict=True)
    return np.array(multiplier, np.int32), np.array(shift, np.int32)


def single(scale: float) -> float:
    """The value that a scale has in the file: a float32."""
    return float(np.float32(scale))


def quantize(value: float, quantisation: Quantisation) -> int:
    """Where a real number lies in a tensor, not yet clamped: ``zero_point + round(value / scale)`` in float32."""
    quotient = np.float32(value) / np.float32(quantisation.scale)
    return quantisation.zero_point + round_away(float(quotient)) if np.isfinite(quotient) else 2**31


def activation_range(function: str, output: Quantisation) -> tuple[int, int]:
    """``CalculateActivationRangeQuantized`` for int8: the least and greatest stored value.

    Raises:
        KeyError: no such fused activation.
    """
    low, high = _ACTIVATIONS[function]
    least = INT8_MIN if low is None else max(INT8_MIN, quantize(low, output))
    greatest = INT8_MAX if high is None else min(INT8_MAX, quantize(high, output))
    return least, greatest


_ACTIVATIONS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}
FUSED_ACTIVATIONS = frozenset(_ACTIVATIONS)


def output_size(padding: str, size: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """``ComputeOutSize``: how many windows there are along one axis; padding is SAME or VALID."""
    reach = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == "SAME" else -(-(size + 1 - reach) // stride)


def padding_before(size: int, output: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """``ComputePaddingWithOffset``: positions before the first input, the lesser half."""
    reach = (kernel - 1) * dilation + 1
    return max(0, ((output - 1) * stride + reach - size) // 2)

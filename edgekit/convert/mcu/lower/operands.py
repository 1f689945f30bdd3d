"""What lowerings ask of an operator's tensors and options; each refuses what it can't give."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu import arithmetic, pairs
from edgekit.convert.mcu.graph import Operator, Quantisation, Tensor
from edgekit.convert.mcu.lower.context import Context

EXPLICIT = "EXPLICIT"  # padding that a folded PAD left behind: options pad_top and pad_left


def constant(operator: Operator, context: Context, place: int, *, dtype: str = "int8") -> npt.NDArray[Any]:
    """The values of the operator's input number ``place``, which must be a constant of that dtype."""
    number = operator.inputs[place] if place < len(operator.inputs) else -1
    tensor = context.tensor(number) if number >= 0 else None
    if tensor is None or tensor.data is None:
        raise context.refuse(operator, f"its input {place} is not a constant")
    if tensor.dtype != dtype:
        raise context.refuse(operator, f"its input {place} is {tensor.dtype} where {dtype} was expected")
    return tensor.data


def per_tensor(operator: Operator, context: Context, number: int) -> Quantisation:
    """The quantisation of an int8 tensor with one scale."""
    tensor = context.tensor(number)
    quantisation = tensor.quantisation
    if tensor.dtype != "int8" or quantisation is None or len(quantisation.scales) != 1:
        raise context.refuse(operator, f'"{tensor.name}" is not int8 with one scale')
    return quantisation


def activation(operator: Operator, context: Context, output: Quantisation) -> tuple[int, int]:
    """(act_min, act_max) of the fused activation, which may be missing from the options."""
    try:
        return pairs.clamp(operator.options, output)
    except ArithmeticError as error:
        raise context.refuse(operator, str(error)) from error


def image(operator: Operator, context: Context, tensor: Tensor) -> tuple[int, int, int, int]:
    """(1, height, width, channels) of an NHWC tensor."""
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or not all(tensor.shape):
        raise context.refuse(
            operator, f'"{tensor.name}" has the shape {tensor.shape}, not (1, height, width, channels)'
        )
    one, height, width, channels = tensor.shape
    return one, height, width, channels


def padding(
    operator: Operator,
    context: Context,
    size: tuple[int, int],
    output: tuple[int, int],
    kernel: tuple[int, int],
    dilations: tuple[str, str] | None = None,
) -> tuple[int, int]:
    """(top, left) padding of a window; refuses options from which ``output`` does not follow.

    Sizes are (height, width); ``dilations`` names the two options, if the operator has them.
    """
    options = operator.options
    before = []
    for axis, name in enumerate(("stride_h", "stride_w")):
        stride, dilation = options[name], options[dilations[axis]] if dilations else 1
        if min(stride, dilation, kernel[axis]) < 1 or max(stride, dilation, kernel[axis]) > np.iinfo(np.int16).max:
            raise context.refuse(operator, f"its window is {kernel}, {name} {stride}, dilation {dilation}")
        if options["padding"] == EXPLICIT:
            before.append(options[("pad_top", "pad_left")[axis]])
            continue
        expected = arithmetic.output_size(options["padding"], size[axis], kernel[axis], stride, dilation)
        if expected != output[axis]:
            raise context.refuse(operator, f"its output is {output} (height, width) where {expected} follows")
        before.append(arithmetic.padding_before(size[axis], output[axis], kernel[axis], stride, dilation))
    return before[0], before[1]

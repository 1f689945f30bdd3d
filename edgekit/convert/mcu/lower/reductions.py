"""MEAN and REDUCE_MAX over any axes.

SUM is left out: LiteRT 2.3's reference kernel takes int8 for uint8 there, so that no result could be held against it.
Only that over axes of size 1 is known, as a view (legalise/views.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgekit.convert.mcu.arithmetic import quantize_multiplier
from edgekit.convert.mcu.graph import Operator
from edgekit.convert.mcu.lower import geometry, operands
from edgekit.convert.mcu.lower.context import Context, kernel_step
from edgekit.convert.mcu.steps import Overlap, Step

_RANK = 3
_MOST_SUMMED = 1 << 22  # EK_MOST_SUMMED


def mean(operator: Operator, context: Context) -> list[Step]:
    """The mean of the real values, requantised."""
    source = operands.per_tensor(operator, context, operator.inputs[0])
    target = operands.per_tensor(operator, context, operator.outputs[0])
    axes = _axes(operator, context)
    shape = context.tensor(operator.inputs[0]).shape
    multiplier, shift = quantize_multiplier(float(np.float32(source.scale)) / float(np.float32(target.scale)))
    count = math.prod(shape[axis] for axis in axes)
    if not count:
        raise context.refuse(operator, f"it reduces {shape} over the axes {axes}")
    multiplier, shift = _divided(multiplier, shift, count)
    fields = {
        "input_zp": source.zero_point, "output_zp": target.zero_point, "multiplier": multiplier, "shift": shift,
    }  # fmt: skip
    return [_step("reduce", operator, context, axes, fields)]


def reduce_max(operator: Operator, context: Context) -> list[Step]:
    """The greatest stored value."""
    source = operands.per_tensor(operator, context, operator.inputs[0])
    if source != operands.per_tensor(operator, context, operator.outputs[0]):
        raise context.refuse(operator, "its input and output differ in scale or zero point")
    return [_step("reduce_max", operator, context, _axes(operator, context), {})]


def _divided(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """The multiplier with 1 / count in it, as the reference's QuantizedMeanOrSum makes it."""
    more = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << more) // count, shift - more


def _axes(operator: Operator, context: Context) -> list[int]:
    values = operands.constant(operator, context, 1, dtype="int32").reshape(-1).tolist()
    rank = len(context.tensor(operator.inputs[0]).shape)
    if any(not -rank <= axis < rank for axis in values):
        raise context.refuse(operator, f"its axes are {values} where the input has {rank} dimensions")
    return sorted({axis % rank for axis in values})


def _step(kernel: str, operator: Operator, context: Context, axes: Sequence[int], fields: dict[str, int]) -> Step:
    shape = context.tensor(operator.inputs[0]).shape
    count = math.prod(shape[axis] for axis in axes)
    outputs = math.prod(context.tensor(operator.outputs[0]).shape)
    if not outputs or outputs * count != math.prod(shape) or count > _MOST_SUMMED:
        raise context.refuse(operator, f"it reduces {shape} over the axes {list(axes)}")
    strides = geometry.dense_strides(shape)
    stays = [axis for axis in range(len(shape)) if axis not in axes]
    kept, (kept_strides,) = geometry.merge([shape[a] for a in stays], [strides[a] for a in stays])
    gone, (gone_strides,) = geometry.merge([shape[a] for a in axes], [strides[a] for a in axes])
    kept, kept_strides = geometry.fixed_rank(operator, context, _RANK, kept, kept_strides)
    gone, gone_strides = geometry.fixed_rank(operator, context, _RANK, gone, gone_strides)
    read, made = context.buffer(operator.inputs[0]), context.buffer(operator.outputs[0])
    # Where only the last dimensions vanish the input is read once from front to back.
    in_order = stays == list(range(len(stays))) or all(shape[a] == 1 for a in axes)
    return kernel_step(
        operator,
        kernel,
        {
            **geometry.numbered(kept=kept, kept_strides=kept_strides, reduced=gone, reduced_strides=gone_strides),
            **fields,
        },
        {"input": read, "output": made},
        overlaps=(Overlap(read, made, 0),) if in_order else (),
    )

"""Functions of one int8 value (as tables) and SOFTMAX."""

from __future__ import annotations

import math

from edgekit.convert.mcu import tables
from edgekit.convert.mcu.graph import Operator
from edgekit.convert.mcu.lower import operands
from edgekit.convert.mcu.lower.context import Context, kernel_step
from edgekit.convert.mcu.steps import Overlap, Step

_SOFTMAX_MOST = 4095  # EK_SOFTMAX_MOST


def lookup(operator: Operator, context: Context) -> list[Step]:
    """Any operator that tables.TABLES knows."""
    return [lookup_step(operator, context, operator.inputs[0], operator.outputs[0])]


def lookup_step(operator: Operator, context: Context, read_number: int, made_number: int) -> Step:
    """The operator's table applied to one tensor."""
    source = operands.per_tensor(operator, context, read_number)
    target = operands.per_tensor(operator, context, made_number)
    try:
        table = tables.TABLES[operator.kind](operator.options, source, target)
    except OverflowError as error:
        raise context.refuse(operator, str(error)) from error
    count = math.prod(context.tensor(made_number).shape)
    if count != math.prod(context.tensor(read_number).shape) or not count:
        raise context.refuse(operator, "its input and output differ in size, or are empty")
    read, made = context.buffer(read_number), context.buffer(made_number)
    return kernel_step(
        operator,
        "lookup",
        {"count": count},
        {"input": read, "output": made},
        overlaps=(Overlap(read, made, 0),),
        data={"table": table},
    )


def softmax(operator: Operator, context: Context) -> list[Step]:
    """Over the last dimension."""
    source = operands.per_tensor(operator, context, operator.inputs[0])
    target = operands.per_tensor(operator, context, operator.outputs[0])
    shape = context.tensor(operator.inputs[0]).shape
    if not shape or not math.prod(shape) or shape[-1] > _SOFTMAX_MOST:
        raise context.refuse(operator, f"it takes rows of 1 to {_SOFTMAX_MOST} values, not {shape}")
    if target.zero_point != -128 or abs(target.scale * 256 - 1) > 0.001:
        raise context.refuse(operator, "its output has not the scale 1/256 and the zero point -128")
    try:
        table = tables.exponentials(operator.options["beta"], source)
    except OverflowError as error:
        raise context.refuse(operator, str(error)) from error
    read, made = context.buffer(operator.inputs[0]), context.buffer(operator.outputs[0])
    step = kernel_step(
        operator,
        "softmax",
        {"rows": math.prod(shape[:-1]), "depth": shape[-1]},
        {"input": read, "output": made},
        overlaps=(Overlap(read, made, 0),),
        data={"table": table},
    )
    return [step]

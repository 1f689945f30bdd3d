"""Operators of two operands with broadcasting: ADD, SUB, MUL, SQUARED_DIFFERENCE, MINIMUM, MAXIMUM, PRELU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.convert.mcu import pairs
from edgekit.convert.mcu.graph import Operator, Quantisation
from edgekit.convert.mcu.lower import geometry, operands
from edgekit.convert.mcu.lower.context import Context, kernel_step
from edgekit.convert.mcu.steps import Overlap, Step

_RANK = 5


def add(operator: Operator, context: Context) -> list[Step]:
    """int8 addition, each operand with its own scale."""
    return _activated("add", operator, context, subtract=0)


def sub(operator: Operator, context: Context) -> list[Step]:
    """int8 subtraction, each operand with its own scale."""
    return _activated("add", operator, context, subtract=1)


def mul(operator: Operator, context: Context) -> list[Step]:
    """int8 multiplication."""
    return _activated("mul", operator, context)


def squared_difference(operator: Operator, context: Context) -> list[Step]:
    """(a - b)^2, each operand with its own scale."""
    return _step("squared_difference", operator, context)


def minimum(operator: Operator, context: Context) -> list[Step]:
    """The lesser stored value."""
    return _step("minmax", operator, context, maximum=0)


def maximum(operator: Operator, context: Context) -> list[Step]:
    """The greater stored value."""
    return _step("minmax", operator, context, maximum=1)


def prelu(operator: Operator, context: Context) -> list[Step]:
    """x, or alpha * x where x is negative."""
    return _step("prelu", operator, context)


def _activated(kernel: str, operator: Operator, context: Context, **fields: int) -> list[Step]:
    output = operands.per_tensor(operator, context, operator.outputs[0])
    low, high = operands.activation(operator, context, output)
    return _step(kernel, operator, context, **fields, act_min=low, act_max=high)


def _step(kernel: str, operator: Operator, context: Context, **fields: int) -> list[Step]:
    """The kernel call; ``fields`` are those of the record that don't follow from shapes and quantisations."""
    pair = _pair(operator, context, commutes=operator.kind not in ("SUB", "PRELU"))
    try:
        scaled = pairs.PAIRS[operator.kind].fields(pair.a, pair.b, pair.output)
    except ArithmeticError as error:
        raise context.refuse(operator, str(error)) from error
    return [pair.step(kernel, {**scaled, **fields})]


@dataclass(frozen=True)
class _Pair:
    """Two operands and an output: what the records of these operators begin with, and how memory may be shared."""

    operator: Operator
    a: Quantisation
    b: Quantisation
    output: Quantisation
    fields: dict[str, int]
    offsets: dict[str, int]
    data: dict[str, Any]
    overlaps: tuple[Overlap, ...]

    def step(self, kernel: str, fields: dict[str, int]) -> Step:
        """The kernel call, with the record's further fields."""
        return kernel_step(
            self.operator, kernel, {**self.fields, **fields}, self.offsets, overlaps=self.overlaps, data=self.data
        )


def _pair(operator: Operator, context: Context, *, commutes: bool) -> _Pair:
    if len(operator.inputs) != 2 or len(operator.outputs) != 1 or min(operator.inputs) < 0:
        raise context.refuse(operator, f"it has {len(operator.inputs)} inputs and {len(operator.outputs)} outputs")
    numbers = list(operator.inputs)
    shape = context.tensor(operator.outputs[0]).shape
    try:
        strides = [geometry.broadcast_strides(context.tensor(n).shape, shape) for n in numbers]
    except ValueError as error:
        raise context.refuse(operator, str(error)) from error
    dims, walks = geometry.merge(shape, *strides)
    if commutes and walks[0] and walks[0][-1] == 0:  # kernels do less work for a repeated second operand
        numbers.reverse()
        walks.reverse()
    dims, a_strides, b_strides = geometry.fixed_rank(operator, context, _RANK, dims, *walks)
    made = context.buffer(operator.outputs[0])
    constant, offsets, data = context.operands(numbers)
    offsets["output"] = made
    fields = {**geometry.numbered(dims=dims, a_strides=a_strides, b_strides=b_strides), **constant}
    in_place = _in_place(dims, [(offsets.get("a"), a_strides), (offsets.get("b"), b_strides)])
    a, b = (operands.per_tensor(operator, context, number) for number in numbers)
    return _Pair(
        operator, a, b, operands.per_tensor(operator, context, operator.outputs[0]), fields, offsets, data,
        tuple(Overlap(read, made, 0) for read in in_place),
    )  # fmt: skip


def _in_place(dims: list[int], reads: list[tuple[int | None, list[int]]]) -> list[int]:
    """The buffers that the output may take the place of: those that every operand in them reads as the output lies."""
    dense = [stride if size > 1 else 0 for size, stride in zip(dims, geometry.dense_strides(dims), strict=True)]
    found = {buffer: True for buffer, _ in reads if buffer is not None}
    for buffer, strides in reads:
        own = [stride if size > 1 else 0 for size, stride in zip(dims, strides, strict=True)]
        if buffer is not None and own != dense:
            found[buffer] = False
    return [buffer for buffer, fine in found.items() if fine]

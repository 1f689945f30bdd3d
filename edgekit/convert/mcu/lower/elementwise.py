"""Operators of two operands with broadcasting: ADD, SUB, MUL, SQUARED_DIFFERENCE, MINIMUM, MAXIMUM, PRELU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.convert.mcu.arithmetic import quantize_multiplier
from edgekit.convert.mcu.graph import Operator, Quantisation
from edgekit.convert.mcu.lower import geometry, operands
from edgekit.convert.mcu.lower.context import Context
from edgekit.convert.mcu.steps import Overlap, Step

_RANK = 5


def add(operator: Operator, context: Context) -> list[Step]:
    """int8 addition, each operand with its own scale."""
    return [_sum(operator, context, subtract=False)]


def sub(operator: Operator, context: Context) -> list[Step]:
    """int8 subtraction, each operand with its own scale."""
    return [_sum(operator, context, subtract=True)]


def mul(operator: Operator, context: Context) -> list[Step]:
    """int8 multiplication."""
    pair = _pair(operator, context, commutes=True)
    # The reference multiplies and divides the scales in float32.
    product = np.float32(pair.a.scale) * np.float32(pair.b.scale) / np.float32(pair.output.scale)
    multiplier, shift = quantize_multiplier(float(product))
    low, high = operands.activation(operator, context, pair.output)
    fields = {
        **pair.zero_points, "multiplier": multiplier, "shift": shift, "act_min": low, "act_max": high,
    }  # fmt: skip
    return [pair.step("mul", fields)]


def squared_difference(operator: Operator, context: Context) -> list[Step]:
    """(a - b)^2, each operand with its own scale."""
    pair = _pair(operator, context, commutes=True)
    twice = 2 * float(max(np.float32(pair.a.scale), np.float32(pair.b.scale)))
    fields = _operand_multipliers(pair, twice)
    output = twice * twice / float(np.float32(1 << 14) * np.float32(pair.output.scale))
    fields["output_multiplier"], fields["output_shift"] = _below_one(operator, context, output)
    return [pair.step("squared_difference", {**pair.zero_points, **fields})]


def minimum(operator: Operator, context: Context) -> list[Step]:
    """The lesser stored value."""
    return [_extreme(operator, context, greatest=False)]


def maximum(operator: Operator, context: Context) -> list[Step]:
    """The greater stored value."""
    return [_extreme(operator, context, greatest=True)]


def prelu(operator: Operator, context: Context) -> list[Step]:
    """x, or alpha * x where x is negative."""
    pair = _pair(operator, context, commutes=False)
    source, alpha, target = (np.float32(q.scale) for q in (pair.a, pair.b, pair.output))
    positive = quantize_multiplier(float(source / target))
    negative = quantize_multiplier(float(source * alpha / target))
    fields = {
        "input_zp": pair.a.zero_point, "alpha_zp": pair.b.zero_point, "output_zp": pair.output.zero_point,
        "positive_multiplier": positive[0], "positive_shift": positive[1],
        "negative_multiplier": negative[0], "negative_shift": negative[1],
    }  # fmt: skip
    return [pair.step("prelu", fields)]


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

    @property
    def zero_points(self) -> dict[str, int]:
        """a_zp, b_zp and output_zp."""
        return {"a_zp": self.a.zero_point, "b_zp": self.b.zero_point, "output_zp": self.output.zero_point}

    def step(self, kernel: str, fields: dict[str, int]) -> Step:
        """The kernel call, with the record's further fields."""
        reads = tuple(dict.fromkeys(self.offsets[name] for name in ("a", "b") if name in self.offsets))
        return Step(
            name=self.operator.place,
            kernel=kernel,
            reads=reads,
            writes=(self.offsets["output"],),
            scratch_bytes=0,
            overlaps=self.overlaps,
            fields={**self.fields, **fields},
            offsets=self.offsets,
            data=self.data,
        )


def _sum(operator: Operator, context: Context, *, subtract: bool) -> Step:
    pair = _pair(operator, context, commutes=not subtract)
    twice = 2 * float(max(np.float32(pair.a.scale), np.float32(pair.b.scale)))
    fields = _operand_multipliers(pair, twice)
    output = twice / (float(1 << 20) * float(np.float32(pair.output.scale)))
    fields["output_multiplier"], fields["output_shift"] = _below_one(operator, context, output)
    low, high = operands.activation(operator, context, pair.output)
    return pair.step(
        "add", {"subtract": int(subtract), **pair.zero_points, **fields, "act_min": low, "act_max": high}
    )  # fmt: skip


def _extreme(operator: Operator, context: Context, *, greatest: bool) -> Step:
    pair = _pair(operator, context, commutes=True)
    if not pair.a == pair.b == pair.output:
        raise context.refuse(operator, "it compares stored values, and its tensors differ in scale or zero point")
    return pair.step("minmax", {"maximum": int(greatest)})


def _operand_multipliers(pair: _Pair, twice: float) -> dict[str, int]:
    a = quantize_multiplier(float(np.float32(pair.a.scale)) / twice)
    b = quantize_multiplier(float(np.float32(pair.b.scale)) / twice)
    return {"a_multiplier": a[0], "a_shift": a[1], "b_multiplier": b[0], "b_shift": b[1]}


def _below_one(operator: Operator, context: Context, value: float) -> tuple[int, int]:
    """LiteRT's kernel insists on a multiplier below 1 here."""
    multiplier, shift = quantize_multiplier(value)
    if not 0.0 < value < 1.0 or shift > 0:
        raise context.refuse(operator, f"its scales differ too much (a multiplier of {value:.3g})")
    return multiplier, shift


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
    offsets, data = {"output": made}, {}
    fields = geometry.numbered(dims=dims, a_strides=a_strides, b_strides=b_strides)
    for name, number in zip(("a", "b"), numbers, strict=True):
        values = context.tensor(number).data
        fields[f"{name}_constant"] = int(values is not None)
        if values is None:
            offsets[name] = context.buffer(number)
        else:
            data[name] = np.ascontiguousarray(values).reshape(-1)
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

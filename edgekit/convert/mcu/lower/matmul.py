"""BATCH_MATMUL."""

from __future__ import annotations

import math

import numpy as np

from edgekit.convert.mcu.arithmetic import quantize_multiplier
from edgekit.convert.mcu.graph import Operator
from edgekit.convert.mcu.lower import geometry, operands, overlaps
from edgekit.convert.mcu.lower.context import Context, kernel_step
from edgekit.convert.mcu.steps import Overlap, Step

_RANK = 3
_MOST = 33000  # EK_MATMUL_MOST


def batch_matmul(operator: Operator, context: Context) -> list[Step]:
    """Products of the last two dimensions, the others broadcast; either operand transposed by adj_x, adj_y."""
    if len(operator.inputs) != 2 or min(operator.inputs) < 0:
        raise context.refuse(operator, f"it has {len(operator.inputs)} inputs")
    shapes = [context.tensor(number).shape for number in operator.inputs]
    made_shape = context.tensor(operator.outputs[0]).shape
    if min(map(len, (*shapes, made_shape))) < 2 or not all(map(math.prod, (*shapes, made_shape))):
        raise context.refuse(operator, f"it multiplies {shapes[0]} with {shapes[1]}")
    fields = _matrices(operator, context, shapes, made_shape)
    fields |= _batches(operator, context, shapes, made_shape)
    a, b = (operands.per_tensor(operator, context, number) for number in operator.inputs)
    output = operands.per_tensor(operator, context, operator.outputs[0])
    product = float(np.float32(a.scale) * np.float32(b.scale))  # LiteRT multiplies in float32, divides in double
    fields["multiplier"], fields["shift"] = quantize_multiplier(product / float(np.float32(output.scale)))
    fields |= {"a_zp": a.zero_point, "b_zp": b.zero_point, "output_zp": output.zero_point}
    made = context.buffer(operator.outputs[0])
    constant, offsets, data = context.operands(operator.inputs)
    fields |= constant
    offsets["output"] = made
    step = kernel_step(
        operator,
        "batch_matmul",
        fields,
        offsets,
        overlaps=_overlaps(fields, offsets),
        data=data,
        macs=math.prod(made_shape) * fields["depth"],
    )
    return [step]


def _overlaps(fields: dict[str, int], offsets: dict[str, int]) -> tuple[Overlap, ...]:
    """The kernels make row by row, and read for each its row of a and all of b."""
    batches = [fields[f"batches_{i}"] for i in range(_RANK)]
    distances: dict[int, int] = {}
    for name, row_stride in (("a", fields["a_row_stride"]), ("b", 0)):
        if name in offsets:
            strides = [fields[f"{name}_batch_strides_{i}"] for i in range(_RANK)]
            lowest = geometry.positions([*batches, fields["rows"]], [*strides, row_stride])
            distance = overlaps.by_pieces(lowest, fields["columns"])
            distances[offsets[name]] = max(distance, distances.get(offsets[name], 0))
    return tuple(Overlap(read, offsets["output"], distance) for read, distance in distances.items())


def _matrices(
    operator: Operator, context: Context, shapes: list[tuple[int, ...]], made: tuple[int, ...]
) -> dict[str, int]:
    (a_rows, a_columns), (b_rows, b_columns) = shapes[0][-2:], shapes[1][-2:]
    a_strides, b_strides = (a_columns, 1), (b_columns, 1)
    if operator.options["adj_x"]:
        a_rows, a_columns, a_strides = a_columns, a_rows, (1, a_columns)
    if operator.options["adj_y"]:
        b_rows, b_columns, b_strides = b_columns, b_rows, (1, b_columns)
    if a_columns != b_rows or made[-2:] != (a_rows, b_columns) or a_columns > _MOST:
        raise context.refuse(operator, f"it multiplies {shapes[0]} with {shapes[1]} to {made}")
    return {
        "rows": a_rows, "depth": a_columns, "columns": b_columns, "a_row_stride": a_strides[0],
        "a_depth_stride": a_strides[1], "b_depth_stride": b_strides[0], "b_column_stride": b_strides[1],
    }  # fmt: skip


def _batches(
    operator: Operator, context: Context, shapes: list[tuple[int, ...]], made: tuple[int, ...]
) -> dict[str, int]:
    walks = []
    for shape in shapes:
        matrix = shape[-2] * shape[-1]
        try:
            strides = geometry.broadcast_strides(shape[:-2], made[:-2])
        except ValueError as error:
            raise context.refuse(operator, str(error)) from error
        walks.append([stride * matrix for stride in strides])
    dims, walks = geometry.merge(made[:-2], *walks)
    batches, a_strides, b_strides = geometry.fixed_rank(operator, context, _RANK, dims, *walks)
    return geometry.numbered(batches=batches, a_batch_strides=a_strides, b_batch_strides=b_strides)

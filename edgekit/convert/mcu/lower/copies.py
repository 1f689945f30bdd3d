"""Operators that only move bytes: slices, transpositions, concatenation, splits, padding, broadcasts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.convert.mcu.graph import Operator
from edgekit.convert.mcu.lower import geometry, operands
from edgekit.convert.mcu.lower.context import Context, kernel_step
from edgekit.convert.mcu.steps import Overlap, Step

_RANK = 6


@dataclass(frozen=True)
class _Move:
    """Which bytes go where: ``dims`` with the strides and starts of both sides, in bytes; ``fill`` first everywhere."""

    dims: Sequence[int]
    reads: Sequence[int]
    writes: Sequence[int]
    read_start: int = 0
    write_start: int = 0
    fill: int | None = None


def slice_(operator: Operator, context: Context) -> list[Step]:
    """SLICE: from ``begin`` on, as many as ``size`` (-1: the rest)."""
    shape = context.tensor(operator.inputs[0]).shape
    begin = operands.constant(operator, context, 1, dtype="int32").reshape(-1).tolist()
    size = operands.constant(operator, context, 2, dtype="int32").reshape(-1).tolist()
    if len(begin) != len(shape) or len(size) != len(shape):
        raise context.refuse(operator, f"it cuts {size} at {begin} from {shape}")
    ends = [whole if want == -1 else first + want for first, want, whole in zip(begin, size, shape, strict=True)]
    return [_cut(operator, context, begin, ends, [1] * len(shape))]


def strided_slice(operator: Operator, context: Context) -> list[Step]:
    """STRIDED_SLICE with positive strides and any masks."""
    shape = context.tensor(operator.inputs[0]).shape
    begin, end, strides = (
        operands.constant(operator, context, place, dtype="int32").reshape(-1).tolist() for place in (1, 2, 3)
    )
    options = operator.options
    if options["ellipsis_mask"] or options["new_axis_mask"] or options.get("offset"):
        raise context.refuse(operator, "its ellipsis_mask, new_axis_mask or offset is set")
    if not len(begin) == len(end) == len(strides) <= len(shape) or min(strides, default=1) < 1:
        raise context.refuse(operator, f"it cuts {begin} to {end} in steps of {strides} from {shape}")
    starts, ends, steps = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, whole in enumerate(shape[: len(begin)]):
        bit = 1 << axis
        start = _within(begin[axis], whole)
        starts[axis] = 0 if options["begin_mask"] & bit else start
        ends[axis] = whole if options["end_mask"] & bit else _within(end[axis], whole)
        steps[axis] = strides[axis]
        if options["shrink_axis_mask"] & bit:
            starts[axis], ends[axis], steps[axis] = start, start + 1, 1
    return [_cut(operator, context, starts, ends, steps)]


def split(operator: Operator, context: Context) -> list[Step]:
    """SPLIT into equal parts."""
    axis = int(operands.constant(operator, context, 0, dtype="int32").reshape(-1)[0])
    return _split(operator, context, operator.inputs[1], axis)


def split_v(operator: Operator, context: Context) -> list[Step]:
    """SPLIT_V: the parts' sizes are those of the outputs."""
    axis = int(operands.constant(operator, context, 2, dtype="int32").reshape(-1)[0])
    return _split(operator, context, operator.inputs[0], axis)


def unpack(operator: Operator, context: Context) -> list[Step]:
    """One output per position along ``axis``, without that dimension."""
    return _split(operator, context, operator.inputs[0], operator.options["axis"])


def transpose(operator: Operator, context: Context) -> list[Step]:
    """TRANSPOSE by a constant permutation."""
    shape = context.tensor(operator.inputs[0]).shape
    order = operands.constant(operator, context, 1, dtype="int32").reshape(-1).tolist()
    if sorted(order) != list(range(len(shape))):
        raise context.refuse(operator, f"its permutation is {order} where the input has {len(shape)} dimensions")
    strides = geometry.dense_strides(shape)
    dims = [shape[axis] for axis in order]
    return [_step(operator, context, 0, 0, _dense(dims, [strides[axis] for axis in order]))]


def concatenation(operator: Operator, context: Context) -> list[Step]:
    """Parts one after another along ``axis``."""
    axis = operator.options["axis"]
    output = context.tensor(operator.outputs[0]).shape
    if operator.options["fused_activation_function"] != "NONE" or not -len(output) <= axis < len(output):
        raise context.refuse(operator, f"it joins along the axis {axis} with a fused activation")
    return _join(operator, context, axis % len(output), [context.tensor(n).shape for n in operator.inputs])


def pack(operator: Operator, context: Context) -> list[Step]:
    """Parts one after another along a new dimension ``axis``."""
    axis = operator.options["axis"]
    output = context.tensor(operator.outputs[0]).shape
    if not -len(output) <= axis < len(output):
        raise context.refuse(operator, f"its axis is {axis}")
    axis %= len(output)
    shapes = []
    for number in operator.inputs:
        own = context.tensor(number).shape
        shapes.append((*own[:axis], 1, *own[axis:]))
    return _join(operator, context, axis, shapes)


def pad(operator: Operator, context: Context) -> list[Step]:
    """PAD with the zero point, PADV2 with a constant."""
    shape = context.tensor(operator.inputs[0]).shape
    output = context.tensor(operator.outputs[0]).shape
    margins = context.tensor(operator.inputs[1])
    if margins.data is None or margins.dtype not in ("int32", "int64") or margins.shape != (len(shape), 2):
        raise context.refuse(operator, "its margins are no constant of the right shape")
    before = margins.data[:, 0].tolist()
    whole = [b + own + a for b, own, a in zip(before, shape, margins.data[:, 1].tolist(), strict=True)]
    if margins.data.min() < 0 or whole != list(output):
        raise context.refuse(operator, f"margins of {margins.data.tolist()} do not make {output} of {shape}")
    value = operands.per_tensor(operator, context, operator.outputs[0]).zero_point
    if len(operator.inputs) > 2:
        value = int(operands.constant(operator, context, 2).reshape(-1)[0])
    strides = geometry.dense_strides(output)
    start = sum(b * stride for b, stride in zip(before, strides, strict=True))
    move = _Move(shape, geometry.dense_strides(shape), strides, 0, start, value)
    return [_step(operator, context, 0, 0, move)]


def space_to_depth(operator: Operator, context: Context) -> list[Step]:
    """Blocks of pixels become channels."""
    _, height, width, channels = operands.image(operator, context, context.tensor(operator.inputs[0]))
    _, out_h, out_w, out_c = operands.image(operator, context, context.tensor(operator.outputs[0]))
    block = operator.options["block_size"]
    if (out_h * block, out_w * block, out_c) != (height, width, channels * block * block):
        raise context.refuse(operator, f"blocks of {block} do not make {out_h}x{out_w}x{out_c} of it")
    row = width * channels
    dims = [out_h, out_w, block, block, channels]
    return [_step(operator, context, 0, 0, _dense(dims, [block * row, block * channels, row, channels, 1]))]


def depth_to_space(operator: Operator, context: Context) -> list[Step]:
    """Channels become blocks of pixels."""
    _, height, width, channels = operands.image(operator, context, context.tensor(operator.inputs[0]))
    _, out_h, out_w, out_c = operands.image(operator, context, context.tensor(operator.outputs[0]))
    block = operator.options["block_size"]
    if (out_h, out_w, out_c * block * block) != (height * block, width * block, channels):
        raise context.refuse(operator, f"blocks of {block} do not make {out_h}x{out_w}x{out_c} of it")
    dims = [height, block, width, block, out_c]
    return [_step(operator, context, 0, 0, _dense(dims, [width * channels, block * out_c, channels, out_c, 1]))]


def broadcast_to(operator: Operator, context: Context) -> list[Step]:
    """BROADCAST_TO the shape of its output."""
    output = context.tensor(operator.outputs[0]).shape
    try:
        strides = geometry.broadcast_strides(context.tensor(operator.inputs[0]).shape, output)
    except ValueError as error:
        raise context.refuse(operator, str(error)) from error
    return [_step(operator, context, 0, 0, _dense(output, strides))]


def tile(operator: Operator, context: Context) -> list[Step]:
    """TILE: each dimension so many times over."""
    shape = context.tensor(operator.inputs[0]).shape
    output = context.tensor(operator.outputs[0]).shape
    times = [whole // own for whole, own in zip(output, shape, strict=True)]
    dims: list[int] = []
    reads: list[int] = []
    for repeat, own, stride in zip(times, shape, geometry.dense_strides(shape), strict=True):
        dims += [repeat, own]
        reads += [0, stride]
    return [_step(operator, context, 0, 0, _dense(dims, reads))]


def _within(position: int, size: int) -> int:
    """A position that may be negative (from the end) or past the end."""
    return min(max(position + size if position < 0 else position, 0), size)


def _dense(dims: Sequence[int], reads: Sequence[int], read_start: int = 0) -> _Move:
    return _Move(dims, reads, geometry.dense_strides(dims), read_start)


def _cut(
    operator: Operator, context: Context, starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]
) -> Step:
    shape = context.tensor(operator.inputs[0]).shape
    sizes = [-(-(end - start) // step) for start, end, step in zip(starts, ends, steps, strict=True)]
    inside = all(0 <= start < end <= whole for start, end, whole in zip(starts, ends, shape, strict=True))
    if not inside or math.prod(sizes) != math.prod(context.tensor(operator.outputs[0]).shape):
        raise context.refuse(operator, f"it cuts {list(starts)} to {list(ends)} from {shape}")
    strides = geometry.dense_strides(shape)
    start = sum(first * stride for first, stride in zip(starts, strides, strict=True))
    reads = [step * stride for step, stride in zip(steps, strides, strict=True)]
    return _step(operator, context, 0, 0, _dense(sizes, reads, start))


def _split(operator: Operator, context: Context, number: int, axis: int) -> list[Step]:
    shape = context.tensor(number).shape
    if not -len(shape) <= axis < len(shape):
        raise context.refuse(operator, f"its axis is {axis} where the input has {len(shape)} dimensions")
    axis %= len(shape)
    strides = geometry.dense_strides(shape)
    rest = math.prod(shape) // shape[axis]
    steps, place = [], 0
    for part, made in enumerate(operator.outputs):
        size, left = divmod(math.prod(context.tensor(made).shape), rest)
        if left or not size or place + size > shape[axis]:
            raise context.refuse(operator, f"it cuts {shape} along the axis {axis} into parts that do not fit")
        dims = [*shape[:axis], size, *shape[axis + 1 :]]
        source = list(operator.inputs).index(number)
        steps.append(_step(operator, context, source, part, _dense(dims, strides, place * strides[axis])))
        place += size
    return steps


def _join(operator: Operator, context: Context, axis: int, shapes: Sequence[Sequence[int]]) -> list[Step]:
    output = context.tensor(operator.outputs[0]).shape
    strides = geometry.dense_strides(output)
    steps, place = [], 0
    for source, shape in enumerate(shapes):
        expected = [*output[:axis], shape[axis] if len(shape) == len(output) else 0, *output[axis + 1 :]]
        if list(shape) != expected or not all(shape):
            raise context.refuse(operator, f"a part of {tuple(shape)} does not fit into {output}")
        move = _Move(shape, geometry.dense_strides(shape), strides, 0, place * strides[axis])
        steps.append(_step(operator, context, source, 0, move))
        place += shape[axis]
    if place != output[axis]:
        raise context.refuse(operator, f"its parts are {place} long along the axis {axis}, its output {output[axis]}")
    return steps


def _step(operator: Operator, context: Context, source: int, target: int, move: _Move) -> Step:
    number, made_number = operator.inputs[source], operator.outputs[target]
    read_q, made_q = (operands.per_tensor(operator, context, n) for n in (number, made_number))
    if read_q != made_q:
        raise context.refuse(operator, "it moves stored values, and its tensors differ in scale or zero point")
    made, values = context.buffer(made_number), context.tensor(number).data
    if not math.prod(move.dims) or (move.fill is None and math.prod(move.dims) > context.tensor(made_number).bytes):
        raise context.refuse(operator, "a tensor is empty, or does not fit into its output")
    dims, walks = geometry.merge(move.dims, move.reads, move.writes)
    run = 1
    if dims and walks[0][-1] == walks[1][-1] == 1:  # neighbours on both sides: one run of bytes
        run, dims, walks = dims[-1], dims[:-1], [walk[:-1] for walk in walks]
    padded, reads, writes = geometry.fixed_rank(operator, context, _RANK, dims, *walks)
    filled = 0 if move.fill is None else context.tensor(made_number).bytes
    fields = {
        "input_constant": int(values is not None), "bytes": run, "input_start": move.read_start,
        "output_start": move.write_start, "fill_bytes": filled, "fill_value": move.fill or 0,
        **geometry.numbered(dims=padded, input_strides=reads, output_strides=writes),
    }  # fmt: skip
    offsets, data = {"output": made}, {}
    overlaps: tuple[Overlap, ...] = ()
    if values is None:
        read = offsets["input"] = context.buffer(number)
        if move.fill is None:
            start = move.write_start - move.read_start
            overlaps = (Overlap(read, made, geometry.walk_distance(padded, reads, writes, run, start)),)
    else:
        data["input"] = np.ascontiguousarray(values).reshape(-1)
    return kernel_step(operator, "copy", fields, offsets, overlaps=overlaps, data=data)


def fill(operator: Operator, context: Context) -> list[Step]:
    """FILL: one value everywhere."""
    value = operands.constant(operator, context, 1).reshape(-1)
    target = context.tensor(operator.outputs[0])
    if value.size != 1 or not target.bytes:
        raise context.refuse(operator, f"it fills {target.shape} with {value.size} values")
    made = context.buffer(operator.outputs[0])
    step = kernel_step(operator, "fill", {"bytes": target.bytes, "value": int(value[0])}, {"output": made})
    return [step]

"""AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

import numpy as np

from edgekit.convert.mcu.graph import Operator
from edgekit.convert.mcu.lower import geometry, operands
from edgekit.convert.mcu.lower.context import Context, kernel_step
from edgekit.convert.mcu.steps import Overlap, Step

_MOST_SUMMED = 1 << 22  # EK_MOST_SUMMED


def average_pool(operator: Operator, context: Context) -> list[Step]:
    """The mean of what of each window lies in the input."""
    return [_pool("average_pool", operator, context)]


def max_pool(operator: Operator, context: Context) -> list[Step]:
    """The greatest value of each window."""
    return [_pool("max_pool", operator, context)]


def _pool(kernel: str, operator: Operator, context: Context) -> Step:
    read, made = context.buffer(operator.inputs[0]), context.buffer(operator.outputs[0])
    _, in_h, in_w, channels = operands.image(operator, context, context.tensor(operator.inputs[0]))
    _, out_h, out_w, out_c = operands.image(operator, context, context.tensor(operator.outputs[0]))
    options = operator.options
    k_h, k_w = options["filter_height"], options["filter_width"]
    top, left = operands.padding(operator, context, (in_h, in_w), (out_h, out_w), (k_h, k_w))
    if out_c != channels or in_h * in_w > _MOST_SUMMED:
        raise context.refuse(operator, f"{in_h}x{in_w}x{channels} can't be pooled to {out_h}x{out_w}x{out_c}")
    source = operands.per_tensor(operator, context, operator.inputs[0])
    target = operands.per_tensor(operator, context, operator.outputs[0])
    # LiteRT's kernels work on the stored values.
    if source.zero_point != target.zero_point or abs(source.scale - target.scale) > 1e-6:
        raise context.refuse(operator, "its input and output differ in scale or zero point")
    low, high = operands.activation(operator, context, target)
    fields = {
        "in_h": in_h, "in_w": in_w, "channels": channels, "out_h": out_h, "out_w": out_w, "k_h": k_h, "k_w": k_w,
        "stride_h": options["stride_h"], "stride_w": options["stride_w"], "pad_top": top, "pad_left": left,
        "act_min": low, "act_max": high,
    }  # fmt: skip
    return kernel_step(
        operator, kernel, fields, {"input": read, "output": made}, overlaps=(Overlap(read, made, _distance(fields)),)
    )


def _distance(fields: dict[str, int]) -> int:
    """Output pixel by output pixel, each after the input pixels of its window (channels in the same order in both)."""
    rows = np.maximum(np.arange(fields["out_h"]) * fields["stride_h"] - fields["pad_top"], 0)
    columns = np.maximum(np.arange(fields["out_w"]) * fields["stride_w"] - fields["pad_left"], 0)
    first = (rows[:, None] * fields["in_w"] + columns).reshape(-1) * fields["channels"]
    writes = np.arange(len(first)) * fields["channels"]
    return geometry.distance(first, writes, fields["channels"])

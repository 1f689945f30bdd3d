"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.graph import Operator
from edgekit.convert.mcu.lower import operands
from edgekit.convert.mcu.lower.context import Context, kernel_step
from edgekit.convert.mcu.steps import Step

_ONE = 1024  # a pixel, in LiteRT's fixed point


def resize_bilinear(operator: Operator, context: Context) -> list[Step]:
    """Between the four neighbours, in steps of 1/1024 of a pixel."""
    fields = _sides(operator, context)
    corners, centres = bool(operator.options["align_corners"]), bool(operator.options["half_pixel_centers"])
    if corners and centres:
        raise context.refuse(operator, "align_corners and half_pixel_centers exclude each other")
    for axis in ("h", "w"):
        size, out = fields[f"in_{axis}"], fields[f"out_{axis}"]
        top, bottom = (size - 1, out - 1) if corners and out > 1 else (size, out)
        scale = (_ONE * top + bottom // 2) // bottom
        offset = scale // 2 - _ONE // 2 if centres else 0
        if (out - 1) * scale + offset >= size * _ONE:
            raise context.refuse(operator, f"LiteRT's rounding of {size} to {out} pixels reads outside the input")
        fields[f"scale_{axis}"], fields[f"offset_{axis}"] = scale, offset
    return [_step("resize_bilinear", operator, context, fields, {})]


def resize_nearest(operator: Operator, context: Context) -> list[Step]:
    """The nearest input pixel, by LiteRT's rounding in float32."""
    fields = _sides(operator, context)
    corners, centres = bool(operator.options["align_corners"]), bool(operator.options["half_pixel_centers"])
    data = {
        "rows": _nearest(fields["in_h"], fields["out_h"], corners=corners, centres=centres),
        "columns": _nearest(fields["in_w"], fields["out_w"], corners=corners, centres=centres),
    }
    return [_step("resize_nearest", operator, context, fields, data)]


def _nearest(size: int, out: int, *, corners: bool, centres: bool) -> npt.NDArray[np.int32]:
    aligned = corners and out > 1
    scale = np.float32(size - 1) / np.float32(out - 1) if aligned else np.float32(size) / np.float32(out)
    places = (np.arange(out).astype(np.float32) + np.float32(0.5 if centres else 0)) * scale
    # Halves away from zero; the sum with 0.5 is exact in double precision.
    whole = np.floor(places.astype(np.float64) + (0.5 if corners else 0.0)).astype(np.int32)
    return np.clip(whole, 0, size - 1)


def _sides(operator: Operator, context: Context) -> dict[str, int]:
    _, in_h, in_w, channels = operands.image(operator, context, context.tensor(operator.inputs[0]))
    _, out_h, out_w, out_c = operands.image(operator, context, context.tensor(operator.outputs[0]))
    size = operands.constant(operator, context, 1, dtype="int32").reshape(-1).tolist()
    if out_c != channels or size != [out_h, out_w]:
        raise context.refuse(operator, f"{in_h}x{in_w}x{channels} can't be resized to {out_h}x{out_w}x{out_c}")
    # LiteRT's kernels work on the stored values.
    source = operands.per_tensor(operator, context, operator.inputs[0])
    if source != operands.per_tensor(operator, context, operator.outputs[0]):
        raise context.refuse(operator, "its input and output differ in scale or zero point")
    return {"in_h": in_h, "in_w": in_w, "channels": channels, "out_h": out_h, "out_w": out_w}


def _step(
    kernel: str, operator: Operator, context: Context, fields: dict[str, int], data: Mapping[str, npt.NDArray[np.int32]]
) -> Step:
    read, made = context.buffer(operator.inputs[0]), context.buffer(operator.outputs[0])
    return kernel_step(operator, kernel, fields, {"input": read, "output": made}, data=dict(data))

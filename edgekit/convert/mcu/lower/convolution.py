"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.convert.mcu import arithmetic
from edgekit.convert.mcu.graph import Operator, Tensor
from edgekit.convert.mcu.lower import dsp, operands, overlaps, rounding
from edgekit.convert.mcu.lower.context import Context, kernel_step
from edgekit.convert.mcu.steps import Overlap, Step

_CONV_OHWI = _DEPTHWISE_HWC = 0  # layouts of the weights for the portable kernels
_ORDER_ROWS, _ORDER_CHANNELS = 0, 1
_ROUND_TWICE, _ROUND_ONCE = 0, 1
_UNUSED = {"bias": 0, "multiplier": 0, "shift": 0}  # by the DSP kernels, whose weights hold them too
# What the kernels' check() takes (mcu/include/edgekit/check.h).
_MAX_SIDE, _MAX_STEP, _MAX_CHANNELS, _MAX_TAPS = 65535, 4096, 1048575, 131071


@dataclass(frozen=True)
class _Window:
    """The geometry that both kernels share."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    k_h: int
    k_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int

    @property
    def pointwise(self) -> bool:
        """Whether every output pixel depends on the input pixel of the same place only."""
        plain = (self.k_h, self.k_w, self.stride_h, self.stride_w, self.pad_top, self.pad_left) == (1, 1, 1, 1, 0, 0)
        return plain and (self.in_h, self.in_w) == (self.out_h, self.out_w)

    @property
    def fits_planes(self) -> bool:
        """Whether EK_DEPTHWISE_PLANES can do it, in place: 3x3 windows at every position of the input."""
        steps = (self.stride_h, self.stride_w, self.dilation_h, self.dilation_w)
        plain = (self.k_h, self.k_w) == (3, 3) and steps == (1, 1, 1, 1) and max(self.pad_top, self.pad_left) <= 2
        return plain and (self.in_h, self.in_w) == (self.out_h, self.out_w)


@dataclass(frozen=True)
class _Channels:
    """Bias (with the input's zero point folded in), multiplier and shift per output channel, int32."""

    bias: Any
    multiplier: Any
    shift: Any
    output_zp: int

    def data(self) -> dict[str, Any]:
        """As the portable layouts hold them."""
        return {"bias": self.bias, "multiplier": self.multiplier, "shift": self.shift}


def conv_2d(operator: Operator, context: Context) -> list[Step]:
    """Convolution; grouped if the weights have fewer input channels than the input has."""
    read, weights, made = _tensors(operator, context)
    if len(weights.shape) != 4 or not weights.shape[3] or read.shape[-1] % weights.shape[3]:
        raise context.refuse(operator, f"weights of {weights.shape} do not fit an input of {read.shape}")
    groups = read.shape[-1] // weights.shape[3]
    if made.shape[-1] != weights.shape[0] or weights.shape[0] % groups:
        raise context.refuse(operator, f"weights of {weights.shape} do not make {made.shape} in {groups} groups")
    window = _window(operator, context, read, made, weights.shape[1], weights.shape[2])
    pixels = window.in_h * window.in_w
    if window.pointwise and pixels <= _MAX_SIDE:  # as one row: no tile of pixels ends with the image's rows
        window = _Window(**{**vars(window), "in_h": 1, "in_w": pixels, "out_h": 1, "out_w": pixels})
    return [_conv(operator, context, window, groups)]


def fully_connected(operator: Operator, context: Context) -> list[Step]:
    """A 1x1 convolution over as many rows as the input has."""
    read, weights, made = _tensors(operator, context)
    if len(weights.shape) != 2 or not all(weights.shape):
        raise context.refuse(operator, f"its weights have the shape {weights.shape}")
    if operator.options["weights_format"] != "DEFAULT":
        raise context.refuse(operator, "its weights are shuffled")
    out_c, in_c = weights.shape
    rows, rest = divmod(math.prod(read.shape), in_c)
    if rest or not rows or math.prod(made.shape) != rows * out_c:
        raise context.refuse(operator, f"weights of {weights.shape} do not lead from {read.shape} to {made.shape}")
    window = _Window(1, rows, in_c, 1, rows, out_c, 1, 1, 1, 1, 1, 1, 0, 0)
    return [_conv(operator, context, window, 1)]


def depthwise_conv_2d(operator: Operator, context: Context) -> list[Step]:
    """Depthwise convolution with any depth multiplier."""
    read, weights, made = _tensors(operator, context)
    if len(weights.shape) != 4 or weights.shape[0] != 1 or weights.shape[3] != made.shape[-1]:
        raise context.refuse(operator, f"weights of {weights.shape} do not make {made.shape}")
    multiplier, rest = divmod(made.shape[-1], read.shape[-1])
    if rest or not multiplier or operator.options["depth_multiplier"] not in (0, multiplier):
        raise context.refuse(operator, f"{read.shape} does not become {made.shape} by a depth multiplier")
    window = _window(operator, context, read, made, weights.shape[1], weights.shape[2])
    return [_depthwise(operator, context, window, multiplier)]


def _conv(operator: Operator, context: Context, window: _Window, groups: int) -> Step:
    rows = operands.constant(operator, context, 1).reshape(window.out_c, -1)
    channels = _channels(operator, context, rows.sum(axis=1, dtype=np.int64))
    once = operator.kind == "FULLY_CONNECTED"
    fields = {
        "groups": groups, "layout": _CONV_OHWI, "rounding": _ROUND_ONCE if once else _ROUND_TWICE, "scratch_bytes": 0,
    }  # fmt: skip
    data = {"weights": rows.reshape(-1), **channels.data()}
    if context.dsp and groups == 1:
        stream = dsp.conv_tiles(rows, channels.bias, channels.multiplier, channels.shift, channels.output_zp, once=once)
        if stream is not None:
            fields.update(_UNUSED, layout=stream.layout, scratch_bytes=dsp.conv_scratch(rows.shape[1], window.in_c))
            data = {"weights": stream.words}
    if window.pointwise and groups == 1:
        distance = overlaps.by_pixels(pixels=window.in_h * window.in_w, in_c=window.in_c, out_c=window.out_c)
    else:
        distance = _row_distance(window)
    macs = window.out_h * window.out_w * rows.size
    return _step("conv", operator, context, window, fields, data, distance, macs)


def _depthwise(operator: Operator, context: Context, window: _Window, multiplier: int) -> Step:
    taps = operands.constant(operator, context, 1)[0]
    channels = _channels(operator, context, taps.sum(axis=(0, 1), dtype=np.int64))
    fields = {
        "depth_multiplier": multiplier,
        "layout": _DEPTHWISE_HWC,
        "order": _ORDER_ROWS,
        "scratch_bytes": 0,
    }
    data = {"weights": taps.reshape(-1), **channels.data()}
    if context.dsp and multiplier == 1 and window.out_c % dsp.GROUP == 0:
        planes = window.fits_planes
        make = dsp.depthwise_planes if planes else dsp.depthwise_taps
        stream = make(taps, channels.bias, channels.multiplier, channels.shift, channels.output_zp)
        if stream is not None:
            count = window.k_h * window.k_w
            size = dsp.planes_scratch(window.out_w) if planes else dsp.taps_scratch(count, window.out_c)
            fields.update(_UNUSED, layout=stream.layout, scratch_bytes=size)
            fields["order"] = _ORDER_CHANNELS if planes else _ORDER_ROWS
            data = {"weights": stream.words}
    macs = window.out_h * window.out_w * taps.size
    distance = None if fields["order"] == _ORDER_CHANNELS else _row_distance(window)
    return _step("depthwise", operator, context, window, fields, data, distance, macs)


def _row_distance(window: _Window) -> int:
    return overlaps.by_rows(
        in_row_bytes=window.in_w * window.in_c,
        out_row_bytes=window.out_w * window.out_c,
        out_h=window.out_h,
        stride_h=window.stride_h,
        pad_top=window.pad_top,
    )


def _step(
    kernel: str,
    operator: Operator,
    context: Context,
    window: _Window,
    fields: dict[str, int],
    data: dict[str, Any],
    distance: int | None,
    macs: int,
) -> Step:
    _check_limits(operator, context, window)
    read, made = context.buffer(operator.inputs[0]), context.buffer(operator.outputs[0])
    source = operands.per_tensor(operator, context, operator.inputs[0])
    target = operands.per_tensor(operator, context, operator.outputs[0])
    low, high = operands.activation(operator, context, target)
    output = {"input_zp": source.zero_point, "output_zp": target.zero_point, "act_min": low, "act_max": high}
    return kernel_step(
        operator,
        kernel,
        {**vars(window), **output, **fields},
        {"input": read, "output": made},
        overlaps=(Overlap(read, made, distance),),
        data=data,
        scratch_bytes=fields["scratch_bytes"],
        macs=macs,
    )


def _check_limits(operator: Operator, context: Context, window: _Window) -> None:
    sides = (window.in_h, window.in_w, window.out_h, window.out_w, window.pad_top, window.pad_left)
    steps = (window.k_h, window.k_w, window.stride_h, window.stride_w, window.dilation_h, window.dilation_w)
    taps = math.prod(context.tensor(operator.inputs[1]).shape) // window.out_c
    for what, value, most in (
        ("side or padding of the image", max(sides), _MAX_SIDE),
        ("kernel side, stride or dilation", max(steps), _MAX_STEP),
        ("number of channels", max(window.in_c, window.out_c), _MAX_CHANNELS),
        ("number of products per output", taps, _MAX_TAPS),
    ):
        if value > most:
            raise context.refuse(operator, f"its {what} is {value} where at most {most} is supported")


def _channels(operator: Operator, context: Context, sums: Any) -> _Channels:
    """What every output channel has besides its weights, of which ``sums`` has the totals."""
    source = operands.per_tensor(operator, context, operator.inputs[0])
    target = operands.per_tensor(operator, context, operator.outputs[0])
    weights = context.tensor(operator.inputs[1]).quantisation
    if weights is None or any(weights.zero_points):
        raise context.refuse(operator, "its weights are not quantised around 0")
    bias = None
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = operands.constant(operator, context, 2, dtype="int32").reshape(-1)
        if len(bias) != len(sums):
            raise context.refuse(operator, f"it has {len(sums)} output channels and {len(bias)} biases")
    if len(weights.scales) not in (1, len(sums)):
        raise context.refuse(operator, f"it has {len(sums)} output channels and {len(weights.scales)} scales")
    multiplier, shift = arithmetic.channel_multipliers(source.scale, weights.scales, target.scale, len(sums))
    if operator.kind == "FULLY_CONNECTED":
        products = np.array([arithmetic.single(scale) for scale in weights.scales]) * arithmetic.single(source.scale)
        scales = np.broadcast_to(products / arithmetic.single(target.scale), len(sums))
        multiplier = rounding.agreeing(scales, multiplier, shift, target.zero_point)
    folded = folded_bias(bias, sums, source.zero_point)
    return _Channels(folded, multiplier, shift, target.zero_point)


def folded_bias(bias: Any, sums: Any, input_zp: int) -> Any:
    """int32 per channel: bias (int32 or None) minus input_zp times the sum of the weights (int64), as int32 wraps."""
    whole = -input_zp * sums if bias is None else bias.astype(np.int64) - input_zp * sums
    return (whole & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def _window(operator: Operator, context: Context, read: Tensor, made: Tensor, k_h: int, k_w: int) -> _Window:
    """The geometry; refuses shapes that do not follow from the options."""
    _, in_h, in_w, in_c = operands.image(operator, context, read)
    _, out_h, out_w, out_c = operands.image(operator, context, made)
    top, left = operands.padding(
        operator, context, (in_h, in_w), (out_h, out_w), (k_h, k_w), ("dilation_h_factor", "dilation_w_factor")
    )
    options = operator.options
    return _Window(
        in_h, in_w, in_c, out_h, out_w, out_c, k_h, k_w, options["stride_h"], options["stride_w"],
        options["dilation_h_factor"], options["dilation_w_factor"], top, left,
    )  # fmt: skip


def _tensors(operator: Operator, context: Context) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weights and output."""
    if len(operator.inputs) not in (2, 3) or len(operator.outputs) != 1:
        raise context.refuse(operator, f"it has {len(operator.inputs)} inputs and {len(operator.outputs)} outputs")
    if min(operator.inputs[:2]) < 0:
        raise context.refuse(operator, "it lacks its input or its weights")
    read, weights, made = (context.tensor(t) for t in (*operator.inputs[:2], operator.outputs[0]))
    if not all(math.prod(tensor.shape) for tensor in (read, weights, made)) or not read.shape or not made.shape:
        raise context.refuse(operator, "a tensor is empty")
    return read, weights, made

"""Random convolutions: as a one-operator .tflite for LiteRT's reference kernels, and as records of the runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tflite_maker import Maker, reference_outputs

from edgekit.convert.mcu import arithmetic
from edgekit.convert.mcu.graph import Quantisation
from edgekit.convert.mcu.lower import dsp
from edgekit.convert.mcu.lower.convolution import folded_bias

from .packing import Data, Place, pack

PLAIN, STREAM = "plain", "stream"  # layouts: OHWI or HWC, and those of the DSP kernels
ORDER_ROWS, ORDER_CHANNELS = 0, 1


@dataclass(frozen=True)
class Case:
    """One layer. ``groups`` is None for a depthwise one, whose multiplier is out_c / in_c."""

    in_h: int
    in_w: int
    in_c: int
    out_c: int
    k_h: int
    k_w: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    padding: str = "SAME"
    groups: int | None = 1
    activation: str = "NONE"
    gain: float = 1.0
    seed: int = 0

    @property
    def depthwise(self) -> bool:
        return self.groups is None

    @property
    def out_h(self) -> int:
        return arithmetic.output_size(self.padding, self.in_h, self.k_h, self.stride_h, self.dilation_h)

    @property
    def out_w(self) -> int:
        return arithmetic.output_size(self.padding, self.in_w, self.k_w, self.stride_w, self.dilation_w)

    @property
    def pads(self) -> tuple[int, int]:
        return (
            arithmetic.padding_before(self.in_h, self.out_h, self.k_h, self.stride_h, self.dilation_h),
            arithmetic.padding_before(self.in_w, self.out_w, self.k_w, self.stride_w, self.dilation_w),
        )

    @property
    def planes(self) -> bool:
        """Whether a depthwise one is for EK_DEPTHWISE_PLANES."""
        window = (self.k_h, self.k_w, self.stride_h, self.stride_w, self.dilation_h, self.dilation_w)
        return window == (3, 3, 1, 1, 1, 1) and (self.in_h, self.in_w) == (self.out_h, self.out_w)

    @property
    def in_shape(self) -> tuple[int, ...]:
        return (1, self.in_h, self.in_w, self.in_c)

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (1, self.out_h, self.out_w, self.out_c)


def random_case(seed: int, *, depthwise: bool) -> Case:
    """Any geometry that LiteRT takes; small enough to be quick."""
    pick = np.random.default_rng(seed)

    def of(*values: Any) -> Any:
        return values[pick.integers(len(values))]

    groups = None if depthwise else of(1, 1, 1, 2, 3)
    multiplier = of(1, 1, 1, 2, 3) if depthwise else None
    in_c = of(1, 2, 3, 5, 7, 8, 12, 16, 17) * (groups or 1)
    out_c = in_c * multiplier if multiplier else of(1, 2, 3, 5, 8, 9) * (groups or 1)
    while True:
        case = Case(
            of(1, 2, 5, 8, 9), of(1, 3, 6, 7, 11), in_c, out_c, of(1, 1, 2, 3, 3, 5), of(1, 1, 3, 3, 4),
            of(1, 1, 2, 3), of(1, 1, 2, 3), of(1, 1, 1, 2, 3), of(1, 1, 1, 2), of("SAME", "SAME", "VALID"), groups,
            of("NONE", "RELU", "RELU6", "RELU_N1_TO_1"), of(0.02, 0.3, 1.0, 3.0, 5e4), seed,
        )  # fmt: skip
        if case.out_h > 0 and case.out_w > 0:
            return case


class Layer:
    """The numbers of a case: weights, bias, quantisation; every choice follows from its seed."""

    def __init__(self, case: Case) -> None:
        self.case = case
        pick = np.random.default_rng(case.seed + 1000)
        depth = case.in_c // (case.groups or 1)
        shape = (1, case.k_h, case.k_w, case.out_c) if case.depthwise else (case.out_c, case.k_h, case.k_w, depth)
        self.weights = pick.integers(-127, 128, shape).astype(np.int8)
        self.axis = 3 if case.depthwise else 0
        self.in_scale, self.in_zp = 0.05, int(pick.integers(-128, 128))
        self.out_scale, self.out_zp = 0.07, int(pick.integers(-128, 128))
        taps = case.k_h * case.k_w * (1 if case.depthwise else depth)
        # So that most sums land within the output's range at gain 1; scales differ per channel by up to 8.
        typical = self.out_scale / (self.in_scale * 127 * np.sqrt(taps))
        self.scales = (case.gain * typical * 2.0 ** pick.uniform(-2, 1, case.out_c)).astype(np.float32)
        self.bias = pick.integers(-3000, 3000, case.out_c).astype(np.int32)
        self.inputs = pick.integers(-128, 128, case.in_shape).astype(np.int8)

    def tflite(self) -> bytes:
        case, maker = self.case, Maker()
        x = maker.input(case.in_shape, self.in_scale, self.in_zp)
        w = maker.constant(self.weights, [float(s) for s in self.scales], axis=self.axis)
        b = maker.constant(self.bias, [float(s * np.float32(self.in_scale)) for s in self.scales])
        y = maker.tensor(case.out_shape, self.out_scale, self.out_zp)
        maker.operator(
            "DEPTHWISE_CONV_2D" if case.depthwise else "CONV_2D", [x, w, b], [y], padding=case.padding,
            stride_h=case.stride_h, stride_w=case.stride_w, dilation_h_factor=case.dilation_h,
            dilation_w_factor=case.dilation_w, fused_activation_function=case.activation,
        )  # fmt: skip
        maker.output(y)
        return maker.build()

    def reference(self) -> Any:
        """What LiteRT's reference kernel answers."""
        (answer,) = reference_outputs(self.tflite(), [self.inputs])
        return answer

    def kinds(self) -> list[str]:
        """The weight layouts that this layer may have."""
        return [PLAIN] if self._stream() is None else [PLAIN, STREAM]

    @property
    def layout(self) -> int:
        """The number of the layer's layout as a stream."""
        stream = self._stream()
        assert stream is not None
        return stream[0].layout

    def shifts(self) -> Any:
        return self._multipliers()[1]

    def ekm(self, kind: str, *, distance: int | None = None, order: int = ORDER_ROWS) -> bytes:
        """A model of this one layer. The output starts ``distance`` bytes below the input; None: they are apart."""
        case = self.case
        read, made = int(np.prod(case.in_shape)), int(np.prod(case.out_shape))
        output, start = (0, distance) if distance is not None else (read + 3, 0)
        scratch = -(-max(start + read, output + made) // 8) * 8
        data = Data()
        kernel, fields = self.record(kind, data, order=order, input=start, output=output, scratch=scratch)
        places = [Place(start, case.in_shape)], [Place(output, case.out_shape)]
        return pack([(kernel, fields)], bytes(data.content), scratch + fields["scratch_bytes"], *places)

    def record(self, kind: str, data: Data, *, order: int = ORDER_ROWS, **memory: int) -> tuple[str, dict[str, int]]:
        """The kernel's name and its fields; ``order`` is for a plain depthwise, ``memory`` the offsets."""
        case = self.case
        kernel, more = "conv", {"groups": case.groups or 1, "rounding": 0}
        if case.depthwise:
            kernel, more = "depthwise", {"depth_multiplier": case.out_c // case.in_c, "order": order}
        fields = {**self._window(), **more, **memory}
        if kind == PLAIN:
            ring = -(-min(case.pads[0] + 1, case.in_h) * case.in_w // 8) * 8 if order else 0
            return kernel, {**fields, **self._plain(data), "scratch_bytes": ring}
        stream = self._stream()
        assert stream is not None
        made, scratch = stream
        if case.depthwise:
            fields["order"] = ORDER_CHANNELS if made.layout == dsp.DEPTHWISE_PLANES else ORDER_ROWS
        unused = dict.fromkeys(("bias", "multiplier", "shift"), 0)
        return kernel, {
            **fields, **unused, "layout": made.layout, "weights": data.add(made.words), "scratch_bytes": scratch
        }  # fmt: skip

    def _stream(self) -> tuple[dsp.Stream, int] | None:
        """The layer for the DSP kernels with the scratch that they need; None if they don't take it."""
        case, numbers = self.case, (self._bias(), *self._multipliers(), self.out_zp)
        if not case.depthwise:
            rows = self.weights.reshape(case.out_c, -1)
            made = dsp.conv_tiles(rows, *numbers, once=False) if case.groups == 1 else None
            return made and (made, dsp.conv_scratch(rows.shape[1], case.in_c))
        if case.in_c != case.out_c or case.out_c % dsp.GROUP:
            return None
        if case.planes:
            made = dsp.depthwise_planes(self.weights[0], *numbers)
            return made and (made, dsp.planes_scratch(case.out_w))
        made = dsp.depthwise_taps(self.weights[0], *numbers)
        return made and (made, dsp.taps_scratch(case.k_h * case.k_w, case.out_c))

    def _window(self) -> dict[str, int]:
        names = ("in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "k_h", "k_w", "stride_h", "stride_w")
        case = self.case
        (top, left), target = case.pads, Quantisation((self.out_scale,), (self.out_zp,))
        low, high = arithmetic.activation_range(case.activation, target)
        return {
            **{name: getattr(case, name) for name in names}, "dilation_h": case.dilation_h, "pad_top": top,
            "dilation_w": case.dilation_w, "pad_left": left, "input_zp": self.in_zp, "output_zp": self.out_zp,
            "act_min": low, "act_max": high,
        }  # fmt: skip

    def _multipliers(self) -> Any:
        scales = [float(s) for s in self.scales]
        return arithmetic.channel_multipliers(self.in_scale, scales, self.out_scale, self.case.out_c)

    def _bias(self) -> Any:
        axes = (0, 1, 2) if self.case.depthwise else (1, 2, 3)
        return folded_bias(self.bias, self.weights.sum(axis=axes, dtype=np.int64), self.in_zp)

    def _plain(self, data: Data) -> dict[str, int]:
        multiplier, shift = self._multipliers()
        return {
            "layout": 0, "weights": data.add(self.weights), "bias": data.add(self._bias()),
            "multiplier": data.add(multiplier), "shift": data.add(shift),
        }  # fmt: skip


def pointwise(seed: int, in_c: int, out_c: int) -> Case:
    """A 1x1 convolution over 24 pixels."""
    return Case(4, 6, in_c, out_c, 1, 1, padding="VALID", seed=seed)


def with_seed(case: Case, seed: int) -> Case:
    """The same geometry with other numbers."""
    return replace(case, seed=seed)

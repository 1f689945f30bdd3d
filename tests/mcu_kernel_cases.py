"""Random convolutions for the kernels on emulated Cortex-M cores, with answers from a naive reference of its own."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.convert.mcu.kernels import KERNELS
from edgekit.convert.mcu.lower import dsp, overlaps

Array = npt.NDArray[Any]
HEAD_WORDS = 8
_DAMAGED = 5  # that word of the head


@dataclass(frozen=True)
class Geometry:
    """One layer. ``shifts`` is the range of the random shifts; ``in_place`` puts the output over the input."""

    name: str
    in_h: int
    in_w: int
    in_c: int
    out_c: int
    k: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, left, bottom, right
    shifts: tuple[int, int] = (-9, -4)
    act: tuple[int, int] = (-128, 127)
    weights: tuple[int, int] = (-127, 127)
    bias: int = 20000  # the greatest; if negative, all are of that size
    depthwise: bool = False
    in_place: bool = False
    trailing: bool = False  # the output starts as little below the input as the planner may put it
    once: bool = False  # EK_ROUND_ONCE
    halves: float = 0.1  # share of the channels with a power of two for a multiplier: ties are common then
    layout: int | None = None  # that the compiler must choose

    def side(self, axis: int) -> int:
        """Output height or width."""
        size = (self.in_h, self.in_w)[axis] + self.pad[axis] + self.pad[axis + 2]
        return (size - (self.k[axis] - 1) * self.dilation[axis] - 1) // self.stride[axis] + 1


def requantised(sums: Array, multiplier: Array, shift: Array) -> Array:
    """MultiplyByQuantizedMultiplier with its double rounding, word by word as gemmlowp writes it. int64."""
    left, right = np.maximum(shift, 0).astype(np.int64), np.maximum(-shift, 0).astype(np.int64)
    product = (sums << left) * multiplier.astype(np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (high < 0)
    answer: Array = (high >> right) + ((high & mask) > threshold)
    return answer


def requantised_once(sums: Array, multiplier: Array, shift: Array) -> Array:
    """round(sums * multiplier * 2 ** (shift - 31)), halves away from zero, in Python's whole numbers."""
    channels = zip(np.moveaxis(sums, -1, 0), multiplier, shift, strict=True)
    made = [
        [int(np.sign(v)) * ((2 * abs(int(v)) * int(m) + (1 << 31 - int(s))) >> 32 - int(s)) for v in values.reshape(-1)]
        for values, m, s in channels
    ]
    return np.array(made, np.int64).T.reshape(sums.shape)


def sums_of(g: Geometry, image: Array, weights: Array, zero_point: int) -> Array:
    """int64 [out_h, out_w, out_c] of a window's products, position by position; outside counts as the zero point."""
    top, left, bottom, right = g.pad
    padded = np.pad(image.astype(np.int64), ((top, bottom), (left, right), (0, 0)), constant_values=zero_point)
    sums = np.zeros((g.side(0), g.side(1), g.out_c), np.int64)
    for ky in range(g.k[0]):
        for kx in range(g.k[1]):
            rows = padded[ky * g.dilation[0] :: g.stride[0]][: g.side(0)]
            there = rows[:, kx * g.dilation[1] :: g.stride[1]][:, : g.side(1)]
            tap = weights[..., ky, kx, :].astype(np.int64)
            sums += there * tap if g.depthwise else there @ tap.T
    return sums


def case_of(g: Geometry, seed: int) -> bytes:
    """One case for mcu/tests/kernels/main.c."""
    random = np.random.default_rng(seed)
    image = random.integers(-128, 128, (g.in_h, g.in_w, g.in_c)).astype(np.int8)
    shape = (*g.k, g.out_c) if g.depthwise else (g.out_c, *g.k, g.in_c)
    weights = random.integers(g.weights[0], g.weights[1] + 1, shape).astype(np.int8)
    bias = random.integers(-abs(g.bias), abs(g.bias) + 1, g.out_c).astype(np.int32)
    if g.bias < 0:
        bias = np.where(bias < 0, g.bias, -g.bias).astype(np.int32)
    multiplier = random.integers(1 << 30, 1 << 31, g.out_c).astype(np.int32)
    multiplier[random.random(g.out_c) < g.halves] = 1 << 30
    shift = random.integers(g.shifts[0], g.shifts[1] + 1, g.out_c).astype(np.int32)
    input_zp, output_zp = (int(v) for v in random.integers(-128, 128, 2))
    sums = sums_of(g, image, weights, input_zp) + bias
    scaled = (requantised_once if g.once else requantised)(sums, multiplier, shift)
    out = np.clip(scaled + output_zp, *g.act).astype(np.int8)
    stream, scratch = _stream(g, weights, bias, multiplier, shift, output_zp)
    if g.layout is not None and stream.layout != g.layout:
        raise AssertionError(f"{g.name}: layout {stream.layout}")
    return _packed(g, image, out, stream, scratch, {"input_zp": input_zp, "output_zp": output_zp})


def _planes(g: Geometry) -> bool:
    same = (g.side(0), g.side(1)) == (g.in_h, g.in_w)
    return g.k == (3, 3) and g.stride == (1, 1) and g.dilation == (1, 1) and same and max(g.pad[:2]) <= 2


def _stream(g: Geometry, weights: Array, bias: Array, m: Array, shift: Array, zp: int) -> tuple[dsp.Stream, int]:
    if not g.depthwise:
        rows = weights.reshape(g.out_c, -1)
        made, scratch = dsp.conv_tiles(rows, bias, m, shift, zp, once=g.once), dsp.conv_scratch(rows.shape[1], g.in_c)
    elif _planes(g):
        made, scratch = dsp.depthwise_planes(weights, bias, m, shift, zp), dsp.planes_scratch(g.side(1))
    else:
        made, scratch = dsp.depthwise_taps(weights, bias, m, shift, zp), dsp.taps_scratch(g.k[0] * g.k[1], g.out_c)
    if made is None:
        raise AssertionError(f"{g.name}: no stream")
    return made, scratch


def _packed(g: Geometry, image: Array, out: Array, stream: dsp.Stream, scratch: int, zps: dict[str, int]) -> bytes:
    # scratch | guard | output | guard | input | guard, or the output at the place of the input
    scratch_at = 16
    output_at = scratch_at + _up(scratch, 8) + 16
    input_at = output_at if g.in_place else _up(output_at + out.size + 16, 4)
    if g.trailing:
        input_at = _up(output_at + max(0, _distance(g)), 4)
    end = max(input_at + image.size, output_at + out.size)
    arena = np.random.default_rng(1).integers(0, 256, _up(end + 16, 16)).astype(np.uint8)
    arena[input_at : input_at + image.size] = image.reshape(-1).view(np.uint8)
    record = KERNELS["depthwise" if g.depthwise else "conv"].pack(
        {
            "input": input_at, "output": output_at, "scratch": scratch_at, "scratch_bytes": scratch,
            "in_h": g.in_h, "in_w": g.in_w, "in_c": g.in_c, "out_h": g.side(0), "out_w": g.side(1), "out_c": g.out_c,
            "k_h": g.k[0], "k_w": g.k[1], "stride_h": g.stride[0], "stride_w": g.stride[1],
            "dilation_h": g.dilation[0], "dilation_w": g.dilation[1], "pad_top": g.pad[0], "pad_left": g.pad[1],
            **zps, "act_min": g.act[0], "act_max": g.act[1], "layout": stream.layout,
            "weights": 0, "bias": 0, "multiplier": 0, "shift": 0,
            **({"depth_multiplier": 1, "order": int(_planes(g))}
               if g.depthwise else {"groups": 1, "rounding": int(g.once)}),
        }
    )  # fmt: skip
    return _case(record, arena, out, stream.words.tobytes(), [(output_at, out.size), (scratch_at, scratch)])


def _case(record: bytes, arena: Array, answer: Array, data: bytes, ranges: list[tuple[int, int]]) -> bytes:
    """``ranges`` of the arena may change, as (offset, bytes); the first then holds the answer."""
    parts = (record, b"".join(struct.pack("<2I", *r) for r in ranges), data, arena.tobytes(), answer.tobytes())
    body = b"".join(part + bytes(-len(part) % 16) for part in parts)
    sizes = (4 * HEAD_WORDS + len(body), len(record), len(arena), len(data), len(ranges))
    return struct.pack("<8I", *sizes, 0, 0, 0) + body


def damaged(case: bytes, seed: int) -> bytes:
    """The case with one to three fields of its record changed; it then only must do no harm."""
    random = np.random.default_rng(seed)
    made = bytearray(case)
    words = struct.unpack_from("<8I", made)[1] // 4
    struct.pack_into("<I", made, 4 * _DAMAGED, 1)
    for _ in range(int(random.integers(1, 4))):
        at = 4 * (HEAD_WORDS + int(random.integers(1, words)))
        (old,) = struct.unpack_from("<i", made, at)
        new = random.choice([old + 1, old - 1, 2 * old, -old, 0, 1, 2, 3, 4, 255, 65535, 2**30, 2**31 - 1, -(2**31)])
        struct.pack_into("<i", made, at, int(np.clip(new, -(2**31), 2**31 - 1)))
    return bytes(made)


def _distance(g: Geometry) -> int:
    if not g.depthwise and (g.k, g.stride, g.pad) == ((1, 1), (1, 1), (0, 0, 0, 0)):
        return overlaps.by_pixels(pixels=g.in_h * g.in_w, in_c=g.in_c, out_c=g.out_c)
    return overlaps.by_rows(
        in_row_bytes=g.in_w * g.in_c,
        out_row_bytes=g.side(1) * g.out_c,
        out_h=g.side(0),
        stride_h=g.stride[0],
        pad_top=g.pad[0],
    )


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


SAME = (1, 1, 1, 1)
NAMED = (
    Geometry("stem", 24, 24, 3, 8, k=(3, 3), stride=(2, 2), pad=(0, 0, 1, 1), layout=dsp.CONV_TILES),
    Geometry("pointwise", 12, 12, 16, 32, layout=dsp.CONV_TILES),
    Geometry("3x3", 8, 8, 16, 16, k=(3, 3), pad=SAME, layout=dsp.CONV_TILES),
    Geometry("pointwise, trailing", 5, 7, 16, 12, trailing=True),
    Geometry("pointwise, growing and trailing", 5, 7, 8, 20, trailing=True),
    Geometry("3x3, trailing", 9, 7, 8, 8, k=(3, 3), pad=SAME, trailing=True),
    Geometry("depthwise, trailing", 9, 9, 8, 8, k=(3, 3), stride=(2, 2), pad=SAME, depthwise=True, trailing=True),
    Geometry("3x3 stride 2", 8, 8, 16, 32, k=(3, 3), stride=(2, 2), pad=(0, 0, 1, 1)),
    Geometry("deep: plain", 3, 3, 1280, 6, shifts=(-14, -9), layout=dsp.CONV_TILES_PLAIN),
    Geometry("fully connected", 1, 1, 256, 10),
    Geometry("fully connected, one rounding", 1, 5, 64, 12, once=True, halves=0),
    Geometry("fully connected, halves", 1, 3, 64, 12, once=True, halves=0.5, weights=(-2, 2), bias=90),
    Geometry("fully connected, to the left", 1, 3, 32, 9, once=True, shifts=(-3, 3), weights=(-2, 2), bias=9),
    Geometry("odd pixels, odd channels", 3, 3, 8, 7),
    Geometry("channels no multiple of four", 5, 6, 5, 9, k=(3, 3), pad=SAME),
    Geometry("bytes, one channel", 9, 7, 1, 3, k=(5, 3), pad=(2, 1, 2, 1)),
    Geometry("dilated", 9, 9, 4, 6, k=(3, 3), dilation=(2, 3), pad=(2, 3, 2, 3)),
    Geometry("shifts to the left", 4, 5, 12, 10, shifts=(-8, 3), weights=(-3, 3), bias=50),
    Geometry("shift 0", 4, 5, 12, 8, shifts=(0, 0), weights=(-2, 2), bias=20),
    Geometry("shift 1", 4, 5, 12, 8, shifts=(-1, -1), weights=(-2, 2), bias=20),
    Geometry("great shifts", 4, 5, 12, 8, shifts=(-31, -12)),
    Geometry("dead channels", 4, 5, 12, 9, shifts=(-29, -25), weights=(-3, 3), bias=2**30),
    Geometry("dead channels, one rounding", 1, 3, 12, 9, shifts=(-29, -25), weights=(-3, 3), bias=2**30, once=True),
    Geometry("channels of two outputs", 8, 9, 12, 400, shifts=(-26, -23), bias=-(2**30)),
    Geometry("channels of two outputs, one rounding", 1, 9, 12, 400, shifts=(-26, -23), bias=-(2**30), once=True),
    Geometry("narrow activation", 6, 6, 8, 12, act=(-20, 63)),
    Geometry("weights of -128", 4, 4, 8, 8, weights=(-128, -127), layout=dsp.CONV_TILES_PLAIN),
    Geometry("depthwise", 12, 12, 8, 8, k=(3, 3), pad=SAME, depthwise=True, layout=dsp.DEPTHWISE_PLANES),
    Geometry("depthwise in place", 7, 9, 12, 12, k=(3, 3), pad=SAME, depthwise=True, in_place=True),
    Geometry("depthwise 3x3 image", 3, 3, 16, 16, k=(3, 3), pad=SAME, depthwise=True, in_place=True),
    Geometry("depthwise 1x1 image", 1, 1, 4, 4, k=(3, 3), pad=SAME, depthwise=True, in_place=True),
    Geometry("depthwise padded above", 6, 5, 4, 4, k=(3, 3), pad=(2, 2, 0, 0), depthwise=True, in_place=True),
    Geometry("depthwise padded below", 6, 5, 4, 4, k=(3, 3), pad=(0, 0, 2, 2), depthwise=True, in_place=True),
    Geometry("depthwise shifts to the left", 5, 37, 4, 4, k=(3, 3), pad=SAME, depthwise=True, in_place=True,
             shifts=(-3, 2), weights=(-2, 2), bias=9),
    Geometry("depthwise dead channels", 5, 6, 8, 8, k=(3, 3), pad=SAME, depthwise=True, in_place=True,
             shifts=(-29, -25), weights=(-3, 3), bias=2**30),
    Geometry("depthwise stride 2", 12, 12, 8, 8, k=(3, 3), stride=(2, 2), pad=(0, 0, 1, 1), depthwise=True,
             layout=dsp.DEPTHWISE_TAPS),
    Geometry("depthwise 5x5", 6, 7, 8, 8, k=(5, 5), pad=(2, 2, 2, 2), depthwise=True),
    Geometry("depthwise 2x7, dilated", 9, 14, 4, 4, k=(2, 7), dilation=(3, 1), pad=(2, 3, 2, 3), depthwise=True),
    Geometry("depthwise taps to the left", 6, 7, 8, 8, k=(4, 4), depthwise=True, shifts=(-4, 2), weights=(-2, 2),
             bias=9, act=(-100, 100)),
)  # fmt: skip


def anything(seed: int) -> Geometry:
    """A random small layer."""
    random = np.random.default_rng(seed)
    depthwise = bool(random.random() < 0.4)

    def pick(least: int, most: int) -> int:
        return int(random.integers(least, most + 1))

    k = (3, 3) if random.random() < 0.4 else (pick(1, 5), pick(1, 5))
    channels = 4 * pick(1, 5) if depthwise or random.random() < 0.5 else pick(1, 18)
    stride = (1, 1) if random.random() < 0.5 else (pick(1, 3), pick(1, 3))
    dilation = (1, 1) if random.random() < 0.7 else (pick(1, 2), pick(1, 2))
    pad = (*(pick(0, side - 1) for side in k), *(pick(0, side - 1) for side in k))
    low = pick(-10, 0)
    made = Geometry(
        f"random {seed}", pick(1, 9), pick(1, 9), channels, channels if depthwise else pick(1, 20), k=k, stride=stride,
        dilation=dilation, pad=(pad[0], pad[1], pad[2], pad[3]), shifts=(low, pick(low, 1)),
        weights=(-pick(1, 127), 127),
        act=(-128, 127) if random.random() < 0.7 else (pick(-128, 0), pick(0, 127)), depthwise=depthwise,
        bias=pick(1, 90000), once=not depthwise and bool(random.random() < 0.3), halves=float(random.choice([0, 0.3])),
    )  # fmt: skip
    if made.side(0) < 1 or made.side(1) < 1:
        reach = tuple((side - 1) * step + 1 for side, step in zip(k, dilation, strict=True))
        made = replace(made, in_h=made.in_h + reach[0], in_w=made.in_w + reach[1])
    in_place = depthwise and _planes(made) and bool(random.random() < 0.6)
    return replace(made, in_place=in_place, trailing=not (depthwise and _planes(made)) and bool(random.random() < 0.5))


def add_case(seed: int, count: int = 301) -> bytes:
    """One addition of equal shapes; multipliers as LiteRT derives them, both halves now and then."""
    random = np.random.default_rng(seed)
    values = random.integers(-128, 128, (2, count)).astype(np.int64)
    zps = [int(v) for v in random.integers(-128, 128, 3)]
    smaller = (1 << 30, 0) if seed % 4 == 0 else (int(random.integers(1 << 30, 1 << 31)), -int(random.integers(1, 9)))
    operands = [(1 << 30, 0), smaller][:: 1 if seed % 2 else -1]
    output = (int(random.integers(1 << 30, 1 << 31)), -int(random.integers(17, 22)))
    act = (-128, 127) if seed % 3 else (-30, 100)
    shifted = [(row - zp) << 20 for row, zp in zip(values, zps[:2], strict=True)]
    sums = sum(requantised(row, np.array(m), np.array(s)) for row, (m, s) in zip(shifted, operands, strict=True))
    answer = np.clip(requantised(np.asarray(sums), np.array(output[0]), np.array(output[1])) + zps[2], *act)
    return _add_packed(values, answer.astype(np.int8), zps, [*operands, output], act)


def _add_packed(values: Array, answer: Array, zps: list[int], scales: list[tuple[int, int]], act: Any) -> bytes:
    count = answer.size
    places = [16, 16 + _up(count + 16, 16), 16 + 2 * _up(count + 16, 16)]
    arena = np.random.default_rng(1).integers(0, 256, _up(places[2] + count + 16, 16)).astype(np.uint8)
    for place, row in zip(places[1:], values, strict=True):
        arena[place : place + count] = row.astype(np.int8).view(np.uint8)
    fields = {"a": places[1], "b": places[2], "a_constant": 0, "b_constant": 0, "output": places[0], "subtract": 0}
    for axis in range(5):
        step = int(axis == 4)
        fields |= {f"dims_{axis}": count if step else 1, f"a_strides_{axis}": step, f"b_strides_{axis}": step}
    for name, zp, (multiplier, shift) in zip(("a", "b", "output"), zps, scales, strict=True):
        fields |= {f"{name}_zp": zp, f"{name}_multiplier": multiplier, f"{name}_shift": shift}
    record = KERNELS["add"].pack({**fields, "act_min": act[0], "act_max": act[1]})
    return _case(record, arena, answer, b"", [(places[0], count)])


def matmul_case(seed: int) -> bytes:
    """One product of small matrices; b's columns or its rows lie in one piece, now and then neither does a."""
    random = np.random.default_rng(seed)
    batches, rows, depth, columns = (int(v) for v in random.integers(1, (3, 6, 40, 12)))
    a, b = (random.integers(-128, 128, shape) for shape in ((batches, rows, depth), (batches, depth, columns)))
    zps = [int(v) for v in random.integers(-128, 128, 3)]
    multiplier, shift = int(random.integers(1 << 30, 1 << 31)), -int(random.integers(0, 12))
    sums = (a - zps[0]) @ (b - zps[1])
    answer = np.clip(requantised(sums, np.array(multiplier), np.array(shift)) + zps[2], -128, 127).astype(np.int8)
    a_across, b_across = seed % 5 == 4, bool(seed % 2)
    stored = [np.ascontiguousarray(m.swapaxes(1, 2) if across else m) for m, across in ((a, a_across), (b, b_across))]
    places = [16, 32 + answer.size, 48 + answer.size + a.size]
    arena = np.zeros(_up(places[2] + b.size + 16, 16), np.uint8)
    for place, matrix in zip(places[1:], stored, strict=True):
        arena[place : place + matrix.size] = matrix.reshape(-1).astype(np.int8).view(np.uint8)
    fields = {"a": places[1], "b": places[2], "a_constant": 0, "b_constant": 0, "output": places[0]}
    for axis, count in enumerate((1, 1, batches)):
        fields |= {f"batches_{axis}": count, f"a_batch_strides_{axis}": rows * depth if axis == 2 else 0}
        fields |= {f"b_batch_strides_{axis}": depth * columns if axis == 2 else 0}
    fields |= {"rows": rows, "depth": depth, "columns": columns, "a_row_stride": 1 if a_across else depth}
    fields |= {"a_depth_stride": rows if a_across else 1, "b_depth_stride": 1 if b_across else columns}
    fields |= {"b_column_stride": depth if b_across else 1, "a_zp": zps[0], "b_zp": zps[1], "output_zp": zps[2]}
    record = KERNELS["batch_matmul"].pack({**fields, "multiplier": multiplier, "shift": shift})
    return _case(record, arena, answer, b"", [(places[0], answer.size)])

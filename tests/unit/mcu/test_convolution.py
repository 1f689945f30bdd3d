"""Convolutions, depthwise and fully connected, from .tflite to the C runtime: bit-equal with LiteRT's reference."""

from __future__ import annotations

import numpy as np
import pytest
from mcu_host import host_outputs, lowered, program_with, run_program
from tflite_maker import Maker, edited, random_inputs, reference_outputs

from edgekit.convert.mcu import arithmetic
from edgekit.convert.mcu.lower import overlaps, rounding
from edgekit.convert.mcu.lower.convolution import folded_bias
from edgekit.errors import ConvertError

from .compiler import needs_compiler

CONVOLUTIONS = {
    "plain": {},
    "same, stride 2": {"padding": "SAME", "stride": (2, 2)},
    "same, even image, stride 2": {"padding": "SAME", "stride": (2, 2), "size": (8, 10)},
    "uneven kernel and strides": {"kernel": (2, 5), "stride": (1, 3), "padding": "SAME", "size": (7, 11)},
    "dilated": {"padding": "SAME", "dilation": (2, 3), "size": (11, 13)},
    "kernel larger than the image": {"padding": "SAME", "kernel": (5, 5), "size": (2, 3)},
    "pointwise": {"kernel": (1, 1), "channels": (6, 10)},
    "pointwise, stride 2": {"kernel": (1, 1), "stride": (2, 2), "padding": "SAME"},
    "odd channels": {"channels": (3, 5), "padding": "SAME"},
    "one channel to one": {"channels": (1, 1), "padding": "SAME"},
    "many channels": {"channels": (37, 18), "kernel": (1, 3), "padding": "SAME"},
    "two groups": {"groups": 2, "channels": (6, 8), "padding": "SAME"},
    "as many groups as channels": {"groups": 4, "channels": (4, 8)},
    "relu": {"activation": "RELU"},
    "relu6": {"activation": "RELU6", "output": (0.03, -100)},
    "relu -1 to 1": {"activation": "RELU_N1_TO_1", "output": (0.02, 5)},
    "one scale for all channels": {"per_channel": False},
    "zero point at the edge": {"zero_point": -128, "padding": "SAME"},
    "zero point at the other edge": {"zero_point": 127, "padding": "SAME", "output": (0.4, 127)},
    "multipliers over one": {"output": (0.00004, 0)},
    "multipliers that vanish": {"output": (3e9, 7)},
}
DEPTHWISE = {
    "plain": {},
    "same": {"padding": "SAME"},
    "same, stride 2": {"padding": "SAME", "stride": (2, 2)},
    "same, even image, stride 2": {"padding": "SAME", "stride": (2, 2), "size": (8, 10)},
    "strides that differ": {"padding": "SAME", "stride": (1, 2)},
    "odd channels": {"padding": "SAME", "channels": 7},
    "dilated": {"padding": "SAME", "dilation": (2, 2), "size": (9, 12)},
    "multiplier 3": {"padding": "SAME", "multiplier": 3, "channels": 5},
    "one channel to eight": {"multiplier": 8, "channels": 1},
    "5x5": {"padding": "SAME", "kernel": (5, 5)},
    "1x1": {"kernel": (1, 1)},
    "whole image": {"kernel": (5, 6), "size": (5, 6)},
    "relu6": {"activation": "RELU6", "padding": "SAME", "output": (0.03, -100)},
    "one scale for all channels": {"per_channel": False},
    "no bias": {"bias": False, "padding": "SAME"},
    "one pixel, stride 2": {"size": (1, 1), "stride": (2, 2), "padding": "SAME"},
}


def conv_model(
    size=(6, 7), channels=(4, 8), kernel=(3, 3), stride=(1, 1), dilation=(1, 1), padding="VALID", groups=1,
    activation="NONE", zero_point=-3, output=(0.3, 4), per_channel=True, bias=True, kind="CONV_2D", seed=0,
):  # fmt: skip
    """One convolution; ``output`` is (scale, zero point)."""
    random = np.random.default_rng(seed)
    maker = Maker()
    x = maker.input((1, *size, channels[0]), 0.05, zero_point)
    depthwise = kind == "DEPTHWISE_CONV_2D"
    shape = (1, *kernel, channels[1]) if depthwise else (channels[1], *kernel, channels[0] // groups)
    scales = random.uniform(0.0005, 0.02, channels[1] if per_channel else 1).tolist()
    tensors = [x, maker.constant(random.integers(-127, 128, shape).astype(np.int8), scales, axis=3 if depthwise else 0)]
    if bias:
        values = random.integers(-3000, 3000, channels[1]).astype(np.int32)
        tensors.append(maker.constant(values, [0.05 * scale for scale in scales]))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=False)]
    out = [-(-n // s) if padding == "SAME" else (n - r) // s + 1 for n, s, r in zip(size, stride, reach, strict=False)]
    y = maker.tensor((1, *out, channels[1]), *output)
    more = {"depth_multiplier": channels[1] // channels[0]} if depthwise else {}
    maker.operator(
        kind, tensors, [y], padding=padding, stride_h=stride[0], stride_w=stride[1], dilation_h_factor=dilation[0],
        dilation_w_factor=dilation[1], fused_activation_function=activation, **more,
    )  # fmt: skip
    maker.output(y)
    return maker.build()


def depthwise_model(channels=8, multiplier=1, **more):
    return conv_model(channels=(channels, channels * multiplier), kind="DEPTHWISE_CONV_2D", **more)


def dense_model(rows=(1,), in_c=19, out_c=7, scale=0.02, keep=False, per_channel=False, seed=0, activation="NONE"):
    random = np.random.default_rng(seed)
    maker = Maker()
    x = maker.input((*rows, in_c), 0.0371, 11)
    scales = random.uniform(0.001, 0.02, out_c).tolist() if per_channel else [0.00713]
    w = maker.constant(random.integers(-127, 128, (out_c, in_c)).astype(np.int8), scales)
    b = maker.constant(random.integers(-900, 900, out_c).astype(np.int32), [0.0371 * s for s in scales])
    y = maker.tensor((*rows, out_c) if keep else (int(np.prod(rows)), out_c), scale, -9)
    maker.operator("FULLY_CONNECTED", [x, w, b], [y], keep_num_dims=keep, fused_activation_function=activation)
    maker.output(y)
    return maker.build()


def assert_bit_equal(content, count=3):
    for seed in range(count):
        inputs = random_inputs(content, seed)
        for expected, answer in zip(reference_outputs(content, inputs), host_outputs(content, inputs), strict=False):
            np.testing.assert_array_equal(answer, expected)


@needs_compiler
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv_is_bit_equal(case):
    assert_bit_equal(conv_model(**CONVOLUTIONS[case]))


@needs_compiler
@pytest.mark.parametrize("case", DEPTHWISE)
def test_depthwise_is_bit_equal(case):
    assert_bit_equal(depthwise_model(**DEPTHWISE[case]))


@needs_compiler
@pytest.mark.parametrize(
    "more",
    [{}, {"rows": (5,)}, {"rows": (1, 4, 3), "keep": True}, {"rows": (1, 4, 3)}, {"per_channel": True},
     {"activation": "RELU"}, *({"scale": 0.3 / n, "seed": n} for n in range(1, 12))],
    ids=str,
)  # fmt: skip
def test_fully_connected_is_bit_equal(more):
    assert_bit_equal(dense_model(**more))


@needs_compiler
@pytest.mark.parametrize("per_channel", [False, True])
def test_fully_connected_rounds_once(per_channel):
    """LiteRT requantises fully connected layers with one rounding and convolutions with two: one result in some
    thousands differs."""
    content = dense_model(rows=(100,), in_c=40, out_c=1000, scale=0.03, per_channel=per_channel)
    twice = program_with(lowered(content, dsp=False), rounding=0)
    inputs = random_inputs(content, 5)
    expected = reference_outputs(content, inputs)[0]
    np.testing.assert_array_equal(host_outputs(content, inputs)[0], expected)
    assert 0 < np.count_nonzero(run_program(twice, inputs)[0] != expected) < expected.size / 200


@needs_compiler
def test_fully_connected_rounds_in_double_precision():
    """Biases that alone lie so near to a half that the 31 bits of the multiplier round them the other way."""
    read, target = float(np.float32(0.0343)), float(np.float32(0.01876))
    weights = np.random.default_rng(0).uniform(0.0005, 0.00057, 6000).astype(np.float32)
    scales = read * weights.astype(np.float64) / target
    multiplier, shift = arithmetic.channel_multipliers(read, weights.tolist(), target, len(weights))
    chosen = np.flatnonzero(rounding.agreeing(scales, multiplier, shift, -1) != multiplier)
    assert 2 <= len(chosen) <= 30
    halves = np.arange(-126, 127) + 0.5
    near = np.round(halves / scales[chosen, None])
    once = multiplier[chosen, None] * 2.0 ** (shift[chosen, None] - 31) * near
    bias = near[np.arange(len(chosen)), np.argmax((once < halves) != (near * scales[chosen, None] < halves), axis=1)]
    maker = Maker()
    x = maker.input((1, 4), read, 0)
    w = maker.constant(np.zeros((len(chosen), 4), np.int8), weights[chosen].tolist())
    b = maker.constant(bias.astype(np.int32), (weights[chosen] * np.float32(read)).tolist())
    y = maker.tensor((1, len(chosen)), target, -1)
    maker.operator("FULLY_CONNECTED", [x, w, b], [y])
    maker.output(y)
    content, inputs = maker.build(), [np.zeros((1, 4), np.int8)]
    (expected,) = reference_outputs(content, inputs)
    np.testing.assert_array_equal(host_outputs(content, inputs)[0], expected)
    real = multiplier[chosen] * 2.0 ** (shift[chosen] - 31.0) * bias
    assert (np.sign(real) * np.floor(np.abs(real) + 0.5) - 1 != expected[0]).all()  # what is avoided


def test_folded_bias_wraps_around():
    folded = folded_bias(np.array([2**31 - 1, -(2**31), 5], np.int32), np.array([-1, 1, 10]), 1)
    assert folded.dtype == np.int32
    assert folded.tolist() == [-(2**31), 2**31 - 1, -5]


@pytest.mark.parametrize(
    "pad, stride, in_row, out_row, out_h", [(1, 1, 12, 12, 9), (0, 2, 40, 10, 5), (2, 1, 8, 24, 6)]
)
def test_by_rows_is_the_least_distance_without_harm(pad, stride, in_row, out_row, out_h):
    """Played through: the output at that distance below the input never covers a row that is still needed."""
    distance = overlaps.by_rows(
        in_row_bytes=in_row, out_row_bytes=out_row, out_h=out_h, stride_h=stride, pad_top=pad
    )  # fmt: skip

    def harmless(distance):
        ends = (((row + 1) * out_row - distance, max(0, row * stride - pad) * in_row) for row in range(out_h))
        return all(written <= needed for written, needed in ends)

    assert harmless(distance)
    assert not harmless(distance - 1)


@pytest.mark.parametrize("in_c, out_c", [(8, 48), (48, 8), (5, 5)])
def test_by_pixels_is_the_least_distance_without_harm(in_c, out_c):
    distance = overlaps.by_pixels(pixels=20, in_c=in_c, out_c=out_c)
    worst = max((t + 1) * out_c - t * in_c for t in range(20))
    assert distance == worst


def test_depthwise_for_dsp_works_in_place_where_the_image_keeps_its_size():
    (same,) = lowered(depthwise_model(padding="SAME"), dsp=True).steps
    (smaller,) = lowered(depthwise_model(padding="SAME", stride=(2, 2)), dsp=True).steps
    assert (same.fields["layout"], same.overlaps[0].distance, same.fields["order"]) == (2, None, 1)
    assert (smaller.fields["layout"], smaller.fields["order"]) == (3, 0)
    assert smaller.overlaps[0].distance is not None
    assert same.scratch_bytes == same.fields["scratch_bytes"] > 0


@pytest.mark.parametrize("content", [
    conv_model(groups=2, channels=(4, 8)), depthwise_model(channels=6), depthwise_model(multiplier=2),
])  # fmt: skip
def test_what_dsp_kernels_do_not_do_has_the_portable_layout(content):
    for_dsp, portable = (lowered(content, dsp=dsp).steps[0] for dsp in (True, False))
    assert for_dsp.fields == portable.fields
    assert all(np.array_equal(for_dsp.data[name], portable.data[name]) for name in portable.data)


def test_conv_for_dsp_has_the_weights_and_biases_of_the_portable_one():
    (stream,) = lowered(conv_model(channels=(6, 8), padding="SAME"), dsp=True).steps
    (portable,) = lowered(conv_model(channels=(6, 8), padding="SAME"), dsp=False).steps
    assert stream.fields["layout"] == 2
    taps = 3 * 3 * 6
    words = stream.data["weights"].reshape(2, -1).astype(np.int64)
    assert words.shape[1] == 4 + 4 * -(-taps // 4) + 12
    for group, row in enumerate(words):
        biases = portable.data["bias"][4 * group : 4 * group + 4].astype(np.int64)
        starts = [biases[0], biases[0] + 256 * biases[1], biases[2], biases[2] + 256 * biases[3]]
        assert row[:4].tolist() == [((start + 2**31) % 2**32) - 2**31 for start in starts]
        halves = row[4:-12].astype(np.int32).view(np.int16).reshape(-1, 2, 2, 2)  # [four, k or k + 1, pair, k or k + 2]
        lanes = halves.transpose(2, 0, 3, 1).reshape(2, -1)[:, :taps].astype(np.int64)
        low = lanes.astype(np.int8)
        made = np.stack([low[0], (lanes[0] - low[0]) >> 8, low[1], (lanes[1] - low[1]) >> 8])
        np.testing.assert_array_equal(made, portable.data["weights"].reshape(8, -1)[4 * group : 4 * group + 4])


def _first(part, index, name, value):
    """A change of one attribute of the first operator (part "operators") or of a tensor, or of its quantisation."""

    def change(model):
        target = getattr(model.subgraphs[0], part)[index]
        setattr(getattr(target, "quantization", target), name, value)

    return change


def _option(name, value):
    return lambda model: setattr(model.subgraphs[0].operators[0].builtinOptions, name, value)


@pytest.mark.parametrize(
    "content, change, said",
    [
        (conv_model(), _option("strideH", 0), "stride_h 0"),
        (conv_model(), _option("dilationWFactor", -1), "dilation -1"),
        (conv_model(), _option("strideW", 2), "its output is"),
        (conv_model(), _first("operators", 0, "inputs", [0, 0, 2]), "not make|not a constant"),
        (conv_model(), _first("operators", 0, "inputs", [0]), "1 inputs"),
        (conv_model(), _first("operators", 0, "inputs", [0, 1, 1]), "int8 where int32"),
        (depthwise_model(multiplier=2), _option("depthMultiplier", 3), "depth multiplier"),
        (dense_model(), _option("weightsFormat", 1), "shuffled"),
        (conv_model(), _first("tensors", 1, "zeroPoint", [3] * 8), "around 0"),
    ],
)
def test_contradictions_are_refused_with_their_place(content, change, said):
    with pytest.raises(ConvertError, match=said) as caught:
        lowered(edited(content, change), dsp=False)
    assert caught.value.where.startswith("0 ")
    assert caught.value.next_step

"""The exact rewrites: what vanishes, what must stay, and that the answer stays bit-equal with LiteRT's."""

from __future__ import annotations

import numpy as np
import pytest
from mcu_host import host_outputs, lowered
from tflite_maker import Maker, random_inputs, reference_outputs

from edgekit.convert.mcu.compile import program_of
from edgekit.convert.mcu.legalise.run import legalise
from edgekit.convert.mcu.lower.table import LOWERINGS
from edgekit.convert.mcu.pack import pack
from edgekit.convert.mcu.plan import plan
from edgekit.convert.mcu.tflite import parse_tflite
from edgekit.convert.mcu.unpack import unpack
from edgekit.errors import ConvertError
from edgekit.harness.int8_tensors import in_outside_order
from edgekit.harness.mcu_model import HostModel

from .compiler import needs_compiler


def legal(content):
    return legalise(parse_tflite(content, "made"), LOWERINGS)


def kinds(content):
    """The operators that are left."""
    return [operator.kind for operator in legal(content).graph.operators]


def assert_bit_equal(content):
    for seed in range(3):
        inputs = random_inputs(content, seed)
        for expected, answer in zip(reference_outputs(content, inputs), host_outputs(content, inputs), strict=True):
            np.testing.assert_array_equal(answer, expected)


def conv(maker, x, out_hw, *, in_c=4, out_c=3, kernel=3, output=(0.3, 4), kind="CONV_2D", **options):
    """A convolution with random weights onto a new tensor."""
    chance = np.random.default_rng(len(maker.graph.tensors))
    depthwise = kind == "DEPTHWISE_CONV_2D"
    out_c = in_c if depthwise else out_c
    shape = (1, kernel, kernel, out_c) if depthwise else (out_c, kernel, kernel, in_c)
    scales = chance.uniform(0.005, 0.02, out_c).tolist()
    w = maker.constant(chance.integers(-127, 128, shape).astype(np.int8), scales, axis=3 if depthwise else 0)
    b = maker.constant(chance.integers(-500, 500, out_c).astype(np.int32), scales)
    y = maker.tensor((1, *out_hw, out_c), *output)
    maker.operator(kind, [x, w, b], [y], **options)
    return y


def pad(maker, x, amounts, *, value=None, quantisation=(0.05, -3)):
    shape = [size + sum(amount) for size, amount in zip(maker.graph.tensors[x].shape, amounts, strict=False)]
    y = maker.tensor(shape, *quantisation)
    inputs = [x, maker.constant(np.array(amounts, np.int32))]
    if value is not None:
        inputs.append(maker.constant(np.array([value], np.int8), *quantisation))
    maker.operator("PAD" if value is None else "PADV2", inputs, [y])
    return y


AROUND = [(0, 0), (1, 1), (1, 1), (0, 0)]


def padded_conv(amounts=AROUND, *, padding="VALID", stride=1, kind="CONV_2D", value=None, kernel=3, output=False):
    maker = Maker()
    x = maker.input((1, 6, 7, 4), 0.05, -3)
    y = pad(maker, x, amounts, value=value)
    _, height, width, channels = maker.graph.tensors[y].shape
    reach = 1 if padding == "SAME" else kernel
    size = [-(-(side + 1 - reach) // stride) for side in (height, width)]
    options = {"padding": padding, "stride_h": stride, "stride_w": stride, "kernel": kernel, "kind": kind}
    maker.output(conv(maker, y, size, in_c=channels, **options))
    if output:
        maker.output(y)
    return maker.build()


@needs_compiler
@pytest.mark.parametrize(
    "more",
    [
        {}, {"kind": "DEPTHWISE_CONV_2D"}, {"stride": 2}, {"padding": "SAME"}, {"padding": "SAME", "stride": 2},
        {"amounts": [(0, 0), (0, 1), (0, 1), (0, 0)], "stride": 2, "kind": "DEPTHWISE_CONV_2D"},
        {"amounts": [(0, 0), (2, 0), (1, 2), (0, 0)]}, {"value": -3},
    ],
    ids=str,
)  # fmt: skip
def test_pad_is_folded_into_convolutions(more):
    content = padded_conv(**more)
    assert kinds(content) == [more.get("kind", "CONV_2D")]
    assert_bit_equal(content)


@needs_compiler
@pytest.mark.parametrize(
    "more",
    [
        {"value": 5}, {"output": True}, {"amounts": [(0, 0), (3, 0), (0, 0), (0, 0)]},
        {"amounts": [(0, 0), (1, 1), (1, 1), (0, 2)]}, {"amounts": [(0, 0), (0, 3), (0, 0), (0, 0)], "padding": "SAME"},
    ],
    ids=["another value", "an output", "windows that touch nothing", "channels", "windows below the image"],
)  # fmt: skip
def test_pad_stays_where_folding_it_would_not_be_exact(more):
    content = padded_conv(**more)
    assert len(kinds(content)) == 2
    assert_bit_equal(content)


@needs_compiler
def test_pad_read_by_two_convolutions_is_folded_into_both():
    maker = Maker()
    y = pad(maker, maker.input((1, 6, 7, 4), 0.05, -3), AROUND)
    maker.output(
        conv(maker, y, (6, 7), padding="VALID"), conv(maker, y, (6, 7), padding="VALID", kind="DEPTHWISE_CONV_2D")
    )
    assert kinds(maker.build()) == ["CONV_2D", "DEPTHWISE_CONV_2D"]
    assert_bit_equal(maker.build())


@needs_compiler
def test_pad_read_by_a_pool_as_well_stays():
    maker = Maker()
    y = pad(maker, maker.input((1, 6, 7, 4), 0.05, -3), AROUND)
    pooled = maker.tensor((1, 4, 4, 4), 0.05, -3)
    maker.operator("AVERAGE_POOL_2D", [y], [pooled], padding="VALID", stride_h=2, stride_w=2, filter_height=2,
                   filter_width=2)  # fmt: skip
    maker.output(conv(maker, y, (6, 7), padding="VALID"), pooled)
    assert len(kinds(maker.build())) == 3
    assert_bit_equal(maker.build())


@needs_compiler
def test_two_pads_in_a_row_are_folded():
    maker = Maker()
    x = maker.input((1, 5, 5, 4), 0.05, -3)
    y = pad(maker, pad(maker, x, AROUND), [(0, 0), (1, 0), (0, 1), (0, 0)])
    maker.output(conv(maker, y, (4, 4), kernel=5, padding="VALID"))
    assert kinds(maker.build()) == ["CONV_2D"]
    assert_bit_equal(maker.build())


def activated(kind="RELU6", *, output=(0.03, -100), source=(0.03, -100), fused="NONE", twice=False):
    maker = Maker()
    x = maker.input((1, 6, 7, 4), 0.05, -3)
    y = conv(maker, x, (6, 7), output=source, padding="SAME", fused_activation_function=fused)
    z = maker.tensor((1, 6, 7, 3), *output)
    maker.operator(kind, [y], [z])
    maker.output(z, *([y] if twice else []))
    return maker.build()


@needs_compiler
@pytest.mark.parametrize("kind", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_activation_becomes_the_clamp(kind):
    content = activated(kind)
    assert kinds(content) == ["CONV_2D"]
    assert_bit_equal(content)


@needs_compiler
@pytest.mark.parametrize(
    "more", [{"output": (0.04, -100)}, {"output": (0.03, -99)}, {"fused": "RELU"}, {"twice": True}], ids=str
)
def test_activation_stays_where_fusing_it_would_not_be_exact(more):
    content = activated(**more)
    assert len(kinds(content)) == 2
    assert_bit_equal(content)


def float_outside(outputs=1):
    """float → QUANTIZE → conv → DEQUANTIZE → float."""
    maker = Maker()
    x = maker.input((1, 6, 7, 4), dtype="float32", name="image")
    inner = maker.tensor((1, 6, 7, 4), 0.05, -3, name="image_int8")
    maker.operator("QUANTIZE", [x], [inner])
    y = conv(maker, inner, (6, 7), padding="SAME")
    for number in range(outputs):
        real = maker.tensor((1, 6, 7, 3), dtype="float32", name=f"scores{number}")
        maker.operator("DEQUANTIZE", [y], [real])
        maker.output(real)
    return maker


@needs_compiler
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_float_boundary_is_left_to_the_host(outputs):
    content = float_outside(outputs).build()
    assert kinds(content) == ["CONV_2D"]
    program = lowered(content, dsp=False)
    (read,) = program.inputs
    assert (read.name, read.shape, read.zero_point, read.float_outside) == ("image", (1, 6, 7, 4), -3, True)
    assert [end.name for end in program.outputs] == [f"scores{number}" for number in range(outputs)]
    assert all(end.float_outside and end.zero_point == 4 for end in program.outputs)
    assert_bit_equal(content)


@needs_compiler
def test_an_input_quantised_twice_in_the_same_way_is_one_input():
    maker = float_outside()
    again = maker.tensor((1, 6, 7, 4), 0.05, -3)
    maker.operator("QUANTIZE", [0], [again])
    maker.output(conv(maker, again, (6, 7), padding="SAME"))
    assert kinds(maker.build()) == ["CONV_2D", "CONV_2D"]
    assert_bit_equal(maker.build())


def test_an_input_quantised_in_two_ways_is_refused():
    maker = float_outside()
    again = maker.tensor((1, 6, 7, 4), 0.06, -3)
    maker.operator("QUANTIZE", [0], [again])
    maker.output(conv(maker, again, (6, 7), padding="SAME"))
    with pytest.raises(ConvertError, match='"image" is quantised in several ways'):
        legal(maker.build())


def test_a_float_input_nobody_reads_is_refused():
    maker = float_outside()
    maker.input((1, 3), dtype="float32", name="idle")
    with pytest.raises(ConvertError, match='"idle" is not used'):
        legal(maker.build())


@needs_compiler
@pytest.mark.parametrize("kind", ["RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"])
def test_what_moves_no_byte_vanishes(kind):
    """In the middle of a model: the view is read, and so is what it views."""
    maker = Maker()
    y = conv(maker, maker.input((1, 6, 7, 4), 0.05, -3), (1, 1), kernel=6, padding="VALID", stride_h=9, stride_w=9)
    operand = {
        "RESHAPE": ([np.array([1, 3], np.int32)], (1, 3), {"new_shape": [1, 3]}),
        "SQUEEZE": ([], (1, 3), {"squeeze_dims": [1, 2]}),
        "EXPAND_DIMS": ([np.array(0, np.int32)], (1, 1, 1, 1, 3), {}),
        "TRANSPOSE": ([np.array([0, 3, 1, 2], np.int32)], (1, 3, 1, 1), {}),
    }
    constants, shape, options = operand[kind]
    view = maker.tensor(shape, 0.3, 4)
    maker.operator(kind, [y, *map(maker.constant, constants)], [view], **options)
    dense = maker.tensor((1, 2), 0.2, 0)
    w = maker.constant(np.arange(6, dtype=np.int8).reshape(2, 3), 0.05)
    maker.operator("FULLY_CONNECTED", [view, w, -1], [dense])
    maker.output(dense, view, y)
    content = maker.build()
    assert kinds(content) == ["CONV_2D", "FULLY_CONNECTED"]
    program = lowered(content, dsp=False)
    assert program.outputs[1].buffer == program.outputs[2].buffer
    assert program.outputs[1].shape == shape
    assert_bit_equal(content)


@needs_compiler
def test_a_model_that_only_reshapes_has_no_steps():
    maker = Maker()
    x = maker.input((1, 4, 3), 0.05, -3)
    y = maker.tensor((1, 12), 0.05, -3)
    maker.operator("RESHAPE", [x], [y], new_shape=[1, 12])
    maker.output(y)
    assert lowered(maker.build(), dsp=False).steps == ()
    assert_bit_equal(maker.build())


def test_a_reshape_to_another_size_is_refused():
    maker = Maker()
    x = maker.input((1, 4, 3), 0.05, -3)
    y = maker.tensor((1, 11), 0.05, -3, name="short")
    maker.operator("RESHAPE", [x], [y], new_shape=[1, 11])
    maker.output(y)
    with pytest.raises(ConvertError, match="RESHAPE") as caught:
        legal(maker.build())
    assert caught.value.where == "0 RESHAPE short"


@needs_compiler
def test_dead_operators_are_removed():
    maker = Maker()
    x = maker.input((1, 6, 7, 4), 0.05, -3)
    y = conv(maker, x, (6, 7), padding="SAME")
    unread = conv(maker, conv(maker, x, (6, 7), padding="SAME"), (6, 7), in_c=3, padding="SAME")
    assert unread
    maker.output(y)
    assert kinds(maker.build()) == ["CONV_2D"]
    assert_bit_equal(maker.build())


@needs_compiler
def test_operators_on_constants_are_done_at_compile_time():
    """A float constant is quantised, transposed and reshaped before it is added."""
    chance = np.random.default_rng(0)
    maker = Maker()
    x = maker.input((1, 3, 2, 2), 0.05, -3)
    real = maker.constant(np.concatenate([chance.normal(0, 3, 10), [0.025 * 5, 1e6]]).astype(np.float32).reshape(2, 6))
    stored, moved, shaped = (maker.tensor(shape, 0.05, 2) for shape in ((2, 6), (6, 2), (1, 3, 2, 2)))
    maker.operator("QUANTIZE", [real], [stored])
    maker.operator("TRANSPOSE", [stored, maker.constant(np.array([1, 0], np.int32))], [moved])
    maker.operator("RESHAPE", [moved], [shaped], new_shape=[1, 3, 2, 2])
    y = maker.tensor((1, 3, 2, 2), 0.1, 0)
    maker.operator("ADD", [x, shaped], [y])
    maker.output(y)
    assert kinds(maker.build()) == ["ADD"]
    assert_bit_equal(maker.build())


def test_a_constant_without_a_number_is_not_quantised():
    maker = Maker()
    x = maker.input((1, 2), 0.05, -3)
    stored, y = maker.tensor((1, 2), 0.05, 2, name="stored"), maker.tensor((1, 2), 0.1, 0)
    maker.operator("QUANTIZE", [maker.constant(np.array([[np.nan, 1]], np.float32))], [stored])
    maker.operator("ADD", [x, stored], [y])
    maker.output(y)
    with pytest.raises(ConvertError) as caught:
        lowered(maker.build(), dsp=False)
    assert "0 QUANTIZE stored" in caught.value.where


@needs_compiler
def test_several_inputs_and_outputs_keep_their_order():
    maker = Maker()
    a, b = maker.input((1, 5, 5, 4), 0.05, -3, name="a"), maker.input((1, 5, 5, 4), 0.07, 9, name="b")
    one, two = conv(maker, b, (5, 5), padding="SAME"), conv(maker, a, (5, 5), padding="SAME")
    maker.output(two, one)
    program = lowered(maker.build(), dsp=False)
    assert [end.name for end in program.inputs] == ["a", "b"]
    assert_bit_equal(maker.build())


def transposed(maker, x, *order):
    tensor = maker.graph.tensors[x]
    y = maker.tensor([tensor.shape[axis] for axis in order], 0.05, -3)
    maker.operator("TRANSPOSE", [x, maker.constant(np.array(order, np.int32))], [y])
    return y


def reduced(kind, order, axes, shape, *, keep=False, output=(0.05, -3)):
    """TRANSPOSE, then a reduction."""
    maker = Maker()
    x = maker.input((1, 4, 5, 6), 0.05, -3)
    y = maker.tensor(shape, *output)
    axes = maker.constant(np.array(axes, np.int32))
    maker.operator(kind, [transposed(maker, x, *order), axes], [y], keep_dims=keep)
    maker.output(y)
    return maker.build()


@needs_compiler
@pytest.mark.parametrize(
    "kind, order, axes, shape, more",
    [
        ("MEAN", (0, 3, 1, 2), (2, 3), (1, 6), {"output": (0.03, 9)}),
        ("MEAN", (0, 3, 1, 2), (-1, 2), (1, 6, 1, 1), {"keep": True}),
        ("MEAN", (0, 2, 1, 3), (1, 2), (1, 6), {"output": (0.02, 0)}),
        ("REDUCE_MAX", (0, 3, 1, 2), (2, 3), (1, 6), {}),
        ("MEAN", (3, 0, 1, 2), (2, 3), (6, 1), {}),
    ],
)
def test_transpose_vanishes_into_a_reduction(kind, order, axes, shape, more):
    content = reduced(kind, order, axes, shape, **more)
    assert kinds(content) == [kind]
    assert_bit_equal(content)


@needs_compiler
def test_transpose_stays_before_a_reduction_that_leaves_axes_in_another_order():
    content = reduced("MEAN", (0, 3, 1, 2), (2,), (1, 6, 5))
    assert kinds(content) == ["TRANSPOSE", "MEAN"]
    assert_bit_equal(content)


@needs_compiler
@pytest.mark.parametrize("second, left", [((0, 2, 3, 1), []), ((0, 2, 1, 3), ["TRANSPOSE"])])
def test_two_transposes_are_one_or_none(second, left):
    maker = Maker()
    x = maker.input((1, 4, 5, 6), 0.05, -3)
    maker.output(transposed(maker, transposed(maker, x, 0, 3, 1, 2), *second))
    assert kinds(maker.build()) == left
    assert_bit_equal(maker.build())


@needs_compiler
def test_a_transpose_that_is_read_twice_is_made_once():
    maker = Maker()
    moved = transposed(maker, maker.input((1, 4, 5, 6), 0.05, -3), 0, 3, 1, 2)
    y = maker.tensor((1, 6), 0.05, -3)
    maker.operator("MEAN", [moved, maker.constant(np.array([2, 3], np.int32))], [y])
    maker.output(y, moved)
    assert kinds(maker.build()) == ["TRANSPOSE", "MEAN"]
    assert_bit_equal(maker.build())


def channel_first(*, reads=1, output_read=False, order=(0, 2, 3, 1)):
    """As the converter writes a model of PyTorch: channel-first outside."""
    maker = Maker()
    x = maker.input((1, 4, 6, 7), 0.05, -3, name="image")
    y = conv(maker, transposed(maker, x, *order), (6, 7), padding="SAME", output=(0.05, -3))
    for _ in range(reads - 1):
        maker.output(conv(maker, transposed(maker, x, 0, 2, 3, 1), (6, 7), padding="SAME"))
    z = transposed(maker, y, 0, 3, 1, 2)
    if output_read:
        w = maker.constant(np.ones((2, 7), np.int8), 0.01)
        made = maker.tensor((18, 2), 0.05, 0)
        maker.operator("FULLY_CONNECTED", [z, w, -1], [made])
        maker.output(made)
    maker.output(z)
    return maker.build()


@needs_compiler
@pytest.mark.parametrize("reads", [1, 2])
def test_transposes_at_the_ends_are_left_to_a_host_that_takes_them(reads):
    content = channel_first(reads=reads)
    program = program_of(parse_tflite(content, "made"), dsp=False, float_outside=True)
    assert [step.kernel for step in program.steps] == ["conv"] * reads
    (read,), (*_, made) = program.inputs, program.outputs
    assert (read.name, read.shape, read.axes) == ("image", (1, 6, 7, 4), (0, 2, 3, 1))
    assert (made.shape, made.axes, made.float_outside) == ((1, 6, 7, 3), (0, 2, 3, 1), True)
    ekm = pack(program, plan(program))
    host, packed = HostModel(ekm), unpack(ekm)
    assert [end.axes for end in host.inputs + host.outputs] == [end.axes for end in packed.inputs + packed.outputs]
    assert host.inputs[0].axes == (0, 2, 3, 1)
    inputs = random_inputs(content)
    answers = host.run([np.ascontiguousarray(inputs[0].transpose(0, 2, 3, 1))])
    expected = reference_outputs(content, inputs)
    np.testing.assert_array_equal(in_outside_order(answers[-1], host.outputs[-1]), expected[-1])


def test_transposes_at_the_ends_stay_where_the_host_was_not_asked():
    assert kinds(channel_first()) == ["TRANSPOSE", "CONV_2D", "TRANSPOSE"]


@needs_compiler
def test_a_transpose_at_an_output_that_is_read_stays_for_its_reader():
    content = channel_first(output_read=True)
    program = program_of(parse_tflite(content, "made"), dsp=False, float_outside=True)
    assert [step.kernel for step in program.steps] == ["conv", "copy", "conv"]
    assert [end.axes for end in program.outputs] == [(), (0, 2, 3, 1)]


def test_an_input_that_is_read_in_two_orders_stays():
    maker = Maker()
    x = maker.input((1, 4, 4, 4), 0.05, -3)
    for order in ((0, 2, 3, 1), (0, 3, 2, 1)):
        maker.output(conv(maker, transposed(maker, x, *order), (4, 4), padding="SAME"))
    program = program_of(parse_tflite(maker.build(), "made"), dsp=False, float_outside=True)
    assert [step.kernel for step in program.steps] == ["copy", "conv", "copy", "conv"]
    assert program.inputs[0].axes == ()

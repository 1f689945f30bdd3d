"""BATCH_MATMUL, layer normalisation and attention against LiteRT's reference kernels, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.convert.mcu.lower import geometry, overlaps
from edgekit.errors import ConvertError
from tests.tflite_maker import Maker
from tests.unit.mcu.compiler import needs_compiler
from tests.unit.mcu.litert import check_equal, compiled

pytestmark = needs_compiler

A, B = (0.05, -3), (0.02, 17)
SHAPES = [
    ((1, 5, 7), (1, 7, 6)),
    ((3, 9, 16), (3, 16, 9)),
    ((1, 3, 4, 8), (1, 3, 8, 5)),
    ((1, 3, 4, 8), (1, 1, 8, 3)),
    ((1, 1, 4, 8), (1, 5, 8, 3)),
    ((1, 2, 3, 4, 6), (1, 2, 1, 6, 7)),
    ((6, 4), (4, 3)),
    ((1, 6, 4), (4, 3)),
    ((1, 1, 300), (1, 300, 1)),
]


def transposed(shape):
    return (*shape[:-2], shape[-1], shape[-2])


def model(a, b, output, constant=None, target=(0.3, 5), **options):
    maker = Maker()
    generator = np.random.default_rng(2)
    numbers = []
    for name, shape, quantisation in (("a", a, A), ("b", b, B)):
        if name == constant:
            numbers.append(maker.constant(generator.integers(-128, 128, shape).astype(np.int8), *quantisation))
        else:
            numbers.append(maker.input(shape, *quantisation))
    made = maker.tensor(output, *target)
    maker.operator("BATCH_MATMUL", numbers, [made], **options)
    maker.output(made)
    return maker.build()


@pytest.mark.parametrize(("a", "b"), SHAPES)
@pytest.mark.parametrize("adj_x", [False, True])
@pytest.mark.parametrize("adj_y", [False, True])
def test_products(a, b, adj_x, adj_y):
    output = np.matmul(np.zeros(a), np.zeros(b)).shape
    content = model(transposed(a) if adj_x else a, transposed(b) if adj_y else b, output, adj_x=adj_x, adj_y=adj_y)
    check_equal(content)


@pytest.mark.parametrize("constant", ["a", "b", None])
@pytest.mark.parametrize("target", [(0.3, 5), (0.004, -100), (9.0, 0)])
def test_constants_and_scales(constant, target):
    check_equal(model((1, 3, 9, 16), (1, 3, 16, 9), (1, 3, 9, 9), constant, target, adj_x=False, adj_y=False), rounds=1)


def test_extreme_values():
    content = model((1, 4, 700), (1, 700, 5), (1, 4, 5), target=(20.0, 0), adj_x=False, adj_y=False)
    extremes = [np.full((1, 4, 700), -128, np.int8), np.full((1, 700, 5), -128, np.int8)]
    check_equal(content, [extremes, [127 + 0 * extremes[0], extremes[1]]])


def test_products_share_memory_with_their_operands():
    made = check_equal(model((3, 9, 16), (3, 16, 9), (3, 9, 9), adj_x=False, adj_y=False))
    distances = [overlap.distance for overlap in made.program.steps[0].overlaps]
    assert distances == [9, 81]  # a row of the output, and a matrix
    assert made.plan.arena_bytes == 432 + 432 + 12


def test_a_tensor_multiplied_by_itself_is_not_overwritten():
    maker = Maker()
    x = maker.input((1, 3, 12, 12), *A)
    made = maker.tensor((1, 3, 12, 12), 0.3, 5)
    maker.operator("BATCH_MATMUL", [x, x], [made], adj_x=False, adj_y=True)
    maker.output(made)
    (step,) = check_equal(maker.build()).program.steps
    assert [overlap.distance for overlap in step.overlaps] == [144]


@pytest.mark.parametrize(
    "batches, strides, row_stride", [((1, 2, 3), (0, 80, 20), 4), ((1, 1, 4), (0, 0, 0), 6), ((2, 2, 1), (7, 40, 0), 0)]
)
@pytest.mark.parametrize("piece", [3, 9, 50])
def test_by_pieces_is_the_least_distance_without_harm(batches, strides, row_stride, piece):
    """Played through: what is written up to a piece's end never covers what this piece or a later one reads."""
    lowest = geometry.positions([*batches, 5], [*strides, row_stride])
    distance = overlaps.by_pieces(lowest, piece)

    def harmless(distance):
        return all(
            (done + 1) * piece - distance <= read for done in range(len(lowest)) for read in lowest[done:].tolist()
        )

    assert harmless(distance)
    assert not harmless(distance - 1)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ConvertError, match="it multiplies"):
        compiled(model((1, 5, 7), (1, 8, 6), (1, 5, 6), adj_x=False, adj_y=False))
    with pytest.raises(ConvertError, match="broadcast"):
        compiled(model((1, 2, 5, 7), (1, 3, 7, 6), (1, 2, 5, 6), adj_x=False, adj_y=False))


def layer_norm(maker, x, shape):
    """x normalised over its last axis, as litert-torch and TensorFlow's converters spell it."""
    few = (*shape[:-1], 1)
    axis = maker.constant(np.array([len(shape) - 1], np.int32))
    mean, squared, root = maker.tensor(few, 0.004, 3), maker.tensor(shape, 0.06, -128), maker.tensor(few, 0.01, -120)
    variance, shifted = (maker.tensor(few, 0.009, -128) for _ in range(2))
    maker.operator("MEAN", [x, axis], [mean], keep_dims=True)
    maker.operator("SQUARED_DIFFERENCE", [x, mean], [squared])
    maker.operator("MEAN", [squared, axis], [variance], keep_dims=True)
    maker.operator("ADD", [variance, maker.constant(np.array(-127, np.int8), 1e-5, -128)], [shifted])
    maker.operator("RSQRT", [shifted], [root])
    gain = maker.constant(np.random.default_rng(1).integers(-128, 128, shape[-1:]).astype(np.int8), 0.009)
    numbers = ((0.011, 0), (0.03, 4), (0.002, 1), (0.03, 2), (0.03, 5))
    factor, scaled, offset, centred, made = (maker.tensor(shape, scale, zero) for scale, zero in numbers)
    maker.operator("MUL", [root, gain], [factor])
    maker.operator("MUL", [x, factor], [scaled])
    maker.operator("MUL", [mean, factor], [offset])
    bias = maker.constant(np.random.default_rng(4).integers(-128, 128, shape[-1:]).astype(np.int8), 0.004)
    maker.operator("SUB", [bias, offset], [centred])
    maker.operator("ADD", [scaled, centred], [made])
    return made


def test_layer_normalisation():
    maker = Maker()
    shape = (1, 17, 48)
    maker.output(layer_norm(maker, maker.input(shape, 0.03, 2), shape))
    check_equal(maker.build(), rounds=3)


def test_attention():
    maker = Maker()
    tokens, heads, width = 13, 3, 8
    shape = (1, tokens, 3, heads, width)
    x = maker.input(shape, 0.03, 2)
    order = maker.constant(np.array([2, 0, 3, 1, 4], np.int32))
    turned = maker.tensor((3, 1, heads, tokens, width), 0.03, 2)
    maker.operator("TRANSPOSE", [x, order], [turned])
    parts = []
    for part in range(3):
        cut, flat = maker.tensor((1, 1, heads, tokens, width), 0.03, 2), maker.tensor((heads, tokens, width), 0.03, 2)
        begin = maker.constant(np.array([part, 0, 0, 0, 0], np.int32))
        size = maker.constant(np.array([1, 1, heads, tokens, width], np.int32))
        maker.operator("SLICE", [turned, begin, size], [cut])
        maker.operator("RESHAPE", [cut], [flat], new_shape=[heads, tokens, width])
        parts.append(flat)
    square = (heads, tokens, tokens)
    scores, weights = maker.tensor(square, 0.01, 0), maker.tensor(square, 1 / 256, -128)
    made, joined = maker.tensor((heads, tokens, width), 0.02, 1), maker.tensor((tokens, heads, width), 0.02, 1)
    maker.operator("BATCH_MATMUL", parts[:2], [scores], adj_x=False, adj_y=True)
    maker.operator("SOFTMAX", [scores], [weights], beta=1.0)
    maker.operator("BATCH_MATMUL", [weights, parts[2]], [made], adj_x=False, adj_y=False)
    maker.operator("TRANSPOSE", [made, maker.constant(np.array([1, 0, 2], np.int32))], [joined])
    maker.output(joined)
    check_equal(maker.build(), rounds=3)

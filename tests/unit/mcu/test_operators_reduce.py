"""Pools and reductions against LiteRT's reference kernels, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.errors import ConvertError
from tests.tflite_maker import Maker
from tests.unit.mcu.compiler import needs_compiler
from tests.unit.mcu.litert import check_equal, compiled

pytestmark = needs_compiler


def pool(kind, shape, output, window, stride, padding, scale=0.05, zero_point=-3, **options):
    maker = Maker()
    read = maker.input(shape, scale, zero_point)
    made = maker.tensor((1, *output, shape[3]), scale, zero_point)
    maker.operator(
        kind, [read], [made], filter_height=window[0], filter_width=window[1], stride_h=stride[0], stride_w=stride[1],
        padding=padding, **options,
    )  # fmt: skip
    maker.output(made)
    return maker.build()


GEOMETRIES = [
    ((1, 8, 8, 3), (4, 4), (2, 2), (2, 2), "VALID"),
    ((1, 7, 9, 8), (4, 5), (3, 3), (2, 2), "SAME"),
    ((1, 7, 9, 9), (7, 9), (3, 2), (1, 1), "SAME"),
    ((1, 6, 6, 17), (1, 1), (6, 6), (1, 1), "VALID"),
    ((1, 5, 5, 1), (3, 5), (5, 4), (2, 1), "SAME"),
    ((1, 25, 5, 16), (1, 1), (25, 5), (25, 5), "VALID"),
    ((1, 3, 3, 4), (1, 1), (2, 2), (5, 5), "SAME"),
]


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("activation", ["NONE", "RELU6"])
def test_pools(kind, geometry, activation):
    check_equal(pool(kind, *geometry, fused_activation_function=activation))


def test_averages_round_halves_away_from_zero():
    content = pool("AVERAGE_POOL_2D", (1, 2, 2, 4), (1, 1), (2, 2), (2, 2), "VALID")
    values = np.zeros((1, 2, 2, 4), np.int8)
    values[0, 0, 0] = [2, -2, 6, -6]
    check_equal(content, [[values]])


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_pools_share_memory_with_their_input(kind):
    for geometry in GEOMETRIES:
        shape, padding = geometry[0], geometry[-1]
        made = check_equal(pool(kind, *geometry))
        (overlap,) = made.program.steps[0].overlaps
        assert padding == "SAME" or overlap.distance == 0
        assert made.plan.arena_bytes <= math.prod(shape) + overlap.distance + 8  # two begin at multiples of 4


def test_a_pool_that_requantises_is_refused():
    maker = Maker()
    read, made = maker.input((1, 4, 4, 2), 0.1), maker.tensor((1, 2, 2, 2), 0.2)
    window = {"filter_height": 2, "filter_width": 2, "stride_h": 2, "stride_w": 2}
    maker.operator("MAX_POOL_2D", [read], [made], padding="VALID", **window)
    maker.output(made)
    with pytest.raises(ConvertError, match="differ in scale"):
        compiled(maker.build())


def reduction(kind, shape, axes, keep, source, target):
    maker = Maker()
    read = maker.input(shape, *source)
    axis = maker.constant(np.array(axes, np.int32))
    gone = {a % len(shape) for a in axes}
    output = [1 if a in gone else n for a, n in enumerate(shape) if keep or a not in gone]
    made = maker.tensor(output, *target)
    maker.operator(kind, [read, axis], [made], keep_dims=keep)
    maker.output(made)
    return maker.build()


AXES = [
    ((1, 6, 5, 7), [1, 2]),
    ((1, 6, 5, 17), [2, 1]),
    ((1, 49, 192), [2]),
    ((1, 49, 31), [-1]),
    ((1, 49, 31), [1]),
    ((1, 6, 5, 4), [1]),
    ((1, 6, 5, 4), [1, 3]),
    ((1, 6, 5, 4), [1, 2, 3]),
    ((1, 3, 4, 5, 6), [2, 4]),
    ((1, 3, 4, 5, 6), [1, 3]),
    ((1, 1, 1, 9), [1, 2]),
    ((3, 2, 4), [0]),
]
QUANTISATIONS = [((0.05, -3), (0.05, -3)), ((0.05, -128), (0.021, 100)), ((0.002, 60), (0.9, 4)), ((0.7, 9), (0.03, 0))]


@pytest.mark.parametrize(("shape", "axes"), AXES)
@pytest.mark.parametrize("keep", [True, False])
def test_means(shape, axes, keep):
    for source, target in QUANTISATIONS:
        check_equal(reduction("MEAN", shape, axes, keep, source, target), rounds=1)


def test_sums_are_refused_by_name():
    with pytest.raises(ConvertError, match="SUM"):
        compiled(reduction("SUM", (1, 4, 4), [1], True, (0.1, 0), (0.1, 0)))


EVERY = np.arange(-128, 128).astype(np.int8)


@pytest.mark.parametrize("kind", ["SUM", "MEAN", "REDUCE_MAX"])
@pytest.mark.parametrize(("shape", "axes"), [((1, 1, 1, 256), [1, 2]), ((1, 256, 1), [-1]), ((1, 16, 1, 16), [2, 0])])
@pytest.mark.parametrize("keep", [True, False])
def test_a_reduction_over_axes_of_size_one_is_no_step(kind, shape, axes, keep):
    for quantisation in [(0.05, -3), (0.0237, 127), (1.0, 0), (3e-5, -128)]:
        content = reduction(kind, shape, axes, keep, quantisation, quantisation)
        assert check_equal(content, [[EVERY.reshape(shape)]]).program.steps == ()


def test_a_reduction_of_one_value_that_requantises_is_a_step():
    (step,) = check_equal(reduction("MEAN", (1, 1, 1, 9), [1, 2], True, (0.05, -3), (0.04, 7))).program.steps
    assert step.kernel == "reduce"
    with pytest.raises(ConvertError, match="SUM"):
        compiled(reduction("SUM", (1, 1, 1, 9), [1, 2], True, (0.05, -3), (0.04, 7)))


@pytest.mark.parametrize(("shape", "axes"), AXES)
@pytest.mark.parametrize("keep", [True, False])
def test_greatest(shape, axes, keep):
    check_equal(reduction("REDUCE_MAX", shape, axes, keep, (0.05, -3), (0.05, -3)))


def test_every_mean_of_two():
    values = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)), axis=-1).astype(np.int8)
    for source, target in QUANTISATIONS:
        check_equal(reduction("MEAN", (1, 256, 256, 2), [3], False, source, target), [[values[None]]])


def test_a_mean_over_the_last_axis_works_in_place():
    made = check_equal(reduction("MEAN", (1, 49, 192), [2], True, (0.05, -3), (0.02, 1)))
    assert made.plan.arena_bytes == 49 * 192


def test_axes_outside_the_shape_are_refused():
    with pytest.raises(ConvertError, match="axes"):
        compiled(reduction("MEAN", (1, 4, 4), [1, 4], True, (0.1, 0), (0.1, 0)))

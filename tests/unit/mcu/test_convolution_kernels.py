"""conv and depthwise against LiteRT's reference kernels, bit for bit, and in shared memory against themselves."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.convert.mcu.lower import overlaps
from edgekit.harness.mcu_model import HostModel

from .compiler import needs_compiler
from .convolutions import ORDER_CHANNELS, PLAIN, STREAM, Case, Layer, pointwise, random_case

pytestmark = needs_compiler

SEEDS = range(48)


def run(layer: Layer, kind: str, **memory: int) -> np.ndarray:
    (answer,) = HostModel(layer.ekm(kind, **memory)).run([layer.inputs])
    return answer


# What the random ones seldom are: windows too large for fused sums, and what the kernel for 3x3 takes.
DEEP = [Case(2, 3, 1400, 6, 1, 1, seed=20), Case(3, 3, 160, 5, 3, 3, gain=3.0, seed=21)]
PLANES = [Case(6, 5, 8, 8, 3, 3, groups=None, seed=22), Case(1, 7, 4, 4, 3, 3, gain=3.0, groups=None, seed=23)]


@pytest.mark.parametrize("depthwise", [False, True], ids=["conv", "depthwise"])
def test_random_geometry_is_bit_exact(depthwise: bool) -> None:
    shifts, clamped, layouts = set(), 0, set()
    cases = [*(random_case(seed, depthwise=depthwise) for seed in SEEDS), *(PLANES if depthwise else DEEP)]
    for layer in map(Layer, cases):
        expected = layer.reference()
        assert expected.shape == layer.case.out_shape
        for kind in layer.kinds():
            np.testing.assert_array_equal(run(layer, kind), expected, err_msg=f"{kind} {layer.case}")
            layouts.add(0 if kind == PLAIN else layer.layout)
        shifts |= set(np.sign(layer.shifts()).tolist())
        clamped += 0 < np.isin(expected, (expected.min(), expected.max())).mean() < 1
    # Worth something: shifts of both signs, every layout, outputs that are neither constant nor all clamped.
    assert {-1, 1} <= shifts and len(layouts) == 3 and clamped > len(SEEDS) // 2


SPATIAL = [
    Case(7, 6, 3, 4, 3, 3, seed=1),
    Case(8, 5, 4, 6, 3, 3, stride_h=2, stride_w=2, seed=2),
    Case(9, 4, 5, 2, 5, 1, seed=3),
    Case(6, 6, 4, 4, 2, 2, padding="VALID", seed=4),
    Case(7, 5, 4, 8, 3, 3, groups=2, seed=5),
    Case(7, 6, 5, 5, 3, 3, groups=None, seed=6),
    Case(9, 6, 3, 6, 3, 3, stride_h=2, stride_w=2, groups=None, seed=7),
    Case(9, 6, 3, 3, 3, 3, dilation_h=2, groups=None, seed=8),
]


def distances(least: int, made: int) -> list[int]:
    """Every allowed distance up to where the two no longer touch; of many, 24 with both ends."""
    every = range(max(0, least), max(made, least, 0) + 1)
    return sorted({every[round(i)] for i in np.linspace(0, len(every) - 1, 24)})


@pytest.mark.parametrize("case", SPATIAL, ids=str)
def test_output_may_trail_the_input_by_rows(case: Case) -> None:
    layer = Layer(case)
    row_bytes = case.in_w * case.in_c, case.out_w * case.out_c
    least = overlaps.by_rows(
        in_row_bytes=row_bytes[0], out_row_bytes=row_bytes[1], out_h=case.out_h, stride_h=case.stride_h,
        pad_top=case.pads[0],
    )  # fmt: skip
    for kind in layer.kinds():
        expected = run(layer, kind)
        for distance in distances(least, case.out_h * row_bytes[1]):
            got = run(layer, kind, distance=distance)
            np.testing.assert_array_equal(got, expected, err_msg=f"{kind} at {distance}")


@pytest.mark.parametrize(("in_c", "out_c"), [(8, 8), (3, 7), (7, 3), (16, 4), (1, 5)])
def test_pointwise_output_may_trail_the_input_by_pixels(in_c: int, out_c: int) -> None:
    layer = Layer(pointwise(9, in_c, out_c))
    pixels = layer.case.in_h * layer.case.in_w
    for kind in layer.kinds():
        expected = run(layer, kind)
        for distance in distances(overlaps.by_pixels(pixels=pixels, in_c=in_c, out_c=out_c), pixels * out_c):
            got = run(layer, kind, distance=distance)
            np.testing.assert_array_equal(got, expected, err_msg=f"{kind} at {distance}")


def test_less_than_the_distance_goes_wrong() -> None:
    # Or the two tests above could not fail.
    layer = Layer(SPATIAL[0])
    assert not np.array_equal(run(layer, PLAIN, distance=0), run(layer, PLAIN))
    layer = Layer(pointwise(9, 8, 8))
    assert not np.array_equal(run(layer, PLAIN, distance=4), run(layer, PLAIN))


IN_PLACE = [
    Case(7, 6, 5, 5, 3, 3, groups=None, seed=11),
    Case(7, 6, 4, 4, 5, 1, groups=None, seed=12),
    Case(6, 5, 8, 8, 3, 3, groups=None, seed=18),
    Case(5, 9, 3, 3, 1, 5, groups=None, seed=13),
    Case(9, 6, 3, 3, 3, 3, dilation_h=3, dilation_w=2, groups=None, seed=14),
    Case(2, 3, 8, 8, 5, 5, groups=None, seed=15),
    Case(1, 1, 8, 8, 3, 3, stride_h=2, stride_w=2, groups=None, seed=16),
    Case(6, 4, 2, 2, 2, 2, groups=None, seed=17),
]


@pytest.mark.parametrize("case", IN_PLACE, ids=str)
def test_depthwise_works_in_place(case: Case) -> None:
    layer = Layer(case)
    expected = layer.reference()
    np.testing.assert_array_equal(run(layer, PLAIN, distance=0, order=ORDER_CHANNELS), expected)
    np.testing.assert_array_equal(run(layer, PLAIN, order=ORDER_CHANNELS), expected)
    if case.planes and STREAM in layer.kinds():
        np.testing.assert_array_equal(run(layer, STREAM, distance=0), expected)


def test_streams_in_place_are_among_these() -> None:
    assert any(case.planes and STREAM in Layer(case).kinds() for case in IN_PLACE)

"""The arithmetic of the DSP kernels' streams, sum by sum against the plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.convert.mcu.lower import dsp
from tests.mcu_kernel_cases import requantised, requantised_once


def assembly(sums, scaling, *, once):
    """What conv_tile.S makes of sums; int64."""
    multiplier, constant, exponent = (int(value) for value in scaling)
    assert 1 <= exponent <= 31
    doubled = 2 * sums
    if once:
        value = (doubled * multiplier >> 32) + constant
    else:
        value = ((doubled * multiplier + (1 << 31)) >> 32) + constant + (doubled >> 63)
    assert np.all(np.abs(value) < 1 << 31)
    return np.clip(value >> exponent, -128, 127)


def plain(sums, multiplier, shift, zero_point, *, once):
    scaled = (requantised_once if once else requantised)(sums[:, None], np.array([multiplier]), np.array([shift]))
    return np.clip(scaled[:, 0] + zero_point, -128, 127)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("exponent", [1, 2, 5, 9, 14])
def test_every_sum_is_requantised_as_litert_does(exponent, once):
    """All sums of +-2^16, multipliers with and without ties."""
    sums = np.arange(-(1 << 16), (1 << 16) + 1, 1 if exponent < 3 and not once else 7)
    weights = np.full((1, 4), 127, np.int8)  # spread 65024
    for multiplier in (1 << 30, (1 << 30) + 1, 3 << 29, (1 << 31) - 1, 1234567891):
        for zero_point in (-128, -3, 127):
            words = dsp.conv_tiles(
                weights, np.zeros(1, np.int32), np.array([multiplier], np.int32), np.array([-exponent], np.int32),
                zero_point, once=once,
            ).words  # fmt: skip
            scaling = words[-12:-9]
            if scaling[2] > 31:  # sums that end in a half: not for the assembly
                assert once
                continue
            made = assembly(sums, scaling, once=once)
            assert np.array_equal(made, plain(sums, multiplier, -exponent, zero_point, once=once))


@pytest.mark.parametrize("once", [False, True])
def test_a_dead_channel_with_a_step_keeps_its_step(once):
    """Biases near 2^30 that put the step between two outputs into the range of the sum: every sum of the range."""
    random = np.random.default_rng(0)
    steps = 0
    for _ in range(1000):
        multiplier = int(random.choice([1 << 30, random.integers(1 << 30, 1 << 31)]))
        exponent = int(random.integers(22, 29))
        half = 2 * int(random.integers(-3, 4)) + 1
        bias = round(half * 2 ** (30 + exponent) / multiplier) + int(random.integers(-200, 200))
        weights = random.integers(-127, 128, (1, 3)).astype(np.int8)
        zero_point = int(random.integers(-100, 100))
        spread = int(np.abs(weights.astype(int)).sum()) * 128
        if not (1 << 30) - spread <= abs(bias) < (1 << 31) - spread:
            continue
        offsets = np.arange(-spread, spread + 1, 11)
        expected = plain(offsets + bias, multiplier, -exponent, zero_point, once=once)
        stream = dsp.conv_tiles(
            weights, np.array([bias], np.int32), np.array([multiplier], np.int32), np.array([-exponent], np.int32),
            zero_point, once=once,
        )  # fmt: skip
        made_multiplier, _, made_exponent = (int(value) for value in stream.words[-12:-9])
        shift = -(made_exponent - 64 if made_exponent > 31 else made_exponent)
        made = plain(offsets * bool(stream.words[4:-12].any()) + int(stream.words[0]), made_multiplier, shift,
                     zero_point, once=once)  # fmt: skip
        assert np.array_equal(made, expected)
        steps += len(np.unique(expected)) == 2
    assert steps > 15


def test_sums_beyond_the_kernels_have_no_stream():
    weights = np.full((4, 8), 127, np.int8)
    ones = np.ones(4, np.int32)
    assert dsp.conv_tiles(weights, ones << 30, ones << 30, -5 * ones, 0, once=False) is not None  # saturates: constant
    assert dsp.conv_tiles(weights, ones << 30, ones << 30, -16 * ones - 8, 0, once=False) is not None
    assert dsp.conv_tiles(weights, (1 << 27) * ones, ones << 30, 4 * ones, 0, once=False) is None


def test_fused_pairs_only_where_24_bits_hold_the_second_sum():
    def layout(weights, bias):
        ones = np.ones(len(weights), np.int32)
        return dsp.conv_tiles(weights, bias * ones, ones << 30, -9 * ones, 0, once=False).layout

    weights = np.full((4, 512), 127, np.int8)
    assert layout(weights, 0) == dsp.CONV_TILES
    assert layout(weights, 1 << 17) == dsp.CONV_TILES_PLAIN
    weights[:, 500:] = 0
    assert layout(weights, 1 << 17) == dsp.CONV_TILES
    low = np.full((2, 8), -128, np.int8)
    assert layout(low, 0) == dsp.CONV_TILES_PLAIN
    low[0] = 5  # 256 * -128 + 5 fits int16
    assert layout(low, 0) == dsp.CONV_TILES

"""Weight streams of the DSP kernels: EK_CONV_TILES, EK_DEPTHWISE_PLANES and EK_DEPTHWISE_TAPS of ``op_conv.h`` and
``op_depthwise.h``.

A stream is made only if no input whatever can take a sum out of the range in which the kernel is exact. Channels whose
output is the same for every input (training leaves many, with biases near 2^30) get weights of 0 first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CONV_TILES, CONV_TILES_PLAIN = 2, 3
DEPTHWISE_PLANES, DEPTHWISE_TAPS = 2, 3
GROUP = 4  # channels that a kernel makes together

_SUM_LIMIT = 1 << 30  # sums are doubled in 32 bits
_FUSED_LIMIT = 1 << 23  # a fused pair's second sum has 24 bits


@dataclass(frozen=True)
class Stream:
    """The words that go to the data section, and their layout's number."""

    layout: int
    words: npt.NDArray[np.int32]


def conv_tiles(
    weights: Array, bias: Array, multiplier: Array, shift: Array, output_zp: int, *, once: bool
) -> Stream | None:
    """The stream of a convolution without groups; None if some sum could leave the kernel's range.

    ``weights`` is int8 [out_c, K]; ``bias`` (folded), ``multiplier`` and ``shift`` are int32 [out_c]. ``once`` is
    EK_ROUND_ONCE.
    """
    channels = _settled(weights, bias, multiplier, shift, output_zp, once=once)
    scalings = channels.scalings()
    if scalings is None:
        return None
    rows = np.pad(channels.rows, ((0, 0), (0, -weights.shape[1] % 4)))
    pairs = rows.reshape(-1, 2, 2, rows.shape[1])  # [group, pair, channel of the pair, k]
    starts = channels.bias.reshape(-1, 2, 2)
    lanes = pairs[:, :, 0] + 256 * pairs[:, :, 1]
    fused = bool(np.all(channels.bound[1::2] < _FUSED_LIMIT) and lanes.min() >= -(1 << 15))
    if fused:
        starts = np.stack([starts[:, :, 0], starts[:, :, 0] + 256 * starts[:, :, 1]], axis=2)
    else:
        lanes = (pairs[:, :, 0] & 0xFF) + 256 * (pairs[:, :, 1] & 0xFF)
    fours = lanes.reshape(len(pairs), 2, -1, 4)  # [group, pair, four, k]
    words = (fours[..., :2] & 0xFFFF) | (fours[..., 2:] << 16)  # (k, k+2) and (k+1, k+3)
    weight_words = words.transpose(0, 2, 3, 1).reshape(len(pairs), -1)
    stream = np.concatenate([starts.reshape(len(pairs), -1), weight_words, scalings.reshape(len(pairs), -1)], axis=1)
    return Stream(CONV_TILES if fused else CONV_TILES_PLAIN, _int32(stream))


def conv_scratch(k: int, in_c: int) -> int:
    """Bytes of scratch for windows of ``k`` values."""
    return _multiple_of_8(-(-k // 4) * (20 if in_c % 4 else 16))


def depthwise_planes(weights: Array, bias: Array, multiplier: Array, shift: Array, output_zp: int) -> Stream | None:
    """The stream for 3x3 windows of stride 1; None if some sum could leave the kernel's range.

    ``weights`` is int8 [3, 3, channels], channels a multiple of 4; the others are int32 [channels].
    """
    channels = _settled(weights.reshape(9, -1).T, bias, multiplier, shift, output_zp)
    scalings = channels.scalings()
    if scalings is None:
        return None
    rows = channels.rows.reshape(-1, 3, 3)  # [channel, ky, kx]
    pairs = (rows[:, :2] & 0xFFFF) | (rows[:, 1:] << 16)  # [channel, (0, 1) or (1, 2), kx]
    words = pairs.transpose(0, 2, 1).reshape(-1, 6)
    stream = np.concatenate([words, channels.bias[:, None], scalings[:, (2, 0, 1)]], axis=1)
    return Stream(DEPTHWISE_PLANES, _int32(stream))


def planes_scratch(out_w: int) -> int:
    """Bytes of scratch for an output of that width."""
    return 8 * GROUP * (out_w + 2)


def depthwise_taps(weights: Array, bias: Array, multiplier: Array, shift: Array, output_zp: int) -> Stream | None:
    """The stream for any window; None if some sum could leave the kernel's range.

    ``weights`` is int8 [k_h, k_w, channels], channels a multiple of 4; the others are int32 [channels].
    """
    channels = _settled(weights.reshape(-1, weights.shape[-1]).T, bias, multiplier, shift, output_zp)
    scalings = channels.scalings()
    if scalings is None:
        return None
    even = np.pad(channels.rows, ((0, 0), (0, channels.rows.shape[1] % 2)))
    words = (even[:, 0::2] & 0xFFFF) | (even[:, 1::2] << 16)  # [channel, pair of taps]
    grouped = words.reshape(-1, GROUP, words.shape[1]).transpose(0, 2, 1).reshape(len(words) // GROUP, -1)
    starts = channels.bias.reshape(-1, GROUP)
    stream = np.concatenate([starts, grouped, scalings.reshape(len(starts), -1)], axis=1)
    return Stream(DEPTHWISE_TAPS, _int32(stream))


def taps_scratch(taps: int, channels: int) -> int:
    """Bytes of scratch for windows of ``taps`` positions."""
    return _multiple_of_8(4 * (taps + taps % 2) + channels)


@dataclass(frozen=True)
class _Channels:
    """int64, padded to a multiple of four. ``rows`` is [channel, tap]; ``exponent`` is minus TFLite's shift."""

    rows: Array
    bias: Array
    multiplier: Array
    exponent: Array
    output_zp: int
    once: bool

    @property
    def spread(self) -> Array:
        """How far a sum can be from its bias."""
        spread: Array = np.abs(self.rows).sum(axis=1) * 128
        return spread

    @property
    def bound(self) -> Array:
        """The greatest magnitude of the sum."""
        bound: Array = np.abs(self.bias) + self.spread
        return bound

    def answers(self, sums: Array) -> Array:
        """The outputs of these sums, which must fit int32; an exponent below 0 counts as 0."""
        exponent = np.maximum(self.exponent, 0)
        sums = np.clip(sums, -(1 << 31), (1 << 31) - 1)
        if self.once:
            products = sums * self.multiplier
            values = (products + (1 << (30 + exponent)) - (products < 0)) >> (31 + exponent)
        else:
            high = (sums * self.multiplier + (1 << 30)) >> 31
            values = np.sign(high) * ((np.abs(high) + ((1 << exponent) >> 1)) >> exponent)
        made: Array = np.clip(values + self.output_zp, -128, 127)
        return made

    def scalings(self) -> Array | None:
        """[channels, 3]: ek_scaling's multiplier, constant and exponent. None if a sum can become too great."""
        m, e, zp, bound = self.multiplier, self.exponent, self.output_zp, self.bound
        right = np.maximum(e, 1)
        fast = e >= 1
        if self.once:  # a sum can only end in a half if multiplier * sum has that many factors of 2
            halves = (m & -m) * np.minimum(bound, _SUM_LIMIT) >= 1 << (30 + right)
            fast &= ~halves | (self.spread == 0)  # what _settled() made has none
        constant = np.where(fast, (1 << (right - 1)) + zp * (1 << right), zp)
        left = np.zeros_like(e) if self.once else np.maximum(-e, 0)
        reach = np.where(fast, bound + np.abs(constant) + 1, (bound << left) + 256)
        if np.any(reach >= 1 << 31) or np.any(bound >= _SUM_LIMIT):
            return None
        return np.stack([m, constant, np.where((e >= 1) & ~fast, e + 64, e)], axis=1)


def _settled(
    rows: Array, bias: Array, multiplier: Array, shift: Array, output_zp: int, *, once: bool = False
) -> _Channels:
    """The channels, with other biases and scales (and no weights) where their outputs hardly depend on the input.

    Requantising is monotonic, so that the outputs of both ends of a sum's range tell. One output v is
    v = zp + (4 * (v - zp)) * 2^30 * 2^-32.
    """
    wide = [values.astype(np.int64) for values in (bias, multiplier, -shift.astype(np.int64))]
    whole = np.pad(rows.astype(np.int64), ((0, -len(rows) % GROUP), (0, 0)))
    bias, multiplier, exponent = (np.pad(values, (0, -len(values) % GROUP)) for values in wide)
    raw = _Channels(whole, bias, multiplier, exponent, output_zp, once)
    low, high = (raw.answers(raw.bias + sign * raw.spread) for sign in (-1, 1))
    known = (exponent >= 0) & (raw.bound < 1 << 31)
    still = (multiplier == 0) | (known & (low == high))
    settled = _Channels(
        np.where(still[:, None], 0, whole), np.where(still, 4 * (low - output_zp), bias),
        np.where(still, 1 << 30, multiplier), np.where(still, 1, exponent), output_zp, once,
    )  # fmt: skip
    for channel in np.flatnonzero(known & (high == low + 1) & (raw.bound >= _SUM_LIMIT)):
        _set_step(settled, raw, int(channel), int(low[channel]))
    return settled


def _set_step(settled: _Channels, raw: _Channels, channel: int, low: int) -> None:
    """A channel with the outputs ``low`` and ``low + 1`` only: a scale of 2^-(e+1) that steps at the same sum.

    With the output d = low - zp below the step, the first sum that rounds to d + 1 is (2d + 1) * 2^e; one less where
    the first of two roundings helps, one more below zero, where halves are rounded down.
    """
    at = slice(channel, channel + 1)
    one = _Channels(raw.rows[at], raw.bias[at], raw.multiplier[at], raw.exponent[at], raw.output_zp, raw.once)
    bias, spread = int(one.bias[0]), int(one.spread[0])
    below, step = bias - spread, bias + spread
    while step - below > 1:
        middle = (below + step) // 2
        below, step = (middle, step) if one.answers(np.array([middle]))[0] == low else (below, middle)
    exponent = max(1, spread.bit_length())
    twice_half = 2 * (low - raw.output_zp) + 1
    correction = 1 if twice_half < 0 else 0 if raw.once else -1
    settled.bias[channel] = bias - step + (twice_half << exponent) + correction
    settled.multiplier[channel], settled.exponent[channel] = 1 << 30, exponent


def _int32(words: Array) -> npt.NDArray[np.int32]:
    """Flat, modulo 2^32."""
    return (words.reshape(-1) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def _multiple_of_8(value: int) -> int:
    return -(-value // 8) * 8

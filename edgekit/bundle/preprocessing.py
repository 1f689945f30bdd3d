"""How a picture becomes a model's input: the one definition behind the Python, C, Kotlin and Swift of bundles.

It is :func:`edgekit.export.inputs.preprocess_image`, that is Pillow's resampling of 8-bit pictures, written out so that
every language computes the same bits: two passes of a convolution with weights of 22 fractional bits, each rounded to
8 bits (the method of Pillow's ``libImaging/Resample.c``; nearest is that of ``Geometry.c``), then float32. The picture
is upright: whoever decodes it turns it by its EXIF tag first.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt

from edgekit.bundle.records import Contract, Quantisation, Tensor
from edgekit.errors import BundleError, UsageError
from edgekit.export.inputs import base_side, channels_last, image_layout, per_channel, placement
from edgekit.harness.int8_tensors import quantise
from edgekit.records import Preprocess, Record

Interpolation = Literal["nearest", "bilinear", "box", "bicubic"]
Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]
Doubles = npt.NDArray[np.float64]

MAX_SIDE = 16384  # of a picture and of what it is resized to cover; the ports count in 32 bits
PRECISION_BITS = 22
_SUPPORT = {"box": 0.5, "bilinear": 1.0, "bicubic": 2.0}
_GREY = (19595, 38470, 7471)  # ITU-R BT.601 in 16 bits
VECTOR_HEIGHT, VECTOR_WIDTH = 29, 37


class Steps(Record, frozen=True, kw_only=True):
    """Everything that decides how a picture becomes one input tensor.

    The picture is resized so that it covers ``base_height`` x ``base_width``, and its centre of ``height`` x ``width``
    pixels is kept. ``mean`` and ``std`` have one value per channel, in units of 0..1 pixel values, and are exact
    float32. The tensor is float32 (1, channels, height, width), or (1, height, width, channels) with
    ``channels_last``; with ``quantisation`` it is int8.
    """

    channels: int
    height: int
    width: int
    channels_last: bool
    base_height: int
    base_width: int
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]
    quantisation: Quantisation | None = None


def steps_of(preprocess: Preprocess, tensor: Tensor) -> Steps:
    """The steps that fill ``tensor``; its height and width win over those of ``preprocess``, its batch is ignored.

    Raises:
        BundleError: the tensor is no image, or the steps can't be had bit for bit in every language.
    """
    layout = image_layout(tensor.shape)
    if layout is None or (tensor.shape[1] in (1, 3) and tensor.shape[3] in (1, 3)):
        raise _refused(tensor, f"its shape {tensor.shape} is not clearly that of an image")
    if (tensor.dtype, tensor.quantisation is None) not in (("float32", True), ("int8", False)):
        quantised = "without" if tensor.quantisation is None else "with"
        raise _refused(
            tensor, f"it is {tensor.dtype} {quantised} quantisation; float32 and quantised int8 are supported"
        )
    if preprocess.interpolation not in get_args(Interpolation):
        known = ", ".join(get_args(Interpolation))
        raise _refused(tensor, f"the interpolation is {preprocess.interpolation}; {known} are supported")
    channels, height, width = layout
    base_height, base_width = (_base(tensor, side, preprocess.crop_fraction) for side in (height, width))
    mean, std = (_statistics(tensor, values, channels) for values in (preprocess.mean, preprocess.std))
    if 0.0 in std:
        raise _refused(tensor, "a standard deviation is 0 in float32")
    return Steps(
        channels=channels, height=height, width=width, channels_last=channels_last(tensor.shape),
        base_height=base_height, base_width=base_width,
        interpolation=cast(Interpolation, preprocess.interpolation),
        mean=mean, std=std, quantisation=tensor.quantisation,
    )  # fmt: skip


def steps_for(contract: Contract) -> Steps | None:
    """The steps that fill the first input; None where nothing says how a picture becomes it.

    Raises:
        BundleError: as :func:`steps_of`.
    """
    return None if contract.preprocess is None else steps_of(contract.preprocess, contract.inputs[0])


def apply(steps: Steps, rgb: Bytes) -> npt.NDArray[Any]:
    """One upright picture as the input tensor.

    Args:
        rgb: uint8 of shape (picture height, picture width, 3), each side of 1 to 16384 pixels.

    Returns:
        float32, or int8 with ``steps.quantisation``; of shape (1, channels, height, width) or, with
        ``channels_last``, (1, height, width, channels).

    Raises:
        BundleError: ``rgb`` is not such an array.
    """
    pixels = resample(steps, rgb)
    values = normalised(steps)[np.arange(steps.channels), pixels]
    if not steps.channels_last:
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None])


def normalised(steps: Steps) -> npt.NDArray[Any]:
    """What each pixel value becomes, of shape (channels, 256); float32, or int8 with ``steps.quantisation``."""
    mean, std = (np.asarray(values, dtype=np.float32)[:, None] for values in (steps.mean, steps.std))
    unit = np.arange(256, dtype=np.float32) / np.float32(255)
    values: npt.NDArray[np.float32] = (unit - mean) / std
    if steps.quantisation is None:
        return values
    return quantise(values, steps.quantisation.scale, steps.quantisation.zero_point)


def resample(steps: Steps, rgb: Bytes) -> Bytes:
    """The picture in the input's size, uint8 of shape (height, width, channels).

    Raises:
        BundleError: ``rgb`` is not uint8 of shape (height, width, 3), or a side is not 1 to 16384.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not all(1 <= n <= MAX_SIDE for n in rgb.shape):
        message = (
            f"A picture is uint8 of shape (height, width, 3), sides up to {MAX_SIDE}; not {rgb.dtype} {rgb.shape}."
        )
        raise BundleError(message, where="preprocess")
    pixels = rgb if steps.channels == 3 else grey(rgb)
    base, crop = (steps.base_height, steps.base_width), (steps.height, steps.width)
    at = placement((rgb.shape[0], rgb.shape[1]), base, crop)
    if steps.interpolation == "nearest":
        rows = nearest(pixels.shape[0], at.height)[at.top : at.top + steps.height]
        columns = nearest(pixels.shape[1], at.width)[at.left : at.left + steps.width]
        return pixels[rows][:, columns]
    passes = [(1, at.width, at.left, steps.width), (0, at.height, at.top, steps.height)]
    for axis, resized, first, count in reversed(passes) if at.rows_first else passes:
        pixels = _resized(pixels, axis, resized, steps.interpolation, first, count)
    return pixels


def grey(rgb: Bytes) -> Bytes:
    """Luma of ITU-R BT.601 as Pillow computes it, uint8 of shape (height, width, 1)."""
    weighted: npt.NDArray[np.int32] = rgb.astype(np.int32) @ np.array(_GREY, dtype=np.int32)[:, None]
    return ((weighted + 0x8000) >> 16).astype(np.uint8)


def nearest(size: int, resized: int) -> npt.NDArray[np.int64]:
    """For each of ``resized`` positions the one of ``size`` that it shows.

    Positions are summed up step by step, as Pillow does: which one an exact product falls on may differ.
    """
    step = size / resized
    steps = np.full(resized, step)
    steps[0] = step * 0.5
    return np.minimum(np.add.accumulate(steps).astype(np.int64), size - 1)


def weights(interpolation: Interpolation, size: int, resized: int, first: int, count: int) -> tuple[Any, Any]:
    """How ``count`` positions from ``first`` on, of ``size`` pixels resized to ``resized``, are weighted sums.

    Returns:
        The first pixel of each sum, int64 (count,), and the weights in units of 2**-22, int32 (count, taps); pixels
        past the end of the picture have the weight 0.
    """
    scale = size / resized
    stretch = max(scale, 1.0)
    support = _SUPPORT[interpolation] * stretch
    center = (np.arange(first, first + count) + 0.5) * scale
    low = np.maximum((center - support + 0.5).astype(np.int64), 0)
    high = np.minimum((center + support + 0.5).astype(np.int64), size)
    taps = np.arange(math.ceil(support) * 2 + 1)
    offsets = ((taps + low[:, None]) - center[:, None] + 0.5) * (1.0 / stretch)
    values = np.where(taps < (high - low)[:, None], _filtered(interpolation, offsets), 0.0)
    total = np.add.accumulate(values, axis=1)[:, -1:]  # one after the other: np.sum adds in pairs
    values = np.divide(values, total, where=total != 0.0, out=values)
    return low, np.trunc(values * (1 << PRECISION_BITS) + np.where(values < 0.0, -0.5, 0.5)).astype(np.int32)


def _filtered(interpolation: Interpolation, offsets: Doubles) -> Doubles:
    x = np.abs(offsets)
    if interpolation == "box":
        return np.where((offsets > -0.5) & (offsets <= 0.5), 1.0, 0.0)
    if interpolation == "bilinear":
        return np.where(x < 1.0, 1.0 - x, 0.0)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _resized(pixels: Bytes, axis: int, resized: int, interpolation: Interpolation, first: int, count: int) -> Bytes:
    """One axis resized, and ``count`` positions from ``first`` on kept; rounded and clipped to 8 bits."""
    size = pixels.shape[axis]
    if size == resized:
        return pixels.take(np.arange(first, first + count), axis)
    low, factors = weights(interpolation, size, resized, first, count)
    lines = np.moveaxis(pixels, axis, 0)
    sums = np.full((count, *lines.shape[1:]), 1 << (PRECISION_BITS - 1), dtype=np.int32)
    for tap in range(factors.shape[1]):
        sums += lines[np.minimum(low + tap, size - 1)] * factors[:, tap, None, None]
    return np.moveaxis(np.clip(sums >> PRECISION_BITS, 0, 255).astype(np.uint8), 0, axis)


def picture(width: int, height: int, seed: int) -> Bytes:
    """A picture with gradients, edges and noise, uint8 (height, width, 3): the same from any program.

    Byte i, of channel c of pixel (x, y), is ``v + (s[i] >> 28)`` modulo 256. ``s[i] = 1664525 * s[i - 1] + 1013904223``
    modulo 2**32 with ``s[-1] = seed``; ``v`` is ``7 * x + 5 * y + 40 * c`` modulo 256, and 255 minus that where
    ``x // 5 + y // 4`` is odd.
    """
    y, x, channel = np.ogrid[:height, :width, :3]
    gradient = (7 * x + 5 * y + 40 * channel) % 256
    edged: npt.NDArray[np.int64] = np.where((x // 5 + y // 4) % 2 == 1, 255 - gradient, gradient)
    # s[i] = a**(i+1) * seed + (a**0 + ... + a**i) * c, in 32 bits
    powers: Words = np.multiply.accumulate(np.full(edged.size, 1664525, dtype=np.uint32), dtype=np.uint32)
    before = np.concatenate([np.ones(1, dtype=np.uint32), powers[:-1]])
    sums: Words = np.add.accumulate(before, dtype=np.uint32)
    states = powers * np.uint32(seed) + sums * np.uint32(1013904223)
    return ((edged + (states >> np.uint32(28)).reshape(edged.shape)) % 256).astype(np.uint8)


def vector(steps: Steps) -> tuple[Bytes, npt.NDArray[Any]]:
    """A golden picture, uint8 (29, 37, 3), and the input tensor that it becomes; the same in every process."""
    rgb = picture(VECTOR_WIDTH, VECTOR_HEIGHT, seed=1)
    return rgb, apply(steps, rgb)


def _base(tensor: Tensor, side: int, crop_fraction: float) -> int:
    if not (math.isfinite(crop_fraction) and crop_fraction > 0):
        raise _refused(tensor, f"the crop fraction is {crop_fraction}")
    base = base_side(side, crop_fraction)
    if not (1 <= base <= MAX_SIDE and side <= MAX_SIDE):
        raise _refused(tensor, f"a side of {side} pixels is cropped from {base}; 1 to {MAX_SIDE} are supported")
    return base


def _statistics(tensor: Tensor, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    try:
        with np.errstate(over="ignore"):
            made = tuple(float(value) for value in per_channel(values, channels))
    except UsageError as error:
        raise _refused(tensor, error.message) from None
    if not all(math.isfinite(value) for value in made):
        raise _refused(tensor, f"the statistics {values} are not finite in float32")
    return made


def _refused(tensor: Tensor, reason: str) -> BundleError:
    message = f"The preprocessing of input {tensor.name} can't be generated: {reason}."
    return BundleError(message, where=tensor.name, next_step="Bundle the model without preprocessing, as raw tensors.")

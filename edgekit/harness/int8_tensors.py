"""Between a model's own tensors and the int8 ones of a microcontroller: order of axes, and LiteRT's rounding."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Int8 = NDArray[np.int8]


class Endpoint(Protocol):
    """One input or output as the packed model states it: real = scale * (stored - zero_point).

    Stored axis i is the source model's axis ``axes[i]`` (a model of PyTorch's is channel-first outside, channel-last on
    the board); ``float_outside`` says that the source model's tensor is float32.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def axes(self) -> tuple[int, ...]: ...
    @property
    def scale(self) -> float: ...
    @property
    def zero_point(self) -> int: ...
    @property
    def float_outside(self) -> bool: ...


def outside_shape(endpoint: Endpoint) -> tuple[int, ...]:
    """The tensor's shape in the source model."""
    return tuple(endpoint.shape[i] for i in np.argsort(endpoint.axes))


def to_stored(values: Array, endpoint: Endpoint) -> Int8:
    """The source model's values (float32, or int8 as they are) as the board takes them."""
    stored = quantise(values, endpoint.scale, endpoint.zero_point) if endpoint.float_outside else values
    return np.ascontiguousarray(np.transpose(stored, endpoint.axes).astype(np.int8, copy=False))


def to_outside(stored: Int8, endpoint: Endpoint) -> Array:
    """The board's values as the source model gives them."""
    values = in_outside_order(stored, endpoint)
    return dequantise(values, endpoint.scale, endpoint.zero_point) if endpoint.float_outside else values


def in_outside_order(stored: Int8, endpoint: Endpoint) -> Int8:
    """The board's values, still int8, in the source model's order of axes."""
    return np.ascontiguousarray(np.transpose(stored, np.argsort(endpoint.axes)))


def quantise(values: Array, scale: float, zero_point: int) -> Int8:
    """float32 → int8, halves away from zero, saturating (LiteRT's QUANTIZE). NaN becomes the zero point."""
    ratio = (np.asarray(values, dtype=np.float32) / np.float32(scale)).astype(np.float64)
    rounded = np.trunc(ratio + np.copysign(0.5, ratio))  # exact: a float32 plus a half fits a double
    stored = np.clip(np.nan_to_num(rounded, nan=0.0, posinf=1e9, neginf=-1e9) + zero_point, -128, 127)
    made: Int8 = stored.astype(np.int8)
    return made


def dequantise(stored: Array, scale: float, zero_point: int) -> NDArray[np.float32]:
    """int8 → float32: scale * (stored - zero_point), in float32 as LiteRT's DEQUANTIZE does."""
    steps = stored.astype(np.int32) - zero_point
    real: NDArray[np.float32] = steps.astype(np.float32) * np.float32(scale)
    return real

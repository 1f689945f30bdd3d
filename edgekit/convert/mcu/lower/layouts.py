"""Orders of the weights in the packed model, as ``op_conv.h`` and ``op_depthwise.h`` describe them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CONV_OHWI, CONV_PAIRS = 0, 1
DEPTHWISE_HWC, DEPTHWISE_CHANNELS = 0, 1


def conv_pairs(weights: Array) -> Array:
    """EK_CONV_PAIRS from int8 [out_c, k_h, k_w, in_c]: flat int8."""
    rows = weights.reshape(len(weights), -1)
    rows = np.pad(rows, ((0, len(rows) % 2), (0, -rows.shape[1] % 4)))
    # [pair, channel of the pair, four k, k]; then per four k: k 0 and 2 of both channels, k 1 and 3 of both.
    fours = rows.reshape(len(rows) // 2, 2, -1, 4)
    order = fours.transpose(0, 2, 3, 1)  # [pair, four, k, channel]
    return np.ascontiguousarray(order[:, :, (0, 2, 1, 3), :]).reshape(-1)


def depthwise_channels(weights: Array) -> Array:
    """EK_DEPTHWISE_CHANNELS from int8 [k_h, k_w, out_c]: flat int8."""
    taps = weights.reshape(-1, weights.shape[-1]).T
    return np.pad(taps, ((0, -len(taps) % 4), (0, -taps.shape[1] % 4))).reshape(-1)


def folded_bias(bias: Array | None, sums: Array, input_zp: int) -> Array:
    """int32 per channel: bias minus input_zp times the sum of the weights, wrapped around as int32 is.

    ``sums`` is int64.
    """
    whole = -input_zp * sums if bias is None else bias.astype(np.int64) - input_zp * sums
    return (whole & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def padded(values: Array, multiple: int) -> Array:
    """Zeros appended up to a multiple, for channels that only exist in a layout."""
    return np.pad(values, (0, -len(values) % multiple))

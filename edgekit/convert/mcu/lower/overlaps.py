"""How far the output of a spatial kernel may reach into the memory of its input (see :class:`steps.Overlap`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def by_rows(*, in_row_bytes: int, out_row_bytes: int, out_h: int, stride_h: int, pad_top: int) -> int:
    """Distance for a kernel that finishes one output row before it begins the next (EK_ORDER_ROWS).

    While row r is made, its input rows and all below are still needed, and everything up to the end of row r may be
    written.
    """
    return max(
        (row + 1) * out_row_bytes - max(0, row * stride_h - pad_top) * in_row_bytes for row in range(out_h)
    )  # fmt: skip


def by_pixels(*, pixels: int, in_c: int, out_c: int) -> int:
    """Distance for a 1x1 convolution of stride 1: as :func:`by_rows`, with pixels for rows."""
    last = pixels - 1  # linear in the pixel, so greatest at one of the ends
    return max(out_c, pixels * out_c - last * in_c)


def by_pieces(lowest: npt.NDArray[np.int64], piece_bytes: int) -> int:
    """Distance for a kernel that finishes its output piece by piece, from front to back.

    Piece i, of ``piece_bytes``, is made of input bytes from ``lowest[i]`` on.
    """
    still_needed = np.minimum.accumulate(lowest[::-1])[::-1]
    ends = piece_bytes * np.arange(1, len(lowest) + 1, dtype=np.int64)
    return max(0, int((ends - still_needed).max()))

"""Padding and output sizes of windows, as convolutions and pools share them."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.convert.mil.call import Call

Pads = list[tuple[int, int]]


def window_pads(call: Call, sizes: Sequence[int], extents: Sequence[int], strides: Sequence[int]) -> Pads:
    """(before, after) per spatial dimension, by ``pad_type``.

    ``sizes`` are the input's spatial sizes, ``extents`` the window's, dilation included. ``same`` makes the output
    ceil(size / stride) and puts an odd element after the input, ``same_lower`` before it.
    """
    kind = call.text("pad_type", "valid").lower()
    if kind == "valid":
        return [(0, 0)] * len(sizes)
    if kind == "custom":
        return paired(call, call.integers("pad", [0] * (2 * len(sizes))), len(sizes))
    if kind not in ("same", "same_lower"):
        raise call.wrong(f"has the unknown pad_type {kind!r}")
    pads = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + extent - size)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if kind == "same" else (large, small))
    return pads


def paired(call: Call, flat: Sequence[int], count: int) -> Pads:
    """[before 0, after 0, before 1, ...] as ``count`` pairs."""
    if len(flat) != 2 * count or min(flat, default=0) < 0:
        raise call.wrong(f"has the padding {list(flat)} for {count} dimensions")
    return [(flat[2 * i], flat[2 * i + 1]) for i in range(count)]


def flat_pads(pads: Pads) -> list[int]:
    """The order of torch's ``pad``: the last dimension first."""
    return [amount for pair in reversed(pads) for amount in pair]


def per_dimension(call: Call, name: str, count: int, default: int = 1) -> list[int]:
    """A vector with one positive integer per spatial dimension."""
    values = call.integers(name, [default] * count)
    if len(values) != count or min(values) < 1:
        raise call.wrong(f"has {name} {values} for {count} spatial dimensions")
    return values

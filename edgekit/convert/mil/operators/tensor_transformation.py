"""Operators that rearrange elements without computing: shapes, transposes, joins, splits, blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.convert.mil.call import Call

_IOS17 = 7  # the number in the operator set's name, CoreML7


def reshape(call: Call) -> Tensor:
    """To ``shape``; -1 stands for what is left over, 0 for the input's size.

    Up to iOS 16 a 0 means the input's size at the same place, from iOS 17 on counted from the right.
    """
    x, shape = call.tensor("x"), call.integers("shape")
    if 0 in shape and call.opset < _IOS17 and len(shape) != x.dim():
        raise call.wrong(f"reshapes {list(x.shape)} to {shape}")
    offset = x.dim() - len(shape)
    filled = [
        size if size != 0 else (x.shape[offset + index] if offset + index >= 0 else 1)
        for index, size in enumerate(shape)
    ]
    return x.reshape(filled)


def reshape_like(call: Call) -> Tensor:
    """To sizes taken from the shapes of other tensors."""
    shape: list[int] = []
    references = call.tensors("ref_tensors")
    begins, ends, masks = (
        [int(v.item()) for v in call.tensors(name)] for name in ("begins", "ends", "end_masks")
    )  # fmt: skip
    for reference, begin, end, mask in zip(references, begins, ends, masks, strict=True):
        shape += list(reference.shape[begin:] if mask else reference.shape[begin:end])
    return call.tensor("x").reshape(shape)


def flatten2d(call: Call) -> Tensor:
    """To a matrix: the axes before ``axis`` and the others."""
    x = call.tensor("x")
    axis = call.integer("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def expand_dims(call: Call) -> Tensor:
    """Axes of size 1, at their places in the result."""
    x = call.tensor("x")
    axes = call.integers("axes")
    rank = x.dim() + len(axes)
    for axis in sorted(axis + rank if axis < 0 else axis for axis in axes):
        x = x.unsqueeze(axis)
    return x


def squeeze(call: Call) -> Tensor:
    """Without the given axes of size 1, or without all of them; other sizes stay, as in PyTorch."""
    x = call.tensor("x")
    axes = call.integers("axes", list(range(x.dim())))
    return x.squeeze(tuple(axes)) if axes else x


def transpose(call: Call) -> Tensor:
    """Axes in the order ``perm``."""
    return call.tensor("x").permute(call.integers("perm"))


def concat(call: Call) -> Tensor:
    """Tensors joined along an axis; interleaved, their elements alternate along it."""
    values, axis = call.tensors("values"), call.integer("axis")
    values = [value.reshape(1) if value.dim() == 0 else value for value in values]
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    call.reserve(shape)
    if call.boolean("interleave", False):
        axis %= values[0].dim()
        return torch.stack(values, dim=axis + 1).reshape(shape)
    return torch.cat(values, dim=axis)


def stack(call: Call) -> Tensor:
    """Tensors joined along a new axis."""
    values = call.tensors("values")
    call.reserve([len(values), *values[0].shape])
    return torch.stack(values, dim=call.integer("axis"))


def split(call: Call) -> tuple[Tensor, ...]:
    """Parts along an axis: ``num_splits`` equal ones, or of ``split_sizes``."""
    x, axis = call.tensor("x"), call.integer("axis")
    size = x.shape[axis]
    if call.has("split_sizes"):
        sizes = call.integers("split_sizes")
    else:
        number = call.integer("num_splits")
        if number < 1 or size % number:
            raise call.wrong(f"splits {size} elements into {number} equal parts")
        sizes = [size // number] * number
    return tuple(torch.split(x, sizes, dim=axis))


def tile(call: Call) -> Tensor:
    """Each axis repeated."""
    x, reps = call.tensor("x"), call.integers("reps")
    if len(reps) != x.dim():
        raise call.wrong(f"repeats {list(x.shape)} by {reps}")
    call.reserve([size * rep for size, rep in zip(x.shape, reps, strict=True)])
    return x.repeat(reps)


def reverse(call: Call) -> Tensor:
    """Elements in reverse order along the axes, or along all."""
    x = call.tensor("x")
    return x.flip(call.integers("axes", list(range(x.dim()))))


def pixel_shuffle(call: Call) -> Tensor:
    """Channels (C, f, f) to space, as PyTorch's PixelShuffle."""
    return functional.pixel_shuffle(call.tensor("x"), call.integer("upscale_factor"))


def pixel_unshuffle(call: Call) -> Tensor:
    """Space to channels (C, f, f), as PyTorch's PixelUnshuffle."""
    return functional.pixel_unshuffle(call.tensor("x"), call.integer("downscale_factor"))


def depth_to_space(call: Call) -> Tensor:
    """Channels (b, b, C) to space: unlike pixel_shuffle, the block is the outer part of the channel index."""
    x, block = call.tensor("x"), call.integer("block_size")
    n, c, h, w = _four(call, x)
    y = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return y.reshape(n, c // block**2, h * block, w * block)


def space_to_depth(call: Call) -> Tensor:
    """Space to channels (b, b, C), the inverse of depth_to_space."""
    x, block = call.tensor("x"), call.integer("block_size")
    n, c, h, w = _four(call, x)
    y = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return y.reshape(n, c * block**2, h // block, w // block)


def space_to_batch(call: Call) -> Tensor:
    """Padded space to batch (b, b, N)."""
    x, (b1, b2) = call.tensor("x"), _two(call, call.integers("block_shape"))
    top, bottom, left, right = call.integers("paddings")
    n, c, h, w = _four(call, x)
    call.reserve([n, c, h + top + bottom, w + left + right])
    x = functional.pad(x, [left, right, top, bottom])
    h, w = h + top + bottom, w + left + right
    y = x.reshape(n, c, h // b1, b1, w // b2, b2).permute(3, 5, 0, 1, 2, 4)
    return y.reshape(n * b1 * b2, c, h // b1, w // b2)


def batch_to_space(call: Call) -> Tensor:
    """Batch (b, b, N) to space, then cropped."""
    x, (b1, b2) = call.tensor("x"), _two(call, call.integers("block_shape"))
    top, bottom, left, right = call.integers("crops")
    n, c, h, w = _four(call, x)
    y = x.reshape(b1, b2, n // (b1 * b2), c, h, w).permute(2, 3, 4, 0, 5, 1)
    y = y.reshape(n // (b1 * b2), c, h * b1, w * b2)
    return y[:, :, top : h * b1 - bottom, left : w * b2 - right]


def _four(call: Call, x: Tensor) -> tuple[int, int, int, int]:
    if x.dim() != 4:
        raise call.wrong(f"has an input of {list(x.shape)}, not of rank 4")
    n, c, h, w = x.shape
    return n, c, h, w


def _two(call: Call, values: Sequence[int]) -> tuple[int, int]:
    if len(values) != 2:
        raise call.wrong(f"has the block shape {list(values)}")
    return values[0], values[1]

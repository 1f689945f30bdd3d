"""Operators that read or write elements by index."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgekit.convert.mil.call import Call

_IOS17 = 7

# Applied in place at an index, in order: an index that occurs twice counts twice.
_MODES: dict[str, Callable[..., None]] = {
    "add": np.add.at, "sub": np.subtract.at, "mul": np.multiply.at, "div": np.divide.at,
    "max": np.maximum.at, "min": np.minimum.at,
}  # fmt: skip


def gather(call: Call) -> Tensor:
    """Slices of x along an axis; the first ``batch_dims`` axes of x and indices go together."""
    x, axis, batch = call.tensor("x"), call.integer("axis", 0), call.integer("batch_dims", 0)
    axis %= max(x.dim(), 1)
    indices = _indices(call, x.shape[axis])
    if not 0 <= batch <= min(axis, indices.dim()):
        raise call.wrong(f"gathers along axis {axis} with {batch} batch axes")
    call.reserve([*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :]])
    rows = math.prod(x.shape[:batch])
    flat_x = x.reshape(rows, *x.shape[batch:])
    flat_indices = indices.reshape(rows, -1)
    # One index_select per batch row: the axes between batch and axis stay as they are.
    parts = [flat_x[row].index_select(axis - batch, flat_indices[row]) for row in range(rows)]
    return torch.stack(parts).reshape(*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :])


def gather_along_axis(call: Call) -> Tensor:
    """Elements of x at the indices along an axis, as numpy's take_along_axis."""
    x, axis = call.tensor("x"), call.integer("axis", 0)
    indices = _indices(call, x.shape[axis])
    return torch.take_along_dim(x, indices, dim=axis)


def gather_nd(call: Call) -> Tensor:
    """Slices of x at index vectors, the last axis of indices; the first ``batch_dims`` axes go together."""
    x, raw, batch = call.tensor("x"), call.tensor("indices"), call.integer("batch_dims", 0)
    depth = raw.shape[-1]
    if not 0 <= batch < raw.dim() or batch + depth > x.dim():
        raise call.wrong(f"gathers vectors of {depth} indices from {list(x.shape)} with {batch} batch axes")
    call.reserve([*raw.shape[:-1], *x.shape[batch + depth :]])
    columns = [_checked(call, raw[..., i], x.shape[batch + i]) for i in range(depth)]
    for axis in range(batch):
        shape = [-1 if i == axis else 1 for i in range(raw.dim() - 1)]
        columns.insert(axis, torch.arange(x.shape[axis]).reshape(shape))
    return x[tuple(columns)] if columns else x


def scatter(call: Call) -> Tensor:
    """Data with slices along an axis updated at the indices, a vector."""
    data, axis = call.tensor("data"), call.integer("axis", 0)
    axis %= max(data.dim(), 1)
    indices = _indices(call, data.shape[axis]).numpy()
    where = (slice(None),) * axis + (indices,)
    return _update(call, data, where)


def scatter_along_axis(call: Call) -> Tensor:
    """Data with elements updated at the indices along an axis, the opposite of gather_along_axis."""
    data, axis = call.tensor("data"), call.integer("axis", 0)
    axis %= max(data.dim(), 1)
    indices = _indices(call, data.shape[axis]).numpy()
    where = list(np.ogrid[tuple(slice(0, size) for size in indices.shape)])
    where[axis] = indices
    return _update(call, data, tuple(where))


def scatter_nd(call: Call) -> Tensor:
    """Data with slices updated at index vectors, the last axis of indices."""
    data, raw = call.tensor("data"), call.tensor("indices")
    if raw.shape[-1] > data.dim():
        raise call.wrong(f"scatters vectors of {raw.shape[-1]} indices into {list(data.shape)}")
    where = tuple(_checked(call, raw[..., i], data.shape[i]).numpy() for i in range(raw.shape[-1]))
    return _update(call, data, where)


def _update(call: Call, data: Tensor, where: tuple[Any, ...]) -> Tensor:
    values, updates = data.numpy().copy(), call.tensor("updates").numpy()
    mode = call.text("mode", "add")
    if mode == "update":
        values[where] = updates
    elif mode == "div" and values.dtype.kind == "i":
        raise call.lacking("with mode div of integers")
    elif mode in _MODES:
        _MODES[mode](values, where, updates)
    else:
        raise call.wrong(f"has the unknown mode {mode!r}")
    return torch.from_numpy(values)


def _indices(call: Call, size: int) -> Tensor:
    return _checked(call, call.tensor("indices"), size)


def _checked(call: Call, indices: Tensor, size: int) -> Tensor:
    """Indices within 0..size; up to iOS 16 negative ones count from the end, later they are out of range."""
    wide = indices.long()
    if call.opset < _IOS17:
        wide = torch.where(wide < 0, wide + size, wide)
    if wide.numel() and (int(wide.min()) < 0 or int(wide.max()) >= size):
        raise call.wrong(f"has the index {int(wide.min())} or {int(wide.max())} for {size} elements")
    return wide

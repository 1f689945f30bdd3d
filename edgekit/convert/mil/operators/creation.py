"""Operators that make tensors from sizes, positions or order."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgekit.convert.mil.call import Call


def fill(call: Call) -> Tensor:
    """A tensor of one value."""
    shape = call.integers("shape")
    call.reserve(shape)
    return torch.full(shape, call.number("value", 0.0))


def fill_like(call: Call) -> Tensor:
    """A tensor of one value with the shape of another."""
    return torch.full(call.tensor("ref_tensor").shape, call.number("value", 0.0))


def range_1d(call: Call) -> Tensor:
    """start, start + step, ... before end."""
    start, end, step = call.tensor("start"), call.tensor("end"), call.tensor("step")
    first, last, gap = float(start), float(end), float(step)
    if gap == 0 or not math.isfinite((last - first) / gap):
        raise call.wrong(f"counts from {first} to {last} by {gap}")
    count = max(0, math.ceil((last - first) / gap))
    call.reserve([count])
    return start + step * torch.arange(count).to(start.dtype)


def shape(call: Call) -> Tensor:
    """The sizes of a tensor."""
    return torch.tensor(list(call.tensor("x").shape), dtype=torch.int32)


def one_hot(call: Call) -> Tensor:
    """on_value at the index along a new axis, off_value elsewhere; an index out of range gives only off_value."""
    indices, size, axis = call.tensor("indices"), call.integer("one_hot_vector_size"), call.integer("axis", -1)
    on, off = call.number("on_value", 1), call.number("off_value", 0)
    call.reserve([*indices.shape, size])
    hot = indices.unsqueeze(-1) == torch.arange(size)
    return torch.where(hot, on, off).movedim(-1, axis)


def band_part(call: Call) -> Tensor:
    """The last two axes with zeros outside ``lower`` diagonals below and ``upper`` above; negative keeps all."""
    x, lower, upper = call.tensor("x"), call.integer("lower", -1), call.integer("upper", -1)
    below = torch.arange(x.shape[-2]).unsqueeze(1) - torch.arange(x.shape[-1])
    inside = torch.ones_like(below, dtype=torch.bool)
    if lower >= 0:
        inside &= below <= lower
    if upper >= 0:
        inside &= -below <= upper
    return torch.where(inside, x, torch.zeros_like(x))


def cumsum(call: Call) -> Tensor:
    """Running sum along an axis; exclusive leaves the element itself out, reverse starts at the end."""
    x, axis, reverse = call.tensor("x"), call.integer("axis", 0), call.boolean("reverse", False)
    x = x.flip(axis) if reverse else x
    y = torch.cumsum(x, dim=axis)
    if call.boolean("exclusive", False):
        y = y - x
    return y.flip(axis) if reverse else y


def argsort(call: Call) -> Tensor:
    """The indices that sort an axis; descending by default."""
    ascending = call.boolean("ascending", False)
    return torch.sort(call.tensor("x"), dim=call.integer("axis", -1), descending=not ascending, stable=True).indices


def topk(call: Call) -> Tensor | tuple[Tensor, ...]:
    """The k largest (ascending: smallest) elements along an axis, sorted, and their indices; k = -1 takes all."""
    x, k, axis = call.tensor("x"), call.integer("k", 1), call.integer("axis", -1)
    if not call.boolean("sort", True):
        raise call.lacking("without sorting")
    values, indices = torch.sort(x, dim=axis, descending=not call.boolean("ascending", False), stable=True)
    count = x.shape[axis] if k == -1 else k
    values, indices = values.narrow(axis, 0, count), indices.narrow(axis, 0, count)
    return (values, indices) if call.boolean("return_indices", True) else values


def non_zero(call: Call) -> Tensor:
    """The index vectors of all elements that are not zero."""
    return torch.nonzero(call.tensor("x"))

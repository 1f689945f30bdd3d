"""Reductions over axes; without ``axes`` over all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from edgekit.convert.mil.call import Call


def reduce_sum(call: Call) -> Tensor:
    """Sum."""
    x, axes = _operands(call)
    return x.sum(dim=axes, keepdim=_keep(call))


def reduce_mean(call: Call) -> Tensor:
    """Mean; of integers, without its fraction."""
    x, axes = _operands(call)
    x = x if x.is_floating_point() else x.double()
    return x.mean(dim=axes, keepdim=_keep(call))


def reduce_max(call: Call) -> Tensor:
    """Largest element."""
    x, axes = _operands(call)
    return x.amax(dim=axes, keepdim=_keep(call))


def reduce_min(call: Call) -> Tensor:
    """Smallest element."""
    x, axes = _operands(call)
    return x.amin(dim=axes, keepdim=_keep(call))


def reduce_prod(call: Call) -> Tensor:
    """Product."""
    x, axes = _operands(call)
    for axis in sorted(axes, reverse=True):
        x = x.prod(dim=axis, keepdim=_keep(call))
    return x


def reduce_l1_norm(call: Call) -> Tensor:
    """Sum of absolute values."""
    x, axes = _operands(call)
    return x.abs().sum(dim=axes, keepdim=_keep(call))


def reduce_l2_norm(call: Call) -> Tensor:
    """Square root of the sum of squares."""
    x, axes = _operands(call)
    return torch.sqrt(torch.square(x).sum(dim=axes, keepdim=_keep(call)))


def reduce_sum_square(call: Call) -> Tensor:
    """Sum of squares."""
    x, axes = _operands(call)
    return torch.square(x).sum(dim=axes, keepdim=_keep(call))


def reduce_log_sum(call: Call) -> Tensor:
    """Natural logarithm of the sum."""
    x, axes = _operands(call)
    return torch.log(x.sum(dim=axes, keepdim=_keep(call)))


def reduce_log_sum_exp(call: Call) -> Tensor:
    """Natural logarithm of the sum of exponentials."""
    x, axes = _operands(call)
    return torch.logsumexp(x if x.is_floating_point() else x.double(), dim=axes, keepdim=_keep(call))


def reduce_argmax(call: Call) -> Tensor:
    """Index of the largest element along one axis."""
    return torch.argmax(call.tensor("x"), dim=call.integer("axis", -1), keepdim=_keep(call))


def reduce_argmin(call: Call) -> Tensor:
    """Index of the smallest element along one axis."""
    return torch.argmin(call.tensor("x"), dim=call.integer("axis", -1), keepdim=_keep(call))


def _operands(call: Call) -> tuple[Tensor, list[int]]:
    x = call.tensor("x")
    axes = call.integers("axes", list(range(x.dim())))
    if any(not -x.dim() <= axis < x.dim() for axis in axes):
        raise call.wrong(f"reduces the axes {axes} of {list(x.shape)}")
    return x, [axis % x.dim() for axis in axes]


def _keep(call: Call) -> bool:
    return call.boolean("keep_dims", False)

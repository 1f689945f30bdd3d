"""Normalisations, with the statistics of inference."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.convert.mil.call import Call


def batch_norm(call: Call) -> Tensor:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, one of each per channel (axis 1)."""
    mean, variance, epsilon = call.tensor("mean"), call.tensor("variance"), call.number("epsilon", 1e-5)
    return functional.batch_norm(
        call.tensor("x"), mean, variance, call.optional("gamma"), call.optional("beta"), eps=epsilon
    )


def instance_norm(call: Call) -> Tensor:
    """Mean 0 and variance 1 over the spatial dimensions of each channel, then gamma and beta per channel."""
    x = call.tensor("x")
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    return _standardised(call, x, list(range(2, x.dim())), shape)


def layer_norm(call: Call) -> Tensor:
    """Mean 0 and variance 1 over the axes, then gamma and beta, which have the shape of those axes."""
    x = call.tensor("x")
    axes = sorted(axis % x.dim() for axis in call.integers("axes", list(range(x.dim()))))
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    return _standardised(call, x, axes, shape)


def l2_norm(call: Call) -> Tensor:
    """x / sqrt(sum of squares over the last three axes + epsilon)."""
    x = call.tensor("x")
    squares = torch.square(x).sum(dim=(-3, -2, -1), keepdim=True)
    return x / torch.sqrt(squares + call.number("epsilon", 1e-6))


def local_response_norm(call: Call) -> Tensor:
    """x / (k + alpha / size * sum of squares over ``size`` neighbouring channels) ** beta."""
    x, size = call.tensor("x"), call.integer("size")
    if size < 1 or size % 2 == 0:
        raise call.lacking("of an even size, whose neighbours are not documented")
    call.reserve(x.shape, work=x.numel() * size)
    return functional.local_response_norm(
        x, size, call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("k", 1.0)
    )


def _standardised(call: Call, x: Tensor, axes: list[int], shape: list[int]) -> Tensor:
    centred = x - x.mean(dim=axes, keepdim=True)
    variance = torch.square(centred).mean(dim=axes, keepdim=True)
    y = centred / torch.sqrt(variance + call.number("epsilon", 1e-5))
    gamma, beta = call.optional("gamma"), call.optional("beta")
    y = y if gamma is None else y * gamma.reshape(shape)
    return y if beta is None else y + beta.reshape(shape)

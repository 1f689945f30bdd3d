"""Activation functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.convert.mil.call import Call


def relu(call: Call) -> Tensor:
    """max(x, 0)."""
    return torch.relu(call.tensor("x"))


def relu6(call: Call) -> Tensor:
    """min(max(x, 0), 6)."""
    return call.tensor("x").clamp(0, 6)


def clamped_relu(call: Call) -> Tensor:
    """min(x, beta) for x >= 0, else min(alpha * x, beta)."""
    x = call.tensor("x")
    return torch.where(x >= 0, x, call.number("alpha") * x).clamp_max(call.number("beta"))


def leaky_relu(call: Call) -> Tensor:
    """x for x >= 0, else alpha * x."""
    x = call.tensor("x")
    return torch.where(x >= 0, x, call.number("alpha") * x)


def prelu(call: Call) -> Tensor:
    """x for x > 0, else alpha * x with one alpha per channel (axis 1)."""
    x = call.tensor("x")
    return torch.where(x > 0, x, _per_channel(call, "alpha", x) * x)


def elu(call: Call) -> Tensor:
    """x for x > 0, else alpha * (exp(x) - 1)."""
    return functional.elu(call.tensor("x"), alpha=call.number("alpha"))


def thresholded_relu(call: Call) -> Tensor:
    """x for x >= alpha, else 0."""
    x = call.tensor("x")
    return torch.where(x >= call.number("alpha"), x, torch.zeros_like(x))


def gelu(call: Call) -> Tensor:
    """x * Phi(x), exact or by the tanh or sigmoid approximation."""
    x, mode = call.tensor("x"), call.text("mode", "EXACT")
    if mode == "EXACT":
        return functional.gelu(x)
    if mode == "TANH_APPROXIMATION":
        return functional.gelu(x, approximate="tanh")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise call.lacking(f"with mode {mode}")


def sigmoid(call: Call) -> Tensor:
    """1 / (1 + exp(-x))."""
    return torch.sigmoid(call.tensor("x"))


def sigmoid_hard(call: Call) -> Tensor:
    """min(max(alpha * x + beta, 0), 1)."""
    return (call.number("alpha") * call.tensor("x") + call.number("beta")).clamp(0, 1)


def silu(call: Call) -> Tensor:
    """x * sigmoid(x)."""
    return functional.silu(call.tensor("x"))


def scaled_tanh(call: Call) -> Tensor:
    """alpha * tanh(beta * x)."""
    return call.number("alpha") * torch.tanh(call.number("beta") * call.tensor("x"))


def linear_activation(call: Call) -> Tensor:
    """alpha * x + beta."""
    return call.number("alpha") * call.tensor("x") + call.number("beta")


def softplus(call: Call) -> Tensor:
    """log(1 + exp(x)), without torch's linear short cut for large x."""
    x = call.tensor("x")
    return torch.log1p(torch.exp(-x.abs())) + x.clamp_min(0)


def softplus_parametric(call: Call) -> Tensor:
    """alpha * log(1 + exp(beta * x)) with one alpha and beta per channel (axis 1)."""
    x = call.tensor("x")
    scaled = _per_channel(call, "beta", x) * x
    return _per_channel(call, "alpha", x) * (torch.log1p(torch.exp(-scaled.abs())) + scaled.clamp_min(0))


def softsign(call: Call) -> Tensor:
    """x / (1 + abs(x))."""
    return functional.softsign(call.tensor("x"))


def softmax(call: Call) -> Tensor:
    """exp(x) / sum(exp(x)) along the axis."""
    return torch.softmax(call.tensor("x"), dim=call.integer("axis", -1))


def _per_channel(call: Call, name: str, x: Tensor) -> Tensor:
    parameter = call.tensor(name)
    if x.dim() < 2 or parameter.numel() != x.shape[1]:
        raise call.wrong(f"has {parameter.numel()} values of {name!r} for an input of {list(x.shape)}")
    return parameter.reshape([-1 if axis == 1 else 1 for axis in range(x.dim())])

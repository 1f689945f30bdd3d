"""Elementwise operators of one and of two tensors, with numpy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from edgekit.convert.mil.call import Call
from edgekit.convert.mil.dtypes import NAMED_DTYPES

Function = Callable[[Call], Tensor]


def _unary(function: Callable[[Tensor], Tensor]) -> Function:
    return lambda call: function(call.tensor("x"))


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    def run(call: Call) -> Tensor:
        x, y = call.tensor("x"), call.tensor("y")
        call.reserve(np.broadcast_shapes(x.shape, y.shape))
        return function(x, y)

    return run


absolute = _unary(torch.abs)
acos = _unary(torch.acos)
asin = _unary(torch.asin)
atan = _unary(torch.atan)
atanh = _unary(torch.atanh)
ceil = _unary(torch.ceil)
cos = _unary(torch.cos)
cosh = _unary(torch.cosh)
erf = _unary(torch.erf)
exp = _unary(torch.exp)
exp2 = _unary(torch.exp2)
floor = _unary(torch.floor)
identity = _unary(lambda x: x)
logical_not = _unary(torch.logical_not)
# Halves go to the even neighbour, as numpy does, by which MIL folds constants.
rounded = _unary(torch.round)
sign = _unary(torch.sign)
sin = _unary(torch.sin)
sinh = _unary(torch.sinh)
sqrt = _unary(torch.sqrt)
square = _unary(torch.square)
tan = _unary(torch.tan)
tanh = _unary(torch.tanh)

add = _binary(torch.add)
equal = _binary(torch.eq)
# Both round towards minus infinity, for integers and floats.
floor_div = _binary(torch.floor_divide)
mod = _binary(torch.remainder)
greater = _binary(torch.gt)
greater_equal = _binary(torch.ge)
less = _binary(torch.lt)
less_equal = _binary(torch.le)
logical_and = _binary(torch.logical_and)
logical_or = _binary(torch.logical_or)
logical_xor = _binary(torch.logical_xor)
maximum = _binary(torch.maximum)
minimum = _binary(torch.minimum)
mul = _binary(torch.mul)
not_equal = _binary(torch.ne)
power = _binary(torch.pow)
real_div = _binary(torch.div)
sub = _binary(torch.sub)


def clip(call: Call) -> Tensor:
    """x limited to alpha..beta; the upper limit wins where they cross."""
    return call.tensor("x").clamp_min(call.number("alpha")).clamp_max(call.number("beta"))


def threshold(call: Call) -> Tensor:
    """max(x, alpha)."""
    x = call.tensor("x")
    return torch.maximum(x, call.tensor("alpha").to(x.dtype))


def inverse(call: Call) -> Tensor:
    """1 / (x + epsilon)."""
    return torch.reciprocal(call.tensor("x") + call.number("epsilon", 1e-4))


def log(call: Call) -> Tensor:
    """Natural logarithm of x + epsilon."""
    return torch.log(call.tensor("x") + call.number("epsilon", 1e-45))


def rsqrt(call: Call) -> Tensor:
    """1 / sqrt(x + epsilon)."""
    return torch.rsqrt(call.tensor("x") + call.number("epsilon", 1e-12))


def cast(call: Call) -> Tensor:
    """To another dtype; floats lose their fraction on the way to an integer."""
    dtype = call.text("dtype")
    if dtype not in NAMED_DTYPES:
        raise call.lacking(f"to {dtype}")
    return call.tensor("x").to(NAMED_DTYPES[dtype])


def select(call: Call) -> Tensor:
    """a where cond is true, else b."""
    condition, a, b = call.tensor("cond"), call.tensor("a"), call.tensor("b")
    call.reserve(np.broadcast_shapes(condition.shape, a.shape, b.shape))
    return torch.where(condition.bool(), a, b)

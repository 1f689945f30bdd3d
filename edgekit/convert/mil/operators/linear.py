"""Matrix products."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from edgekit.convert.mil.call import Call


def linear(call: Call) -> Tensor:
    """x (..., D_in) times weight (D_out, D_in) transposed, plus bias."""
    x, weight, bias = call.tensor("x"), call.tensor("weight"), call.optional("bias")
    call.reserve([*x.shape[:-1], weight.shape[0]], work=x.numel() * weight.shape[0])
    y = _product(x, weight.t())
    return y if bias is None else y + bias


def matmul(call: Call) -> Tensor:
    """Matrix product over the last two axes, batch axes broadcast; a vector is a row on the left, a column right."""
    x, y = call.tensor("x"), call.tensor("y")
    if call.boolean("transpose_x", False) and x.dim() > 1:
        x = x.transpose(-1, -2)
    if call.boolean("transpose_y", False) and y.dim() > 1:
        y = y.transpose(-1, -2)
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    rows = [*x.shape[-2:-1], *(y.shape[-1:] if y.dim() > 1 else [])]
    call.reserve([*batch, *rows], work=math.prod([*batch, *rows]) * x.shape[-1])
    return _product(x, y)


def einsum(call: Call) -> Tensor:
    """A product of two tensors by an equation such as "nchw,nwhu->nchu"; sizes of 1 are broadcast."""
    equation, tensors = call.text("equation").replace(" ", ""), call.tensors("values")
    operands, arrow, result = equation.partition("->")
    labels = operands.split(",")
    if not arrow or len(labels) != len(tensors) or any(len(a) != t.dim() for a, t in zip(labels, tensors, strict=True)):
        raise call.wrong(f"has the equation {equation!r} for {len(tensors)} tensors")
    sizes: dict[str, int] = {}
    for label, tensor in zip(labels, tensors, strict=True):
        for letter, size in zip(label, tensor.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    if not set(result) <= set(sizes):
        raise call.wrong(f"has the equation {equation!r}")
    call.reserve([sizes[letter] for letter in result], work=math.prod(sizes.values()))
    return torch.einsum(equation, *tensors)


def scaled_dot_product_attention(call: Call) -> Tensor:
    """softmax(query @ key.T / sqrt(E) + mask) @ value; a mask of truth values keeps what is true."""
    query, key, value = call.tensor("query"), call.tensor("key"), call.tensor("value")
    scores_shape = [*query.shape[:-1], key.shape[-2]]
    call.reserve(scores_shape, work=math.prod(scores_shape) * (query.shape[-1] + value.shape[-1]))
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
    mask = call.optional("attn_mask")
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask
    return torch.matmul(torch.softmax(scores, dim=-1), value)


def _product(x: Tensor, y: Tensor) -> Tensor:
    """Of tensors that may differ in dtype, which iOS 17 allows."""
    dtype = torch.promote_types(x.dtype, y.dtype)
    return torch.matmul(x.to(dtype), y.to(dtype))

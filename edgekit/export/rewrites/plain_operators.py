"""Operators that coremltools 9 refuses or converts wrongly, in terms of those that it converts rightly.

Each form is the definition in torch's documentation; it agrees with torch's kernel up to rounding. Refused are celu,
logsigmoid, hardshrink, addcmul, addcdiv, lerp, ``where`` with a number, ``&``, ``|`` and ``^`` of truth values,
var_mean, std_mean, cosine_similarity and rms_norm with default arguments, channel_shuffle, a max pool without a stride,
argmax and argmin over all axes, PReLU per channel of anything but rank 4, and a product with a vector. Silently wrong
are a variance or deviation over all axes (its correction is dropped) and log_softmax (the logarithm of a softmax that
has become 0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, match

REASON = "coremltools refuses the operator, or drops one of its arguments"
BOUND = 2e-6

_aten = torch.ops.aten


# The forms take the operator's arguments by the names that its schema gives them.
def _celu(self: Tensor, alpha: float) -> Tensor:
    return torch.where(self > 0, self, torch.expm1(self / alpha) * alpha)


def _log_sigmoid(self: Tensor) -> Tensor:
    return self.clamp(max=0.0) - torch.log1p(torch.exp(-self.abs()))


def _hardshrink(self: Tensor, lambd: float) -> Tensor:
    return torch.where(self.abs() <= lambd, torch.zeros_like(self), self)


def _prelu(self: Tensor, weight: Tensor) -> Tensor:
    slope = weight.reshape([-1] + [1] * (self.dim() - 2))
    return self.clamp(min=0.0) + self.clamp(max=0.0) * slope


def _addcmul(self: Tensor, tensor1: Tensor, tensor2: Tensor, value: float) -> Tensor:
    return self + tensor1 * tensor2 * value


def _addcdiv(self: Tensor, tensor1: Tensor, tensor2: Tensor, value: float) -> Tensor:
    return self + tensor1 / tensor2 * value


def _lerp(self: Tensor, end: Tensor, weight: Any) -> Tensor:
    moved: Tensor = self + (end - self) * weight
    return moved


def _where(condition: Tensor, self: Any, other: Any) -> Tensor:
    like = next((v for v in (self, other) if isinstance(v, Tensor)), condition.float())
    filled = [v if isinstance(v, Tensor) else torch.full_like(like, v) for v in (self, other)]
    return torch.where(condition, filled[0], filled[1])


def _variance(
    self: Tensor, dim: Any = None, unbiased: bool = True, correction: float | None = None, keepdim: bool = False
) -> Tensor:
    axes = list(dim) if dim else list(range(self.dim()))
    return torch.var(self, axes, correction=float(unbiased) if correction is None else correction, keepdim=keepdim)


def _deviation(self: Tensor, **options: Any) -> Tensor:
    return torch.sqrt(_variance(self, **options))


def _with_mean(first: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
    def form(self: Tensor, dim: Any = None, keepdim: bool = False, **options: Any) -> tuple[Tensor, Tensor]:
        axes = list(dim) if dim else list(range(self.dim()))
        return first(self, dim=axes, keepdim=keepdim, **options), self.mean(axes, keepdim)

    return form


def _cosine_similarity(x1: Tensor, x2: Tensor, dim: int, eps: float) -> Tensor:
    lengths = [torch.linalg.vector_norm(x, 2, [dim], True).clamp(min=eps) for x in (x1, x2)]
    products: Tensor = x1 / lengths[0] * (x2 / lengths[1])
    return products.sum(dim)


def _rms_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None, eps: float | None) -> Tensor:
    axes = list(range(-len(normalized_shape), 0))
    smallest = torch.finfo(input.dtype).eps if eps is None else eps
    scaled = input * torch.rsqrt((input * input).mean(axes, True) + smallest)
    return scaled if weight is None else scaled * weight


def _log_softmax(self: Tensor, dim: int, **_: Any) -> Tensor:
    shifted = self - self.amax(dim, True)
    return shifted - torch.log(torch.exp(shifted).sum(dim, True))


def _channel_shuffle(self: Tensor, groups: int) -> Tensor:
    batch, channels, *space = self.shape
    return self.reshape(batch, groups, channels // groups, -1).transpose(1, 2).reshape(batch, channels, *space)


def _max_pool2d(self: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Tensor:
    pooled: Tensor = _aten.max_pool2d.default(self, kernel_size, stride or kernel_size, padding, dilation, ceil_mode)
    return pooled


def _flat(pick: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def form(self: Tensor, dim: None, keepdim: bool) -> Tensor:
        index = pick(self.reshape(-1), 0)
        return index.reshape([1] * self.dim()) if keepdim else index

    return form


def _product(self: Tensor, other: Tensor) -> Tensor:
    left = self.unsqueeze(0) if self.dim() == 1 else self
    right = other.unsqueeze(-1) if other.dim() == 1 else other
    product = torch.matmul(left, right)
    product = product.squeeze(-1) if other.dim() == 1 else product
    if self.dim() == 1:
        product = product.squeeze(-1 if other.dim() == 1 else -2)
    return product


def _without_axes(node: Node) -> bool:
    return match.argument(node, "dim") in (None, [], ())


def _without_stride(node: Node) -> bool:
    return not match.argument(node, "stride")


def _without_epsilon(node: Node) -> bool:
    return match.argument(node, "eps") is None


def _with_vector(node: Node) -> bool:
    return any(len(match.shape(source) or ()) == 1 for source in node.all_input_nodes)


def _per_channel(node: Node) -> bool:
    x, weight = node.all_input_nodes
    return len(match.shape(x) or ()) != 4 and match.shape(weight) != (1,)


_FORMS: dict[Any, Callable[..., Any]] = {
    _aten.celu.default: _celu,
    _aten.log_sigmoid.default: _log_sigmoid,
    _aten.hardshrink.default: _hardshrink,
    _aten.prelu.default: _prelu,
    _aten.addcmul.default: _addcmul,
    _aten.addcdiv.default: _addcdiv,
    _aten.lerp.Scalar: _lerp,
    _aten.lerp.Tensor: _lerp,
    _aten.where.Scalar: _where,
    _aten.where.ScalarSelf: _where,
    _aten.where.ScalarOther: _where,
    _aten.__and__.Tensor: _aten.logical_and.default,
    _aten.__or__.Tensor: _aten.logical_or.default,
    _aten.__xor__.Tensor: _aten.logical_xor.default,
    _aten.var.default: _variance,
    _aten.var.correction: _variance,
    _aten.std.default: _deviation,
    _aten.std.correction: _deviation,
    **dict.fromkeys((_aten.var_mean.default, _aten.var_mean.dim, _aten.var_mean.correction), _with_mean(_variance)),
    **dict.fromkeys((_aten.std_mean.default, _aten.std_mean.dim, _aten.std_mean.correction), _with_mean(_deviation)),
    _aten.log_softmax.int: _log_softmax,
    _aten._log_softmax.default: _log_softmax,
    _aten.cosine_similarity.default: _cosine_similarity,
    _aten.rms_norm.default: _rms_norm,
    _aten.channel_shuffle.default: _channel_shuffle,
    _aten.max_pool2d.default: _max_pool2d,
    _aten.argmax.default: _flat(torch.argmax),
    _aten.argmin.default: _flat(torch.argmin),
    _aten.matmul.default: _product,
}
# Operators that are refused, or wrong, in some calls only.
_ONLY: dict[Any, Callable[[Node], bool]] = {
    _aten.prelu.default: _per_channel,
    _aten.var.correction: _without_axes,
    _aten.std.correction: _without_axes,
    _aten.rms_norm.default: _without_epsilon,
    _aten.max_pool2d.default: _without_stride,
    _aten.argmax.default: _without_axes,
    _aten.argmin.default: _without_axes,
    _aten.matmul.default: _with_vector,
}
_LOGICAL = (_aten.__and__.Tensor, _aten.__or__.Tensor, _aten.__xor__.Tensor)


def _applies(node: Node) -> bool:
    if not match.is_call(node, _FORMS):
        return False
    only: Callable[[Node], bool] | None = _ONLY.get(node.target)
    if only is not None and not only(node):
        return False
    if match.is_call(node, _LOGICAL):
        return all(n.meta["val"].dtype is torch.bool for n in node.all_input_nodes)
    return all(match.is_float32(n) or n.meta["val"].dtype is torch.bool for n in node.all_input_nodes)


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many operators were replaced."""
    changed = 0
    for node in list(program.graph.nodes):
        if not _applies(node):
            continue
        results = graph.inline(program, node, _FORMS[node.target], **match.arguments(node))
        if isinstance(results, Node):
            changed += graph.replace(program, node, results)
            continue
        for user in list(node.users):  # each a getitem
            graph.replace(program, user, results[user.args[1]])
        program.graph.erase_node(node)
        changed += 1
    if changed:
        graph.finish(program)
    return changed

"""Fold an inference-mode batch norm into the convolution or linear layer that feeds it.

Method: w' = w * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta, computed in float64
(Jacob et al. 2018, arXiv:1712.05877, section 3.2). Every runtime does this at load or conversion time; doing it once
removes a third of the nodes that each converter's passes walk dozens of times. Exact up to float32 rounding of the
folded weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites.program import Parameters

REASON = "fewer nodes for every converter; the runtimes fold it anyway"
BOUND = 2e-5

_aten = torch.ops.aten
_LAYERS = {
    _aten.conv1d.default: 3,
    _aten.conv2d.default: 3,
    _aten.conv3d.default: 3,
    _aten.convolution.default: 3,
    _aten.linear.default: 3,
}
# operator -> index of eps in its arguments; the first five are always (x, gamma, beta, mean, var)
_NORMS = {
    _aten.batch_norm.default: 7,
    _aten._native_batch_norm_legit_no_training.default: 6,
}


def _is_inference(norm: Node) -> bool:
    return norm.target is not _aten.batch_norm.default or norm.args[5] is False


def _transposed(layer: Node) -> bool:
    return layer.target is _aten.convolution.default and bool(layer.args[6])


def _result_users(norm: Node) -> Node | None:
    """The node that stands for the normalised tensor: the norm itself, or its only ``getitem 0``."""
    if norm.target is _aten.batch_norm.default:
        return norm
    users = list(norm.users)
    if len(users) == 1 and len(users[0].args) > 1 and users[0].args[1] == 0:
        return users[0]
    return None


def apply(program: ExportedProgram) -> int:
    """Fold in place; returns how many batch norms were folded."""
    parameters = Parameters(program)
    folded = 0
    for norm in list(program.graph.nodes):
        if norm.op == "call_function" and norm.target in _NORMS and _is_inference(norm):
            folded += _fold_one(norm, parameters)
    if folded:
        parameters.finish()
    return folded


def _fold_one(norm: Node, parameters: Parameters) -> bool:
    arguments: Any = norm.args
    layer, gamma, beta, mean, var = arguments[:5]
    result = _result_users(norm)
    if not isinstance(layer, Node) or layer.target not in _LAYERS or len(layer.users) != 1 or result is None:
        return False
    operands: Any = (*layer.args, None)
    weight, bias = operands[1:3]
    own = [weight] + ([bias] if bias is not None else [])
    read_only = [n for n in (gamma, beta, mean, var) if n is not None]
    if _transposed(layer) or not all(parameters.private(n) for n in own) or not all(map(parameters.known, read_only)):
        return False
    # A norm works on axis 1, which holds the layer's channels only if the layer's result has the weight's rank.
    if layer.meta["val"].dim() != parameters.value(weight).dim():
        return False
    # The folded bias takes over a placeholder that this norm owns, so that no new one is needed.
    carrier: Any = bias if bias is not None else next((n for n in (beta, mean) if n and parameters.private(n)), None)
    if carrier is None:
        return False
    eps = arguments[_NORMS[norm.target]]  # type: ignore[index]  # the caller found the target in the table
    _write(parameters, weight, bias, (gamma, beta, mean, var, eps), carrier)
    layer.args = (*layer.args[:2], carrier, *layer.args[3:])
    result.replace_all_uses_with(layer)
    parameters.program.graph_signature.replace_all_uses(result.name, layer.name)
    program_graph = norm.graph
    if result is not norm:
        program_graph.erase_node(result)
    program_graph.erase_node(norm)
    return True


def _write(parameters: Parameters, weight: Node, bias: Node | None, norm: tuple[Any, ...], carrier: Node) -> None:
    gamma, beta, mean, var, eps = norm
    w = parameters.value(weight)
    mean64, var64 = parameters.value(mean).double(), parameters.value(var).double()
    scale = torch.rsqrt(var64 + eps)
    if gamma is not None:
        scale = scale * parameters.value(gamma).double()
    old_bias = parameters.value(bias).double() if bias is not None else torch.zeros_like(mean64)
    new_bias = (old_bias - mean64) * scale
    if beta is not None:
        new_bias = new_bias + parameters.value(beta).double()
    shape = (-1,) + (1,) * (w.dim() - 1)
    parameters.set_value(weight, (w.double() * scale.reshape(shape)).to(w.dtype))
    parameters.set_value(carrier, new_bias.to(w.dtype))

"""Layer norm as operators that XNNPACK takes; between two permutes of an image, without the permutes.

Method: the two-pass formula, ``c = x - mean(x)``, ``c / sqrt(mean(c * c) + eps) * gamma + beta`` (Ba et al. 2016,
arXiv:1607.06450, eq. 4). The mean over the last axis is a linear layer with one output, the mean over an image's
channels a 1x1 convolution with one output: XNNPACK (ExecuTorch 1.5) takes no other mean over channels. A LayerNorm2d
(permute, layer norm, permute back) stays in the memory order of the convolutions around it.

ExecuTorch leaves ``native_layer_norm`` outside the delegate, where it splits the partition and computes the variance
as a difference of squares: 1e-3 off for inputs with 50 times as much mean as deviation. Measured on one x86 core, p50
of one norm: 197 x 192 68 -> 32 us, 1024 x 64 112 -> 68 us, 3136 x 96 582 -> 372 us, LayerNorm2d of 48 x 28 x 28
93 -> 36 us.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph, known, match
from edgekit.export.rewrites.program import Parameters

REASON = "XNNPACK has no layer norm; outside the delegate it splits the partition and loses precision"
BOUND = 2e-5

_aten = torch.ops.aten
_COMPOSITE, _NATIVE = _aten.layer_norm.default, _aten.native_layer_norm.default
_AFFINE = ("weight", "bias")
_CHANNELS_LAST, _CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def apply(program: ExportedProgram) -> int:
    """Rewrite in place; returns how many layer norms were replaced."""
    parameters = Parameters(program)
    changed = 0
    for node in list(program.graph.nodes):
        if not match.is_call(node, (_COMPOSITE, _NATIVE)) or not match.is_float32(*node.all_input_nodes):
            continue
        result = _result(node)
        if result is None:
            continue
        image = _image(node, result, parameters)
        new = _over_last_axes(program, node) if image is None else _over_channels(program, node, image, parameters)
        replaced = [result] if image is None else list(result.users)
        for old in replaced:
            graph.replace(program, old, new)
        _drop(program, *(left for left in (*node.users, node) if left not in replaced))
        changed += 1
    if changed:
        parameters.finish()
    return changed


def _drop(program: ExportedProgram, *unused: Node) -> None:
    """Remove nodes that nothing reads any more, and what only they read of the permute before a norm."""
    for node in unused:
        sources = node.all_input_nodes
        program.graph.erase_node(node)
        _drop(program, *(n for n in sources if match.is_call(n, (_aten.permute.default,)) and not n.users))


def _result(node: Node) -> Node | None:
    """The node that stands for the normalised tensor: the norm, or its ``getitem 0`` if nothing else is read."""
    if node.target is _COMPOSITE:
        return node
    users = [user for user in node.users if user.users]
    only = len(users) == 1 and users[0].target is operator.getitem and users[0].args[1] == 0
    return users[0] if only else None


def _image(norm: Node, result: Node, parameters: Parameters) -> Node | None:
    """The image of which the norm reads a channels-last permute, if the result is only read permuted back."""
    before: Any = norm.args[0]
    known_affine = all(n is None or parameters.known(n) for n in (match.argument(norm, name) for name in _AFFINE))
    if len(match.argument(norm, "normalized_shape")) != 1 or not known_affine or not _permutes(before, _CHANNELS_LAST):
        return None
    return before.args[0] if all(_permutes(user, _CHANNELS_FIRST) for user in result.users) else None


def _permutes(node: Node, order: list[int]) -> bool:
    if not match.is_call(node, (_aten.permute.default,)):
        return False
    return [axis % len(order) for axis in match.argument(node, "dims")] == order


def _over_last_axes(program: ExportedProgram, norm: Node) -> Node:
    def call(target: Any, *args: Any) -> Node:
        return graph.call(program, norm, target, *args)

    x: Any = norm.args[0]
    axes = match.argument(norm, "normalized_shape")
    shape, width = list(match.shape(x) or ()), math.prod(axes)
    row = graph.constant(program, f"mean_row_{width}", torch.full((1, width), 1.0 / width))
    if len(axes) > 1:
        x = call(_aten.reshape.default, x, [*shape[: len(shape) - len(axes)], width])
    y = _normalised(program, norm, x, lambda value: call(_aten.linear.default, value, row))
    if len(axes) > 1:
        y = call(_aten.reshape.default, y, shape)
    weight, bias = (match.argument(norm, name) for name in _AFFINE)
    y = y if weight is None else call(_aten.mul.Tensor, y, weight)
    return y if bias is None else call(_aten.add.Tensor, y, bias)


def _over_channels(program: ExportedProgram, norm: Node, image: Node, parameters: Parameters) -> Node:
    def call(target: Any, *args: Any) -> Node:
        return graph.call(program, norm, target, *args)

    (width,) = match.argument(norm, "normalized_shape")
    kernel = graph.constant(program, f"mean_kernel_{width}", torch.full((1, width, 1, 1), 1.0 / width))
    y = _normalised(program, norm, image, lambda value: call(_aten.conv2d.default, value, kernel))
    for name, target in zip(_AFFINE, (_aten.mul.Tensor, _aten.add.Tensor), strict=True):
        given = match.argument(norm, name)
        if given is not None:
            per_channel = known.constant(program, "per_channel", parameters.value(given).reshape(width, 1, 1))
            y = call(target, y, per_channel)
    return y


def _normalised(program: ExportedProgram, norm: Node, x: Any, mean: Callable[[Node], Node]) -> Node:
    """``x`` less its mean, divided by its deviation."""

    def call(target: Any, *args: Any) -> Node:
        return graph.call(program, norm, target, *args)

    centred = call(_aten.sub.Tensor, x, mean(x))
    variance = mean(call(_aten.mul.Tensor, centred, centred))
    factor = call(_aten.rsqrt.default, call(_aten.add.Tensor, variance, match.argument(norm, "eps")))
    return call(_aten.mul.Tensor, centred, factor)

"""Operators that need no trial: every converter takes them, whatever their arguments.

Measured by converting each alone and in the zoo's models (litert-torch 0.10, coremltools 9, torch.onnx of torch 2.13).
An operator that is not listed is not refused, only tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

# Move values only: for floats, whole numbers and bools.
_MOVES = frozenset({
    "cat", "chunk", "clone", "contiguous", "detach", "dropout", "expand", "expand_as", "flatten", "index_select",
    "lift_fresh_copy", "movedim", "narrow", "permute", "pixel_shuffle", "pixel_unshuffle", "repeat", "reshape",
    "reshape_as", "select", "slice", "split", "split_with_sizes", "squeeze", "stack", "t", "to", "_to_copy",
    "transpose", "type_as", "unbind", "unflatten", "unsqueeze", "view", "where",
})  # fmt: skip
# Compute, also with whole numbers.
_WHOLE = frozenset({
    "add", "arange", "argmax", "argmin", "clamp", "div", "embedding", "eq", "floor_divide", "full", "full_like", "ge",
    "gt", "le", "logical_and", "logical_not", "logical_or", "lt", "mul", "ne", "ones", "ones_like", "sub", "sum",
    "zeros", "zeros_like", "bitwise_not", "index",
})  # fmt: skip
# Compute with float32 only.
_FLOAT = frozenset({
    "abs", "adaptive_avg_pool2d", "addmm", "amax", "amin", "avg_pool2d", "baddbmm", "batch_norm", "bmm", "clamp_max",
    "clamp_min", "conv1d", "conv2d", "cos", "einsum", "elu", "erf", "exp", "gelu", "glu", "group_norm", "hardsigmoid",
    "hardswish", "hardtanh", "instance_norm", "layer_norm", "leaky_relu", "linalg_vector_norm", "linear", "linspace",
    "log", "logsumexp", "masked_fill", "matmul", "max", "max_pool2d", "maximum", "mean", "meshgrid", "min", "minimum",
    "mish", "mm", "neg", "pad", "pow", "prelu", "reciprocal", "relu", "relu6", "roll", "rsqrt",
    "scaled_dot_product_attention", "selu", "sigmoid", "silu", "sin", "softmax", "softplus", "sqrt", "square", "tanh",
    "upsample_bilinear2d", "upsample_nearest2d",
})  # fmt: skip
_TYPES = (torch.float32, torch.int64, torch.int32, torch.bool)
_CORE_ML_RANK = 5


def _argument(node: Node, index: int) -> Any:
    return node.args[index] if len(node.args) > index else None


def _pads_axes_differently(padding: Any, ceil_mode: Any) -> bool:
    return bool(ceil_mode) or (isinstance(padding, (list, tuple)) and len(set(padding)) > 1)


def _has_alpha(node: Node) -> bool:
    return bool(node.kwargs.get("alpha", 1) != 1)


# What a backend wants to be asked about after all: operator -> when.
UNLESS: dict[str, dict[str, Callable[[Node], bool]]] = {
    "litert": {
        "add": _has_alpha,
        "sub": _has_alpha,
        # A window that hangs over, or padding along one axis, may be taken for "same" padding, or not be loaded.
        "avg_pool2d": lambda node: _pads_axes_differently(_argument(node, 3), _argument(node, 4)),
        "max_pool2d": lambda node: _pads_axes_differently(_argument(node, 3), _argument(node, 5)),
    },
    "coreml": {
        "avg_pool2d": lambda node: bool(_argument(node, 4)),  # a window that hangs over: its shape may differ
        "max_pool2d": lambda node: (
            _argument(node, 2) in (None, []) or _argument(node, 4) not in (None, 1, [1, 1]) or bool(_argument(node, 5))
        ),
        "argmax": lambda node: _argument(node, 1) is None,
        "argmin": lambda node: _argument(node, 1) is None,
        "where": lambda node: not all(isinstance(argument, Node) for argument in node.args),
        "matmul": lambda node: any(tensor.ndim < 2 for tensor in _tensors(node)),
        "prelu": lambda node: node.meta["val"].dim() != 4,
        "pad": lambda node: _argument(node, 2) not in (None, "constant", "reflect", "replicate"),
    },
}


def bare_name(node: Node) -> str:
    """``aten.relu_.default`` -> ``relu``; other libraries' operators keep their full name."""
    library, _, rest = str(node.target).partition(".")
    name = rest.split(".")[0]
    if library != "aten":
        return str(node.target)
    return name if name.startswith("__") else name.rstrip("_")


def moves_only(node: Node) -> bool:
    """Whether the operator computes nothing."""
    return bare_name(node) in _MOVES


def unusual_types(node: Node) -> str | None:
    """The types, other than float32 and the common whole numbers, that a well-known operator works on here."""
    if bare_name(node) not in _MOVES | _WHOLE | _FLOAT:
        return None
    names = {str(tensor.dtype).removeprefix("torch.") for tensor in _tensors(node) if tensor.dtype not in _TYPES}
    return ", ".join(sorted(names)) or None


def is_plain(node: Node, backend: str) -> bool:
    """Whether the backend is known to convert the operator as it is used here."""
    name = bare_name(node)
    if name == "_assert_tensor_metadata":  # the converters drop it
        return True
    tensors = _tensors(node)
    types = {tensor.dtype for tensor in tensors}
    if not types <= set(_TYPES) or (backend == "coreml" and any(tensor.ndim > _CORE_ML_RANK for tensor in tensors)):
        return False
    ask = UNLESS.get(backend, {}).get(name)
    if ask is not None and ask(node):
        return False
    if name in _MOVES or name in _WHOLE:
        return True
    return name in _FLOAT and types <= {torch.float32, torch.bool}


def _tensors(node: Node) -> list[torch.Tensor]:
    values = [node.meta.get("val"), *(argument.meta.get("val") for argument in node.all_input_nodes)]
    flat = [v for value in values for v in (value if isinstance(value, (list, tuple)) else [value])]
    return [value for value in flat if isinstance(value, torch.Tensor)]

"""Reading a node of an exported program: is it this operator, with which arguments, of which dtype and shape?"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import torch
from torch.fx import Node


def is_call(node: object, targets: Container[Any]) -> bool:
    """Whether this is a call of one of the operators."""
    return isinstance(node, Node) and node.op == "call_function" and node.target in targets


def argument(node: Node, name: str) -> Any:
    """An operator's argument by its name in the schema, whether given by position, by name or not at all.

    Raises:
        LookupError: the operator has no such argument, or the call lacks it and it has no default.
    """
    schema: Any = getattr(node.target, "_schema", None)
    for index, declared in enumerate(schema.arguments if schema is not None else ()):
        if declared.name == name:
            if index < len(node.args):
                return node.args[index]
            if name in node.kwargs or declared.has_default_value():
                return node.kwargs.get(name, declared.default_value)
    raise LookupError(f"{node.target} has no argument {name!r} in this call")


def arguments(node: Node) -> dict[str, Any]:
    """All arguments of an operator by their names in the schema, the defaults of those that are not given included."""
    schema: Any = getattr(node.target, "_schema", None)
    return {declared.name: argument(node, declared.name) for declared in schema.arguments}


def shape(node: Node) -> tuple[int, ...] | None:
    """The shape of a node's tensor; null if it is not one tensor, or if a size depends on the inputs."""
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor) or not all(isinstance(size, int) for size in value.shape):
        return None
    return tuple(value.shape)


def is_float32(*nodes: object) -> bool:
    """Whether each of them is a float32 tensor of a fixed shape."""
    return all(isinstance(n, Node) and shape(n) is not None and n.meta["val"].dtype is torch.float32 for n in nodes)

"""Editing the graph of an exported program: new nodes with their shapes, replaced nodes, new constants."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, InputSpec, TensorArgument
from torch.fx import Node

_STANDS_FOR = "edgekit_stands_for"


def call(program: ExportedProgram, before: Node, target: Any, *args: Any) -> Node:
    """Insert ``target(*args)`` before the node that it helps to replace.

    Its shape and dtype are computed by torch's own fake tensors; in messages it stands for that node
    (:func:`origin_of`).
    """
    with program.graph.inserting_before(before):
        node: Node = program.graph.call_function(target, args)
    values = [arg.meta["val"] if isinstance(arg, Node) else arg for arg in args]
    node.meta["val"] = target(*values)
    node.meta[_STANDS_FOR] = before.meta.get(_STANDS_FOR, before.name)
    return node


def origin_of(node: Node) -> str:
    """The name of the exported node that this one stands for; its own name unless a rewrite made it."""
    return str(node.meta.get(_STANDS_FOR, node.name))


def replace(program: ExportedProgram, old: Node, new: Node) -> bool:
    """Let every user of ``old`` read ``new``, and remove ``old``.

    Refused (False) where the program would then return one of its inputs as it is: not every format can say that.
    """
    returned = any(user.op == "output" for user in old.users)
    if returned and new.op == "placeholder":
        return False
    for spec in program.graph_signature.output_specs:
        if returned and not isinstance(spec.arg, ConstantArgument) and spec.arg.name == old.name:
            spec.arg = TensorArgument(name=new.name)
    old.replace_all_uses_with(new)
    program.graph.erase_node(old)
    return True


def constant(program: ExportedProgram, name: str, value: torch.Tensor) -> Node:
    """Add a constant tensor to the program; equal names share one. Answers its placeholder."""
    signature = program.graph_signature
    placeholders: list[Node] = [n for n in program.graph.nodes if n.op == "placeholder"]
    for existing, known in zip(placeholders, signature.input_specs, strict=True):
        if known.target == name:
            return existing
    kinds = [spec.kind for spec in signature.input_specs]
    index = kinds.index(InputKind.USER_INPUT) if InputKind.USER_INPUT in kinds else len(kinds)
    with program.graph.inserting_before(placeholders[index]):
        node: Node = program.graph.placeholder(f"c_{name}")
    fake_mode = placeholders[index].meta["val"].fake_mode
    node.meta["val"] = fake_mode.from_tensor(value, static_shapes=True)
    spec = InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(name=node.name), name)
    signature.input_specs.insert(index, spec)
    program.constants[name] = value
    return node


def finish(program: ExportedProgram) -> None:
    """Recompile and check the graph after the last edit."""
    program.graph_module.recompile()
    program.graph.lint()
    program._validate()  # type: ignore[no-untyped-call]

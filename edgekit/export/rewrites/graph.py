"""Editing the graph of an exported program: new nodes with their shapes, replaced nodes, new constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, InputSpec, TensorArgument
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

_STANDS_FOR = "edgekit_stands_for"


def call(program: ExportedProgram, before: Node, target: Any, *args: Any, **kwargs: Any) -> Node:
    """Insert ``target(*args, **kwargs)`` before the node that it helps to replace.

    Its shape and dtype are computed by torch's own fake tensors; in messages it stands for that node
    (:func:`origin_of`).
    """
    with program.graph.inserting_before(before):
        node: Node = program.graph.call_function(target, args, kwargs)
    values, named = map_arg((args, kwargs), lambda arg: arg.meta["val"])
    node.meta["val"] = target(*values, **named)
    node.meta[_STANDS_FOR] = before.meta.get(_STANDS_FOR, before.name)
    return node


def origin_of(node: Node) -> str:
    """The name of the exported node that this one stands for; its own name unless a rewrite made it."""
    return str(node.meta.get(_STANDS_FOR, node.name))


def inline(program: ExportedProgram, before: Node, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Insert the operators that ``function(*args, **kwargs)`` calls before the node that they help to replace.

    Nodes among the arguments stand for their tensors. Answers the node of the result, or several in the structure that
    the function returns. The function must not make tensors from numbers of its own (``torch.tensor``).
    """
    sources: list[Node] = []
    map_arg((args, kwargs), lambda source: sources.append(source) if source not in sources else None)

    def run(*tensors: torch.Tensor) -> Any:
        of = dict(zip(sources, tensors, strict=True))
        given, named = map_arg((args, kwargs), of.__getitem__)
        return function(*given, **named)

    traced = make_fx(run)(*(source.meta["val"] for source in sources)).graph
    made: dict[Node, Node] = dict(zip((n for n in traced.nodes if n.op == "placeholder"), sources, strict=True))
    for node in traced.nodes:
        given, named = map_arg((node.args, node.kwargs), made.__getitem__)
        if node.op == "output":
            return given[0]
        if node.op != "placeholder":
            made[node] = call(program, before, node.target, *given, **named)
    raise AssertionError("a graph has an output")


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
    before, after = old.meta["val"], new.meta["val"]
    if isinstance(before, torch.Tensor) and before.stride() != after.stride():
        _relax_views(program)
    old.replace_all_uses_with(new)
    program.graph.erase_node(old)
    return True


def _relax_views(program: ExportedProgram) -> None:
    """Let every ``view`` copy where it must: it was exported for a memory order that a rewrite has changed.

    One that is written into stays as it is, because its base has to change with it.
    """
    for node in program.graph.nodes:
        if node.target is not torch.ops.aten.view.default:
            continue
        if not any(getattr(getattr(user.target, "_schema", None), "is_mutable", False) for user in node.users):
            node.target = torch.ops.aten.reshape.default


def constant(program: ExportedProgram, name: str, value: torch.Tensor) -> Node:
    """Add a constant tensor to the program; equal names share one. Answers its placeholder.

    It is a buffer that no state dict holds: ExecuTorch 1.5 fails on a lifted constant that two partitions read.
    """
    signature = program.graph_signature
    placeholders: list[Node] = [n for n in program.graph.nodes if n.op == "placeholder"]
    for existing, known in zip(placeholders, signature.input_specs, strict=True):
        if known.target == name:
            return existing
    kinds = [spec.kind for spec in signature.input_specs]
    index = next(i for i, kind in enumerate(kinds) if kind not in (InputKind.PARAMETER, InputKind.BUFFER))
    with program.graph.inserting_before(placeholders[index]):
        node: Node = program.graph.placeholder(f"b_{name}")
    fake_mode = placeholders[index].meta["val"].fake_mode
    node.meta["val"] = fake_mode.from_tensor(value, static_shapes=True)
    spec = InputSpec(InputKind.BUFFER, TensorArgument(name=node.name), name, persistent=False)
    signature.input_specs.insert(index, spec)
    program.constants[name] = value
    return node


def finish(program: ExportedProgram) -> None:
    """Recompile and check the graph after the last edit."""
    program.graph_module.recompile()
    program.graph.lint()
    program._validate()  # type: ignore[no-untyped-call]

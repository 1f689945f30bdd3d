"""A program made of some nodes of another one, so that a converter can be asked about these alone.

What the nodes read from the rest of the program becomes an input; what depends on parameters only comes along, because
converters treat constants differently. No tensor is copied.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.exported_program import ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.fx import Graph, GraphModule, Node
from torch.utils import _pytree as pytree

_aten = torch.ops.aten


def is_operator(node: Node) -> bool:
    """Whether the node computes something by one operator of torch; ``getitem`` and control flow do not."""
    return node.op == "call_function" and hasattr(node.target, "_schema")


def constants(program: ExportedProgram) -> set[Node]:
    """The nodes whose values do not depend on the program's inputs."""
    kinds = dict(zip(_placeholders(program), program.graph_signature.input_specs, strict=True))
    found: set[Node] = set()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            if kinds[node].kind is not InputKind.USER_INPUT:
                found.add(node)
        elif node.op in ("call_function", "get_attr") and all(arg in found for arg in node.all_input_nodes):
            found.add(node)
    return found


def parts(node: Node) -> list[Node]:
    """The ``getitem`` nodes by which an operator's several results are read."""
    return [user for user in node.users if user.target is operator.getitem and user.users]


def signature(node: Node, fixed: Collection[Node]) -> str:
    """A text that is equal for nodes that every converter treats alike: operator, arguments, shapes, dtypes."""

    def plain(value: Any) -> str:
        if isinstance(value, Node):
            return f"{'constant' if value in fixed else 'tensor'} {_shape(value)}"
        if isinstance(value, (list, tuple)):
            return "[" + ",".join(plain(v) for v in value) + "]"
        return repr(value)

    used = sorted({str(part.args[1]) for part in parts(node)})
    named = sorted((key, plain(value)) for key, value in node.kwargs.items())
    return f"{node.target}{plain(node.args)}{named}{used}"


def _shape(node: Node) -> str:
    value = node.meta.get("val")
    return f"{value.dtype}{tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(type(value))


def _placeholders(program: ExportedProgram) -> list[Node]:
    return [node for node in program.graph.nodes if node.op == "placeholder"]


class _Builder:
    """Copies nodes into a new graph, where they read each other's results only if they are ``joined``."""

    def __init__(self, program: ExportedProgram, nodes: Collection[Node], joined: bool) -> None:
        self.program = program
        self.fixed = constants(program)
        self.own = {*(nodes if joined else ()), *self.fixed}
        self.specs = dict(zip(_placeholders(program), program.graph_signature.input_specs, strict=True))
        self._in_place = any(node.target._schema.is_mutable for node in nodes)  # type: ignore[union-attr]
        self.graph = Graph()
        self.root = torch.nn.Module()
        self.made: dict[Node, Node] = {}
        self.inputs: dict[Node, Node] = {}
        self.input_specs: list[InputSpec] = []

    def copy(self, node: Node) -> Node:
        """The node with all that it needs; its name stays."""
        if node in self.made:
            return self.made[node]
        if node.op == "placeholder":
            self.made[node] = self._placeholder(node, node.name, self.specs[node])
            return self.made[node]
        if node.op == "get_attr":
            setattr(self.root, str(node.target), getattr(self.program.graph_module, str(node.target)))
        arguments = {argument: self._argument(argument) for argument in node.all_input_nodes}
        made = self.graph.node_copy(node, lambda argument: arguments[argument])
        self.made[node] = made
        for part in parts(node):
            self.made[part] = self.graph.node_copy(part, lambda argument: self.made[argument])
        return made

    def _argument(self, node: Node) -> Node:
        owner = node.args[0] if node.target is operator.getitem else node
        if isinstance(owner, Node) and owner in self.own:
            self.copy(owner)
            return self.made[node]
        if node not in self.inputs:
            self.inputs[node] = self._placeholder(node, f"{node.name}__input", None)
        return self.inputs[node]

    def _placeholder(self, node: Node, name: str, known: InputSpec | None) -> Node:
        first = next((n for n in self.graph.nodes if n.op != "placeholder"), self.graph._root)
        with self.graph.inserting_before(first):
            made: Node = self.graph.placeholder(name)
        made.meta = dict(node.meta)
        argument = TensorArgument(name=made.name)
        if known is not None and known.kind is not InputKind.USER_INPUT:
            self.input_specs.append(InputSpec(known.kind, argument, known.target, known.persistent))
            return made
        self.input_specs.append(InputSpec(InputKind.USER_INPUT, argument, None))
        # An input has the ordinary layout, also where the value it stands for is a permuted view.
        made.meta["val"] = node.meta["val"].new_empty(node.meta["val"].shape)
        return self._cloned(made, first) if self._in_place else made

    def _cloned(self, made: Node, first: Node) -> Node:
        """A copy of an input, for operators that write in place: writing into the input itself is another matter."""
        with self.graph.inserting_before(first):
            clone: Node = self.graph.call_function(_aten.clone.default, (made,))
        clone.meta = {"val": made.meta["val"].clone()}
        return clone


def excerpt(program: ExportedProgram, nodes: Collection[Node], *, joined: bool) -> ExportedProgram:
    """A program of these nodes, in their order.

    Args:
        program: where they are from; it is not changed.
        nodes: operators (:func:`is_operator`).
        joined: whether one of them reads another's result; otherwise each stands alone, on inputs of its own.
    """
    builder = _Builder(program, nodes, joined)
    outputs: list[Node] = []
    for node in program.graph.nodes:
        if node not in nodes:
            continue
        made = builder.copy(node)
        results = {part: builder.made[part] for part in parts(node)} or {node: made}
        for original, copied in results.items():
            inside = joined and original.users and all(user in nodes for user in original.users)
            if not inside and isinstance(copied.meta.get("val"), torch.Tensor):
                outputs.append(copied)
    builder.graph.output(tuple(outputs))
    return _program(builder, outputs)


def _program(builder: _Builder, outputs: list[Node]) -> ExportedProgram:
    placeholders = [node for node in builder.graph.nodes if node.op == "placeholder"]
    by_name = {spec.arg.name: spec for spec in builder.input_specs}
    specs = [by_name[node.name] for node in placeholders]
    inputs = [n for n in placeholders if by_name[n.name].kind is InputKind.USER_INPUT]
    examples = tuple(torch.zeros(tuple(n.meta["val"].shape), dtype=n.meta["val"].dtype) for n in inputs)
    call = ModuleCallSignature(
        inputs=[TensorArgument(name=node.name) for node in inputs],
        outputs=[TensorArgument(name=node.name) for node in outputs],
        in_spec=pytree.tree_flatten((examples, {}))[1],
        out_spec=pytree.tree_flatten(tuple(outputs))[1],
        forward_arg_names=[node.name for node in inputs],
    )
    returned = [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(name=node.name), None) for node in outputs]
    targets = {spec.target for spec in specs if spec.target is not None}
    return ExportedProgram(
        root=GraphModule(builder.root, builder.graph),
        graph=builder.graph,
        graph_signature=ExportGraphSignature(specs, returned),
        state_dict={name: value for name, value in builder.program.state_dict.items() if name in targets},
        range_constraints={},
        module_call_graph=[ModuleCallEntry("", call)],
        example_inputs=(examples, {}),
        constants={name: value for name, value in builder.program.constants.items() if name in targets},
        verifiers=[builder.program.verifier],
    )

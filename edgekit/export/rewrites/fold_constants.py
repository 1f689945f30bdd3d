"""Compute once what depends on parameters and constants alone: the same operators, run by torch at conversion time.

Every value is, bit by bit, the one that torch computes at run time. A transposed weight is stored in its new order, so
a matrix product that reads it may sum in another order: ``BOUND`` is for that. Position embeddings that are resized to
the input, relative-position biases gathered from a table, shifted-window masks and standardised weights are computed
anew in every inference otherwise, with operators (bicubic resize, gather) that delegates leave out and some converters
refuse.

In-place operators are followed: a tensor that is made and then filled by slices is folded if every write is constant
and comes before the first use that is not. A value larger than both ``LIMIT_BYTES`` and everything that it is computed
from stays as it is, so that a broadcast doesn't swell the file.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.node import map_arg

from edgekit.export.rewrites import known, match
from edgekit.export.rewrites.program import Parameters

REASON = "what depends on parameters alone is computed once, not in every inference"
BOUND = 2e-6
LIMIT_BYTES = 8 << 20

_aten = torch.ops.aten
# operator -> the argument of which it reads the shape and dtype, never the values
_READS_SHAPE_OF: dict[Any, int] = {
    **dict.fromkeys((_aten.new_zeros.default, _aten.new_ones.default, _aten.new_full.default), 0),
    **dict.fromkeys((_aten.zeros_like.default, _aten.ones_like.default, _aten.full_like.default), 0),
    **dict.fromkeys((_aten.new_empty.default, _aten.empty_like.default), 0),
    **dict.fromkeys((_aten.expand_as.default, _aten.view_as.default, _aten.type_as.default), 1),
}
_UNINITIALISED = (_aten.empty.memory_format, _aten.new_empty.default, _aten.empty_like.default)
_NORMS = (_aten.batch_norm.default, _aten.instance_norm.default)
# May return its input itself, though its schema doesn't say so.
_MAY_ALIAS = (_aten.type_as.default,)


def apply(program: ExportedProgram) -> int:
    """Fold in place; returns how many values became constants."""
    search = _Search(program)
    while True:
        constant = search.run()
        results = [n for n in constant if any(user not in constant for user in n.users)]
        unusable = {n for n in results if match.shape(n) is None or any(user.op == "output" for user in n.users)}
        if not unusable:
            break
        search.refused |= unusable
    if results:
        _fold(search.parameters, constant, results)
    return len(results)


def _fold(parameters: Parameters, constant: dict[Node, None], results: list[Node]) -> None:
    program, values = parameters.program, _evaluate(parameters, constant)
    for node in results:
        # The same value, computed by several blocks, is stored once.
        value = values[node].detach()
        folded = known.constant(program, "folded", value)
        node.replace_all_uses_with(folded, delete_user_cb=lambda user: user not in constant)
    for node in reversed(constant):
        program.graph.erase_node(node)
    parameters.finish()


def _evaluate(parameters: Parameters, constant: Iterable[Node]) -> dict[Node, Any]:
    """Run the constant nodes in their order; a tensor that is written in place is read after its last write."""
    values: dict[Node, Any] = {}

    def value(node: Node) -> Any:
        if node in values:
            return values[node]
        if parameters.known(node):
            return parameters.value(node)
        # Read for its shape only.
        example = node.meta["val"]
        return torch.zeros((), dtype=example.dtype).expand(example.shape)

    with torch.no_grad():
        for node in constant:
            target: Any = node.target
            result = target(*map_arg(node.args, value), **map_arg(node.kwargs, value))
            # What is left unwritten has no value of its own; zeros make the fold repeatable.
            values[node] = result.zero_() if target in _UNINITIALISED else result
    return values


class _Search:
    """Finds the nodes that depend on constants alone; ``refused`` ones are taken for variable."""

    def __init__(self, program: ExportedProgram) -> None:
        self.parameters = Parameters(program)
        self.refused: set[Node] = set()
        self._nodes = list(program.graph.nodes)
        self._position = {node: index for index, node in enumerate(self._nodes)}
        self._root: dict[Node, Node] = {}
        for node in self._nodes:
            source = _aliased(node)
            self._root[node] = node if source is None else self._root[source]
        self._writes = [(node, self._root[written]) for node in self._nodes for written in _written(node)]

    def run(self) -> dict[Node, None]:
        """The constant nodes, in order."""
        variable: set[Node] = set()  # tensors, by the node that made them, that something writes into too late
        while True:
            constant = self._propagate(variable)
            late = {root for write, root in self._writes if self._too_late(write, root, constant)} - variable
            if not late:
                return constant
            variable |= late

    def _propagate(self, variable: set[Node]) -> dict[Node, None]:
        constant: dict[Node, None] = {}
        sources: dict[Node, frozenset[Node]] = {}
        for node in self._nodes:
            if node in self.refused or self._root[node] in variable or not _can_run(node):
                continue
            inputs = _operands(node)
            if all(n in constant or (self.parameters.known(n) and n not in variable) for n in inputs):
                of = frozenset[Node]().union(*(sources.get(n, frozenset((n,))) for n in inputs))
                if _bytes(node) <= max(LIMIT_BYTES, sum(map(_bytes, of))):
                    constant[node], sources[node] = None, of
        return constant

    def _too_late(self, write: Node, root: Node, constant: dict[Node, None]) -> bool:
        """Whether the write is no constant, or comes after the tensor was handed to something that is none."""
        if write not in constant or self.parameters.known(root):
            return True
        users = (u for n in constant if self._root[n] is root for u in n.users if u not in constant)
        return any(self._position[user] < self._position[write] for user in users)


def _can_run(node: Node) -> bool:
    """Whether running the node now gives what it would give later, and writes into nothing but its first argument."""
    if node.op != "call_function":
        return False
    target: Any = node.target
    if target is operator.getitem:
        return True
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.nondeterministic_seeded in target.tags:
        return False
    if target in _NORMS:
        return match.argument(node, "running_mean") is None and match.argument(node, "running_var") is None
    return torch.Tag.maybe_aliasing_or_mutating not in target.tags and set(_written(node)) <= set(node.args[:1])


def _operands(node: Node) -> list[Node]:
    """The inputs whose values the node reads."""
    shape_only = _READS_SHAPE_OF.get(node.target)
    if shape_only is None:
        return node.all_input_nodes
    example = node.args[shape_only]
    fixed = isinstance(example, Node) and match.shape(example) is not None
    return [n for n in node.all_input_nodes if not (fixed and n is example)]


def _bytes(node: Node) -> int:
    value = node.meta.get("val")
    tensors = value if isinstance(value, (tuple, list)) else (value,)
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))


def _aliased(node: Node) -> Node | None:
    """The input that the node's result may share its memory with."""
    if node.op != "call_function" or not node.args:
        return None
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):
        tagged = torch.Tag.maybe_aliasing_or_mutating in target.tags or target in _MAY_ALIAS
        if not tagged and not any(declared.alias_info is not None for declared in target._schema.arguments):
            return None
    first = node.args[0]
    return first if isinstance(first, Node) else None


def _written(node: Node) -> list[Node]:
    """The inputs that the node writes into."""
    schema: Any = getattr(node.target, "_schema", None) if node.op == "call_function" else None
    if schema is None or not schema.is_mutable:
        return []
    names = [a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return [written for name in names if isinstance(written := match.argument(node, name), Node)]

"""Which nodes of an exported program share memory, and where an in-place operator writes into it.

A training-form program still holds ``add_`` and ``relu_``. A rewrite that reads a value later than the original did, or
that drops an in-place operator, is only exact if nobody sees the difference.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from torch.export import ExportedProgram
from torch.fx import Node


def is_in_place(node: Node) -> bool:
    """Whether the node writes into one of its arguments."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and bool(schema.is_mutable)


def shared_with(node: Node) -> Node | None:
    """The argument whose memory the node's result may share (views, in-place operators); null for a new tensor."""
    source: Any = node.args[0] if node.op == "call_function" and node.args else None
    if not isinstance(source, Node):
        return None
    if node.target is operator.getitem:
        return source
    schema = getattr(node.target, "_schema", None)
    arguments = schema.arguments if schema is not None else ()
    return source if arguments and arguments[0].alias_info is not None else None


class Aliases:
    """The order of a program's nodes, the memory that they share and the writes into it, as they were when made."""

    def __init__(self, program: ExportedProgram) -> None:
        nodes = list(program.graph.nodes)
        self._index = {node: index for index, node in enumerate(nodes)}
        self._owner: dict[Node, Node] = {}
        for node in nodes:
            source = shared_with(node)
            self._owner[node] = node if source is None else self._owner[source]
        self._writers: dict[Node, list[Node]] = {}
        for node in filter(is_in_place, nodes):
            self._writers.setdefault(self._owner[node], []).append(node)
        self._family: dict[Node, list[Node]] = {owner: [] for owner in self._writers}
        for node, owner in self._owner.items():
            if owner in self._family:
                self._family[owner].append(node)
        self._tangled = {owner for owner in self._writers if self._is_tangled(owner)}

    def __contains__(self, node: Node) -> bool:
        """Whether the program held this node when the order was read."""
        return node in self._index

    def written(self, node: Node, removed: Iterable[Node] = ()) -> bool:
        """Whether anything but the nodes in ``removed`` writes into this node's memory."""
        ignored = set(removed)
        return any(writer not in ignored for writer in self._writers.get(self._owner[node], []))

    def index(self, node: Node) -> int:
        """The node's place in the order of execution."""
        return self._index[node]

    def functional(self, node: Node) -> bool:
        """Whether every in-place operator on this memory could as well give a new tensor: what it overwrites is never
        read again."""
        return node not in self._owner or self._owner[node] not in self._tangled

    def same_value_at(self, nodes: Iterable[Node], place: Node, removed: Iterable[Node] = ()) -> bool:
        """Whether all ``nodes`` still hold at ``place`` what they held when they were computed.

        Writes by the nodes in ``removed`` don't count: they are to go.
        """
        ignored = set(removed)
        for node in nodes:
            if not self.functional(node):
                return False
            start, end = self._index[node], self._index[place]
            writers = self._writers.get(self._owner[node], [])
            if any(start < self._index[w] < end for w in writers if w not in ignored):
                return False
        return True

    def _is_tangled(self, owner: Node) -> bool:
        return any(
            self._index[user] > self._index[writer] and not self._comes_from(node, writer)
            for writer in self._writers[owner]
            for node in self._family[owner]
            for user in node.users
        )

    @staticmethod
    def _comes_from(node: Node | None, writer: Node) -> bool:
        while node is not None and node is not writer:
            node = shared_with(node)
        return node is writer

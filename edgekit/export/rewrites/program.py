"""Reading and replacing the tensors of an exported program while its graph is being rewritten."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

_TENSOR_KINDS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


class Parameters:
    """The parameters, buffers and constant tensors of a program by their placeholder nodes.

    A placeholder is *private* if exactly one node reads it and no other placeholder shares its tensor: only then may a
    rewrite change its value.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        nodes = [n for n in program.graph.nodes if n.op == "placeholder"]
        self._target = {
            node: spec.target
            for node, spec in zip(nodes, program.graph_signature.input_specs, strict=True)
            if spec.kind in _TENSOR_KINDS and spec.target is not None
        }
        storages: dict[int, int] = {}
        for target in self._target.values():
            key = self._tensor(target).untyped_storage().data_ptr()
            storages[key] = storages.get(key, 0) + 1
        self._storage_users = storages
        self._written: set[Node] = set()

    def _tensor(self, target: str) -> torch.Tensor:
        found = self.program.state_dict.get(target)
        tensor: torch.Tensor = found if found is not None else self.program.constants[target]
        return tensor

    def known(self, node: object) -> bool:
        """Whether the node is a parameter, buffer or constant tensor of the program."""
        return node in self._target

    def private(self, node: object) -> bool:
        """Whether one node alone depends on this tensor."""
        if not isinstance(node, Node) or node not in self._target or len(node.users) != 1:
            return False
        storage = self.value(node).untyped_storage().data_ptr()
        return node in self._written or self._storage_users.get(storage, 0) == 1

    def value(self, node: Node) -> torch.Tensor:
        """The tensor behind a placeholder."""
        return self._tensor(self._target[node]).detach()

    def set_value(self, node: Node, value: torch.Tensor) -> None:
        """Give a private placeholder a new tensor of the same role."""
        target = self._target[node]
        store = self.program.state_dict if target in self.program.state_dict else self.program.constants
        old = store[target]
        store[target] = torch.nn.Parameter(value, requires_grad=False) if isinstance(old, torch.nn.Parameter) else value
        self._written.add(node)
        fake = node.meta.get("val")
        if fake is not None and fake.shape != value.shape:
            node.meta["val"] = fake.new_empty(value.shape)

    def finish(self) -> None:
        """Drop the placeholders that nothing reads any more, with their tensors, and check the graph."""
        signature = self.program.graph_signature
        nodes = [n for n in self.program.graph.nodes if n.op == "placeholder"]
        keep = []
        for node, spec in zip(nodes, signature.input_specs, strict=True):
            if node.users or spec.kind not in _TENSOR_KINDS:
                keep.append(spec)
                continue
            self.program.graph.erase_node(node)
            self.program.state_dict.pop(spec.target, None)
            self.program.constants.pop(spec.target, None)
        signature.input_specs = keep
        self.program.graph_module.recompile()
        self.program.graph.lint()
        self.program._validate()  # type: ignore[no-untyped-call]

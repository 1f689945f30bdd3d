"""Runs an exported program as it is, in PyTorch, node by node: no weight is copied, and every value can be watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

Watch = Callable[[Node, Any], None]


class _Watching(Interpreter):
    def __init__(self, program: ExportedProgram, watch: Watch | None) -> None:
        super().__init__(program.graph_module)
        self._watch = watch

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if self._watch is not None:
            self._watch(n, value)
        return value


def run(program: ExportedProgram, inputs: Sequence[torch.Tensor], watch: Watch | None = None) -> list[torch.Tensor]:
    """The program's outputs for one sample. ``watch`` is called with every node and its value, in order."""
    given = iter(inputs)
    flat: list[Any] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            flat.append(next(given).clone())
        else:
            stored = program.state_dict.get(str(spec.target))
            flat.append(program.constants[str(spec.target)] if stored is None else stored)
    with torch.no_grad():
        results = _Watching(program, watch).run(*flat, enable_io_processing=False)
    return [value for value in pytree.tree_leaves(results) if isinstance(value, torch.Tensor)]

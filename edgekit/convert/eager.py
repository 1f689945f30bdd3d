"""PyTorch's own intermediate values of an exported program, and which of them depend on which."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.fx import Interpreter, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.export import ExportedProgram

Array = npt.NDArray[Any]

_VIEWS = ("view", "reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "expand", "dropout", "clone")


def comparable(program: ExportedProgram) -> list[str]:
    """The names of the intermediate tensors that are worth comparing, in execution order."""
    return [node.name for node in program.graph.nodes if _worth_comparing(node)]


def _worth_comparing(node: Node) -> bool:
    value = node.meta.get("val")
    if node.op != "call_function" or node.target is operator.getitem or not isinstance(value, torch.Tensor):
        return False
    return value.dtype.is_floating_point and not any(f".{view}" in str(node.target) for view in _VIEWS)


def sizes(program: ExportedProgram) -> dict[str, int]:
    """The bytes of every tensor that a node computes."""
    found = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return {name: v.numel() * v.element_size() for name, v in found.items() if isinstance(v, torch.Tensor)}


def values(program: ExportedProgram, names: Iterable[str], sample: Sequence[Array]) -> dict[str, Array]:
    """The intermediate tensors of these names on one sample (one array per input)."""
    recorder = _Recorder(program.module(), set(names))
    with torch.no_grad():
        recorder.run(*(torch.from_numpy(np.array(array)) for array in sample))
    return recorder.found


class _Recorder(Interpreter):
    def __init__(self, module: Any, wanted: set[str]) -> None:
        super().__init__(module)
        self.wanted = wanted
        self.found: dict[str, Array] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.name in self.wanted:
            # A copy, because an in-place operator may come next and change the tensor.
            self.found[n.name] = result.detach().clone().contiguous().numpy()
        return result


def outputs(program: ExportedProgram, sample: Sequence[Array]) -> list[Array]:
    """The program's outputs on one sample."""
    with torch.no_grad():
        made = program.module()(*(torch.from_numpy(np.array(array)) for array in sample))
    return [leaf.detach().numpy() for leaf in torch.utils._pytree.tree_leaves(made)]


@contextmanager
def replaced(program: ExportedProgram, tensors: Mapping[str, Array]) -> Iterator[None]:
    """The program with other values of some of its weights, while the block runs."""
    stores: dict[str, Any] = {
        name: program.state_dict if name in program.state_dict else program.constants for name in tensors
    }
    before = {name: store[name] for name, store in stores.items()}
    for name, value in tensors.items():
        tensor = torch.from_numpy(np.array(value)).to(before[name].dtype)
        is_parameter = isinstance(before[name], torch.nn.Parameter)
        stores[name][name] = torch.nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
    try:
        yield
    finally:
        for name, store in stores.items():
            store[name] = before[name]


def with_ancestors(program: ExportedProgram, names: Iterable[str]) -> set[str]:
    """These nodes and every node that one of them depends on."""
    wanted = set(names)
    found: set[str] = set()
    for node in reversed(list(program.graph.nodes)):
        if node.name in wanted or any(user.name in found for user in node.users):
            found.add(node.name)
    return found

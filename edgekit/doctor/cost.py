"""What one inference takes: multiply-accumulates, memory traffic, memory; by operator and by module."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.diagnosis import ModuleCost
from edgekit.doctor.excerpt import is_operator
from edgekit.export.provenance import NodeOrigin
from edgekit.export.rewrites.graph import origin_of
from edgekit.model.zoo.counting import MacCounter

TOP = 5


class Cost(NamedTuple):
    """Of the whole program; see :class:`~edgekit.records.ModelReport`. The lists are by :func:`block`."""

    operators: int
    weight_bytes: int
    macs: int
    traffic_bytes: int
    peak_activation_bytes: int
    top_macs: tuple[ModuleCost, ...]
    top_traffic: tuple[ModuleCost, ...]


def cost(program: ExportedProgram, origins: Mapping[str, NodeOrigin]) -> Cost:
    """Count a program; nothing is computed, shapes are enough."""
    modules: dict[str, list[int]] = {}
    operators = 0
    for node in program.graph.nodes:
        if not is_operator(node):
            continue
        moved = traffic(node)
        operators += moved > 0
        entry = modules.setdefault(_module(node, origins), [0, 0])
        entry[0] += macs(node)
        entry[1] += moved
    costs = [ModuleCost(module=name, macs=m, traffic_bytes=t) for name, (m, t) in modules.items()]
    tensors = {t.untyped_storage().data_ptr(): _bytes(t) for t in _stored(program)}
    return Cost(
        operators=operators,
        weight_bytes=sum(tensors.values()),
        macs=sum(c.macs for c in costs),
        traffic_bytes=sum(c.traffic_bytes for c in costs),
        peak_activation_bytes=peak(program),
        top_macs=tuple(sorted((c for c in costs if c.macs), key=lambda c: -c.macs)[:TOP]),
        top_traffic=tuple(sorted((c for c in costs if c.traffic_bytes), key=lambda c: -c.traffic_bytes)[:TOP]),
    )


def macs(node: Node) -> int:
    """Multiply-accumulates of one operator, counted while it runs on tensors without values."""
    values = [argument.meta.get("val") for argument in node.all_input_nodes]
    if sum(isinstance(v, torch.Tensor) and v.dim() >= 1 for v in values) < 2:
        return 0  # a product needs two tensors
    target: Any = node.target
    if target._schema.is_mutable:
        return 0

    def value(argument: Any) -> Any:
        return argument.meta.get("val") if isinstance(argument, Node) else argument

    args, kwargs = torch.fx.node.map_aggregate((node.args, node.kwargs), value)
    with torch.no_grad(), MacCounter() as counter:
        target(*args, **kwargs)
    return int(counter.macs)


def traffic(node: Node) -> int:
    """Bytes that the operator reads and writes; 0 if its result is a view of what it reads."""
    inputs = {id(value.untyped_storage()): value for value in _tensors(node.all_input_nodes)}
    outputs = list(_tensors([node]))
    target: Any = node.target
    storages = {value.untyped_storage()._cdata for value in inputs.values()}
    free = all(value.untyped_storage()._cdata in storages for value in outputs)
    if free and not target._schema.is_mutable:
        return 0
    distinct = {argument: argument.meta["val"] for argument in node.all_input_nodes if _has_tensor(argument)}
    return sum(_bytes(value) for value in distinct.values()) + sum(_bytes(value) for value in outputs)


def peak(program: ExportedProgram) -> int:
    """The most bytes of inputs, intermediates and outputs that are needed at one moment, in the order of the graph."""
    last: dict[int, int] = {}
    size: dict[int, int] = {}
    born: dict[int, int] = {}
    weights = {
        node.meta["val"].untyped_storage()._cdata
        for node, spec in zip(_placeholders(program), program.graph_signature.input_specs, strict=True)
        if spec.kind is not torch.export.graph_signature.InputKind.USER_INPUT and _has_tensor(node)
    }
    nodes = list(program.graph.nodes)
    for index, node in enumerate(nodes):
        for value in _tensors([node, *node.all_input_nodes]):
            key = value.untyped_storage()._cdata
            if key not in weights:
                size[key] = max(size.get(key, 0), _bytes(value))
                born.setdefault(key, index)
                last[key] = index
    changes = [0] * (len(nodes) + 1)
    for key, amount in size.items():
        changes[born[key]] += amount
        changes[last[key] + 1] -= amount
    highest = current = 0
    for change in changes:
        current += change
        highest = max(highest, current)
    return highest


def _placeholders(program: ExportedProgram) -> list[Node]:
    return [node for node in program.graph.nodes if node.op == "placeholder"]


def _has_tensor(node: Node) -> bool:
    return isinstance(node.meta.get("val"), torch.Tensor)


def _tensors(nodes: list[Node]) -> Iterator[torch.Tensor]:
    for node in nodes:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)) and node.target is not operator.getitem:
            yield from (part for part in value if isinstance(part, torch.Tensor))


def _stored(program: ExportedProgram) -> Iterator[torch.Tensor]:
    for value in (*program.state_dict.values(), *program.constants.values()):
        if isinstance(value, torch.Tensor):
            yield value


def _bytes(value: torch.Tensor) -> int:
    return int(value.numel()) * value.element_size()


def _module(node: Node, origins: Mapping[str, NodeOrigin]) -> str:
    origin = origins.get(origin_of(node))
    return block(origin.module) if origin is not None and origin.module else "(top)"


def block(module: str) -> str:
    """The repeated part of the model that a layer belongs to: ``stages.2.blocks.4`` of ``stages.2.blocks.4.mlp.fc1``.

    That is the path up to its last number that is not the layer's own; a path without one is cut to its first name.
    """
    path, _, kind = module.partition(" ")
    parts = path.split(".")
    inner = parts[:-1] if hasattr(torch.nn, kind.strip("()")) else parts
    numbered = [index for index, part in enumerate(inner) if part.isdigit()]
    return ".".join(parts[: numbered[-1] + 1]) if numbered else parts[0]

"""The identity of an exported program: a sha256 over its graph, its signature and every weight.

The .pt2 archive is not hashed: its bytes hold absolute source paths and differ between runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node


def _plain(value: Any) -> str:
    """A stable text for a node's argument."""
    if isinstance(value, Node):
        return f"%{value.name}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_plain(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{_plain(v)}" for k, v in sorted(value.items())) + "}"
    return f"{type(value).__name__}:{value}"


def _lines(program: ExportedProgram) -> Iterator[str]:
    for path, module in program.graph_module.named_modules():  # the branches of torch.cond are graphs of their own
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            value = node.meta.get("val")
            shape = f"{value.dtype}{tuple(value.shape)}" if isinstance(value, torch.Tensor) else ""
            yield f"{path} {node.op} {node.name} {node.target} {_plain(node.args)} {_plain(node.kwargs)} {shape}"
    for input_spec in program.graph_signature.input_specs:
        yield f"in {input_spec.kind} {_plain(getattr(input_spec.arg, 'name', ''))} {input_spec.target}"
    for output_spec in program.graph_signature.output_specs:
        yield f"out {output_spec.kind} {_plain(getattr(output_spec.arg, 'name', ''))} {output_spec.target}"


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The tensor's values in row-major order, for hashing; not a copy."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def fingerprint(program: ExportedProgram) -> str:
    """sha256 (hex) of graph and weights; equal for equal programs in any process."""
    digest = hashlib.sha256()
    for line in _lines(program):
        digest.update(line.encode() + b"\n")
    tensors: dict[str, Any] = {**program.state_dict, **program.constants}
    for name in sorted(tensors):
        tensor = tensors[name]
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor_bytes(tensor))
    return digest.hexdigest()

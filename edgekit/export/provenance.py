"""Where each node of an exported program comes from: module path, class and source line.

The converters carry this metadata through dozens of passes, deep-copying it each time, though none of them needs it
(ExecuTorch lowers MobileNetV2 a fifth faster without). It is taken off the graph once, kept beside the program, and
looked up when a converter names an operator that it can't handle or a tensor diverges.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.records import Record

# What the converters read; everything else in a node's meta is provenance.
_KEPT_META = ("val", "tensor_meta")
_TORCH = f"{Path(str(torch.__file__)).parent}{os.sep}"
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


class NodeOrigin(Record, frozen=True, kw_only=True):
    """One node: its operator, the path of the module that called it, and ``file:line in function``."""

    name: str
    op: str
    module: str
    source: str


def _module_path(node: Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    if not stack:
        return ""
    path, kind = list(stack.values())[-1]
    path = re.sub(r"^L\['self'\]\.?", "", str(path))
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    return f"{path or '(top)'} ({kind.rsplit('.', 1)[-1]})"


def _source_line(node: Node) -> str:
    frames = [f for f in _FRAME.findall(node.meta.get("stack_trace") or "") if not f[0].startswith("<")]
    if not frames:
        return ""
    # torch.nn's own layers are the innermost frames; the line that a user can change is the last one outside torch.
    own = [f for f in frames if not f[0].startswith(_TORCH)] or frames
    file, line, function = own[-1]
    return f"{_short(file)}:{line} in {function}"


def _short(file: str) -> str:
    """The path from the package root on (``timm/layers/x.py``), or the path as it is for the user's own files."""
    parts = Path(file).parts
    if "site-packages" in parts:
        return "/".join(parts[parts.index("site-packages") + 1 :])
    return file


def origin(node: Node) -> NodeOrigin:
    """Read a node's provenance from its metadata."""
    return NodeOrigin(name=node.name, op=str(node.target), module=_module_path(node), source=_source_line(node))


def collect(program: ExportedProgram) -> dict[str, NodeOrigin]:
    """The origins of all operator nodes, by node name, in execution order."""
    return {node.name: origin(node) for node in program.graph.nodes if node.op == "call_function"}


def strip(program: ExportedProgram) -> None:
    """Remove the provenance from the graph, in place. Values and shapes stay."""
    for node in program.graph.nodes:
        node.meta = {key: node.meta[key] for key in _KEPT_META if key in node.meta}

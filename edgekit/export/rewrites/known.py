"""Constants that rewrites add to a program, named after their content."""

from __future__ import annotations

import hashlib

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgekit.export.rewrites import graph


def constant(program: ExportedProgram, kind: str, value: torch.Tensor) -> Node:
    """A constant of the program named after its content, so that equal values of one kind share one tensor."""
    # Axes of size 1 may have any stride in a tensor that is called contiguous; ExecuTorch takes it for another shape.
    content = torch.empty(value.shape, dtype=value.dtype).copy_(value)
    digest = hashlib.sha256(f"{tuple(content.shape)} {content.dtype}".encode())
    digest.update(content.reshape(-1).view(torch.uint8).numpy().tobytes())
    return graph.constant(program, f"{kind}_{digest.hexdigest()[:16]}", content)

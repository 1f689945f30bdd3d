"""ONNX through torch's own dynamo exporter."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import ExportedProgram

from edgekit.convert import placement
from edgekit.convert.backend import Conversion

# ONNX keeps tensors inside the protobuf up to its 2 GB bound; a file of its own is easier to push and to hash.
_PROTOBUF_LIMIT_BYTES = 1900 << 20


class Converter:
    """``torch.onnx.export`` on the exported program; weights inside the one file."""

    def convert(self, program: ExportedProgram, precision: str, path: Path) -> Conversion:
        """Write ``path`` (.onnx)."""
        size = sum(t.numel() * t.element_size() for t in program.state_dict.values())
        if size > _PROTOBUF_LIMIT_BYTES:
            raise ValueError(f"the weights are {size >> 20} MiB; one ONNX file holds at most 2 GB")
        made = torch.onnx.export(program, dynamo=True, verbose=False)
        if made is None:
            raise RuntimeError("torch.onnx.export returned no program")
        made.save(str(path))
        return placement.read("onnx", path)

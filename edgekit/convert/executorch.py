"""ExecuTorch with the XNNPACK delegate."""

from __future__ import annotations

from pathlib import Path

from torch.export import ExportedProgram

from edgekit.convert import placement, speedups
from edgekit.convert.backend import Conversion


class Converter:
    """Lowers through ``to_edge_transform_and_lower`` with the XNNPACK partitioner."""

    def convert(self, program: ExportedProgram, precision: str, path: Path) -> Conversion:
        """Write ``path`` (.pte)."""
        speedups.skip_unused_xnnpack_patterns(program)
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        with path.open("wb") as file:
            edge.to_executorch().write_to_file(file)
        return placement.read("executorch", path)

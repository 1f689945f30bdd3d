"""ExecuTorch with the XNNPACK delegate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram

from edgekit.convert import speedups
from edgekit.convert.backend import Conversion
from edgekit.records import UndelegatedOp

# Not operators of the model: they hand values between delegates.
_PLUMBING = ("getitem", "executorch_call_delegate", "alloc", "free")


class Converter:
    """Lowers through ``to_edge_transform_and_lower`` with the XNNPACK partitioner."""

    def convert(self, program: ExportedProgram, precision: str, path: Path) -> Conversion:
        """Write ``path`` (.pte) and count what stayed outside the delegate."""
        speedups.skip_unused_xnnpack_patterns(program)
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        conversion = _delegation(edge.exported_program().graph_module)
        with path.open("wb") as file:
            edge.to_executorch().write_to_file(file)
        return conversion


def _delegation(graph_module: Any) -> Conversion:
    names = [str(getattr(n.target, "__name__", n.target)) for n in graph_module.graph.nodes if n.op == "call_function"]
    partitions = sum("call_delegate" in name for name in names)
    outside = Counter(name for name in names if not any(word in name for word in _PLUMBING))
    ops = tuple(UndelegatedOp(op=op, count=count) for op, count in outside.most_common())
    return Conversion(partitions=partitions, undelegated_ops=ops)
